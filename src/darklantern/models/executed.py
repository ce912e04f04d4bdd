"""How much of a model a run executes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Executed:
    """What one run read and computed, and what a full run does."""

    parameters_read: int
    parameters: int
    flops: int
    """multiplications and additions of matrix products, convolutions and attention, two for each pair"""
    flops_full: int

    @property
    def parameter_fraction(self) -> float:
        return self.parameters_read / self.parameters if self.parameters else 0.0

    @property
    def flop_fraction(self) -> float:
        return self.flops / self.flops_full if self.flops_full else 0.0

    def __str__(self) -> str:
        return (
            f"{self.parameter_fraction:.1%} of {self.parameters:,} parameters, "
            f"{self.flop_fraction:.1%} of {self.flops_full:,} FLOPs"
        )
