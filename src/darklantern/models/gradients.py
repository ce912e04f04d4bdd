"""What a gradient with respect to sites is, on any framework."""

from dataclasses import dataclass

from darklantern.models.recording import Recording
from darklantern.models.shim import is_traced


@dataclass(frozen=True, repr=False)
class Gradients:
    """The gradient of one number with respect to values at sites, and those values."""

    metric: float
    """within your own `jax.jit`, `vmap` or `grad` a traced number, which they may return"""
    gradients: Recording
    values: Recording

    def __repr__(self) -> str:
        metric = "a traced number" if is_traced(self.metric) else f"{self.metric:.6g}"
        return f"metric {metric}; .values, and their .gradients:\n{self.gradients}"
