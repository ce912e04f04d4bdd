"""The ways of finding a direction, by name, and what can be set of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from darklantern.errors import MethodError
from darklantern.methods.directions import consistent, lda, logistic, means
from darklantern.methods.directions.probes import Fit


@dataclass(frozen=True)
class Way:
    """One of them."""

    fit: Fit
    options: tuple[str, ...] = ()
    pairs: bool = False
    """of pairs of inputs, not of two sets"""


WAYS = {
    "means": Way(means.fit),
    "logistic": Way(logistic.fit, ("penalty",)),
    "lda": Way(lda.fit, ("shrinkage",)),
    "consistent": Way(consistent.fit, ("restarts", "steps", "rate", "decay"), pairs=True),
}


def way(how: str, options: Mapping[str, Any]) -> Way:
    """The one called `how`. Raises MethodError for none, and for options that it does not have."""
    if how not in WAYS:
        raise MethodError(f"expected how to find a direction, got {how!r}", hint=f"one of {', '.join(WAYS)}")
    if strange := sorted(options.keys() - set(WAYS[how].options)):
        known = ", ".join(WAYS[how].options) or "nothing"
        raise MethodError(f"{how} does not take {', '.join(strange)}", hint=f"it takes {known}")
    return WAYS[how]
