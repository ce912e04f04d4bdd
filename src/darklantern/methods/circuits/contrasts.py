"""What a circuit is found on: prompts, what they are held against, and what is measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from darklantern.errors import MethodError
from darklantern.methods.aligned import aligned
from darklantern.methods.metrics import Metric, bound, number
from darklantern.methods.patching.path_effects import lost
from darklantern.models.opened import Model


@dataclass(frozen=True, eq=False)
class Contrast:
    """A batch of clean inputs, the corrupt ones that they are held against, position by position, and a metric.

    Data come as several of them, one after the other; each has its own metric, as the answers differ.
    """

    clean: Any
    corrupt: Any
    metric: Any
    """a function from the model's output to one number, or `logit_diff(...)`"""

    def bound(self, model: Model) -> Metric:
        """The metric of an output on the clean inputs."""
        return bound(self.metric, model, self.clean)


def contrasts(given: Contrast | Iterable[Contrast]) -> Sequence[Contrast] | Iterable[Contrast]:
    """Them, one after the other. Raises MethodError for something else."""
    if isinstance(given, Contrast):
        return [given]
    if not isinstance(given, Iterable):
        raise MethodError(f"expected a Contrast, or several, got {type(given).__name__}", hint=_HINT)
    return given


def checked(model: Model, each: Any) -> Contrast:
    """It, prompts as batches that correspond. Raises MethodError for something else."""
    if not isinstance(each, Contrast):
        raise MethodError(f"expected Contrasts, got {type(each).__name__}", hint=_HINT)
    clean, corrupt = aligned(model, each.clean, each.corrupt)
    return replace(each, clean=clean, corrupt=corrupt)


def ends(model: Model, contrast: Contrast, corrupt: Any, clean: float, idle: bool = False) -> tuple[float, float]:
    """The clean metric, and that of the corrupt output.

    Raises MethodError where they are not finite, and where they are the same unless the model may be `idle`, that is
    without the behaviour.
    """
    low = number(bound(contrast.metric, model, contrast.corrupt), corrupt)
    if not (idle and clean == low):
        lost(clean, low)
    return clean, low


_HINT = "darklantern.Contrast(clean, corrupt, metric)"
