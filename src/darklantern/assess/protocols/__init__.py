"""Measurements: a finding's method, run by fixed protocols → answers with intervals, each with its version.

In: a subject, which is the method as code, and a table with the thresholds. Out: answers to the criteria that can be
measured. Every protocol is trials and a conclusion; outcomes are plain JSON in a journal.

Numbers come from whoever runs this on their own models: nothing here can tell an honest subject from a false one. A
subject is code and runs as whoever starts it; never one that a peer sent.
"""

from darklantern.assess.protocols.answers import not_measured
from darklantern.assess.protocols.breadth import breadth_speed
from darklantern.assess.protocols.efficiency import efficiency
from darklantern.assess.protocols.explanation import explanation
from darklantern.assess.protocols.frontier import frontier_distance
from darklantern.assess.protocols.journal import Journal, kept
from darklantern.assess.protocols.journal import opened as journal
from darklantern.assess.protocols.knowledge import fragility
from darklantern.assess.protocols.necessity import Difference, necessity
from darklantern.assess.protocols.new_capability import Trace, capability_needed
from darklantern.assess.protocols.running import PROTOCOLS, Plan, measured, planned
from darklantern.assess.protocols.subject import (
    Application,
    Applied,
    Audit,
    Families,
    Interventions,
    Ladder,
    Messages,
    Necessity,
    Pressure,
    Subject,
    Training,
    Uplift,
)
from darklantern.assess.protocols.trials import Protocol, Trial
from darklantern.assess.protocols.uplift import Paired, paired, uplift

__all__ = [
    "PROTOCOLS",
    "Application",
    "Applied",
    "Audit",
    "Difference",
    "Families",
    "Interventions",
    "Journal",
    "Ladder",
    "Messages",
    "Necessity",
    "Paired",
    "Plan",
    "Pressure",
    "Protocol",
    "Subject",
    "Trace",
    "Training",
    "Trial",
    "Uplift",
    "breadth_speed",
    "capability_needed",
    "efficiency",
    "explanation",
    "fragility",
    "frontier_distance",
    "journal",
    "kept",
    "measured",
    "necessity",
    "not_measured",
    "paired",
    "planned",
    "uplift",
]
