"""What a gradient with respect to sites is, on any framework."""

from dataclasses import dataclass

from darklantern.models.recording import Recording


@dataclass(frozen=True, repr=False)
class Gradients:
    """The gradient of one number with respect to values at sites, and those values."""

    metric: float
    gradients: Recording
    values: Recording

    def __repr__(self) -> str:
        return f"metric {self.metric:.6g}; .values, and their .gradients:\n{self.gradients}"
