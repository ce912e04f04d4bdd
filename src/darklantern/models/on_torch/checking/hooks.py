"""`in`, `out` and ports of one's own code, against forward hooks that torch's public API set in another run."""

from collections.abc import Iterator

from torch import Tensor, nn

from darklantern.models.on_torch.checking.certificate import Outcome
from darklantern.models.on_torch.checking.comparing import EXACT, compared, uncovered
from darklantern.models.on_torch.checking.subject import Place, Subject

_COMPUTED = frozenset(
    {"q", "k", "v", "q_pre", "k_pre", "scores", "pattern", "z", "result", "scale", "slope", "router", "resid_mid"}
)
ORACLE = "torch's forward hooks"


def findings(subject: Subject) -> Iterator[Outcome]:
    """Bitwise: these ports are what passed there."""
    for place, value in subject.values.items():
        truth = _truth(subject, place)
        if isinstance(truth, Tensor):
            yield compared(place, ORACLE, value, truth, EXACT)
        elif truth is not None:
            yield uncovered(place, ORACLE, f"the hook saw {type(truth).__name__}, no tensor")


def _truth(subject: Subject, place: Place) -> object:
    seen = subject.seen_at(place)
    if place.port in ("in", "pre", "neurons"):
        return seen.argument
    if place.port in ("out", "post"):
        return seen.result
    own = type(place.point.module) is nn.Identity  # a port of one's own code, whatever it is called
    return seen.result if own or place.port not in _COMPUTED else None
