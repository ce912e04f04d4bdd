"""Signals of small policies, and of networks of modular arithmetic: rows to run at a look, and what is read of them.

In: observations (n, features), or the whole table of a + b mod p. Out: readings with their placebos. What reads what
the policy does says "behaviour"; what reads hidden layers or weights says "signal".
"""

from darklantern.watch.policies.audit_probe import AuditProbe
from darklantern.watch.policies.context_probe import ContextProbe
from darklantern.watch.policies.dormant_probe import DormantProbe
from darklantern.watch.policies.entropy_probe import EntropyProbe
from darklantern.watch.policies.fourier_probe import FourierProbe
from darklantern.watch.policies.readout_probe import ReadoutProbe
from darklantern.watch.policies.reward_probe import RewardProbe
from darklantern.watch.policies.table_probe import TableProbe
from darklantern.watch.policies.weights_probe import WeightsProbe

__all__ = [
    "AuditProbe",
    "ContextProbe",
    "DormantProbe",
    "EntropyProbe",
    "FourierProbe",
    "ReadoutProbe",
    "RewardProbe",
    "TableProbe",
    "WeightsProbe",
]
