"""What raters expect to become of a finding, said when they rate it, and what became of it."""

from typing import Annotated, Final, Literal

import msgspec

from darklantern.records.assessments import Date, Level
from darklantern.records.exact import Name, Sha256, Text, Value

Event = Literal["rediscovery", "capability_use", "safety_decision", "leak", "obfuscation"]
EVENTS: Final[dict[Event, str]] = {
    "rediscovery": "Somebody outside published the same, independently.",
    "capability_use": "It was used in public to make a model more capable, by 5 % of compute or more.",
    "safety_decision": "It changed a decision about safety.",
    "leak": "It became known beyond its level.",
    "obfuscation": "A model or its training was shown to escape it.",
}
"""event → what has happened if it did, by the date of the question"""

Months = Literal[6, 12, 24]
HORIZONS: Final[tuple[Months, ...]] = (6, 12, 24)
"""months after the forecast was stated"""

Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]
"""never 0 or 1: nobody is that sure"""


Outcome = Literal["yes", "no", "unknown"]


class Forecast(Value, frozen=True, kw_only=True):
    """One rater's probability that one event happens to one finding in time."""

    v: Literal[1] = 1
    finding: Sha256
    rater: Name
    """a pseudonym, the same in each round"""
    event: Event
    months: Months
    probability: Probability
    stated: Date
    level: Level
    """at which the finding was when it was stated"""
    rubric: Name
    """id and version of the decision table that the rater had"""
    because: Text = ""
    example: bool = False
    """true for a demonstration by a made-up rater"""


class FollowUp(Value, frozen=True, kw_only=True):
    """Whether an event had happened by the end of its time, as far as somebody could find out.

    `unknown` is no `no`: what is closed leaves little to be seen.
    """

    v: Literal[1] = 1
    finding: Sha256
    event: Event
    months: Months
    outcome: Outcome
    looked: Date
    by: Name
    text: Text = ""
    """where was looked, and what was found"""
    evidence: tuple[Sha256, ...] = ()
