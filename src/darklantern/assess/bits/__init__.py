"""Information efficiency: how many bits of what comes out tell the truth that a decision needs, and how many may not.

In: predictions of a truth whose prior is known exactly, an outlet's alphabet, weights that are to be released. Out:
bits, each an estimate with bounds that hold. The budget of an outlet is an upper bound on all that it tells, so that
what is shown to be the truth leaves that much less for anything else (`slack`).

Nothing here enforces a budget, and nothing sees a channel that the alphabet leaves out: a bound is as good as the count
of what an outsider can tell apart. All of it holds on the distribution that was audited.
"""

from darklantern.assess.bits.amortised import amortised
from darklantern.assess.bits.artifacts import CODECS, ArtifactCost, artifact_cost
from darklantern.assess.bits.capacity import distinct_outputs_bits, leakage_factor, min_capacity_bits
from darklantern.assess.bits.efficiency import Efficiency, efficiency_of
from darklantern.assess.bits.joints import conditional_information_bits, entropy_bits, information_bits
from darklantern.assess.bits.online_code import OnlineCode, online_code
from darklantern.assess.bits.outlets import Outlet
from darklantern.assess.bits.values import check_prior, pvi_bits, pvi_range

__all__ = [
    "CODECS",
    "ArtifactCost",
    "Efficiency",
    "OnlineCode",
    "Outlet",
    "amortised",
    "artifact_cost",
    "check_prior",
    "conditional_information_bits",
    "distinct_outputs_bits",
    "efficiency_of",
    "entropy_bits",
    "information_bits",
    "leakage_factor",
    "min_capacity_bits",
    "online_code",
    "pvi_bits",
    "pvi_range",
]
