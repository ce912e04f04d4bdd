"""The budget of an outlet: the logarithm of how many messages an outsider can tell apart."""

from dataclasses import dataclass
from math import comb, log2

from darklantern.errors import AssessmentError


@dataclass(frozen=True, kw_only=True)
class Outlet:
    """What one use of an outlet can look like from outside. Whatever is left out of it is not in the budget."""

    symbols: int
    """different values that one symbol takes; a refusal that is one of them is counted here"""
    lengths: tuple[int, ...] = (1,)
    """how many symbols a message may have; 0 is silence, which says something too"""
    ordered: bool = True
    """whether readers see in which order symbols came"""
    slots: int = 1
    """points in time at which a message may come, as readers can tell them apart"""
    refusals: int = 0
    """different ways in which there is no message: refused, invalid, ended"""

    def __post_init__(self) -> None:
        if self.symbols < 1 or self.slots < 1 or self.refusals < 0 or not self.lengths or min(self.lengths) < 0:
            raise AssessmentError(
                f"expected one symbol, slot and length or more, got {self}",
                hint="Outlet(symbols=2) is one bit at a fixed time; lengths=(0, 1) lets it be silent as well",
            )
        if len(set(self.lengths)) < len(self.lengths):
            raise AssessmentError(f"lengths {self.lengths} name one twice", hint="each length that occurs, once")

    @property
    def messages(self) -> int:
        """How many messages readers can tell apart, each in each slot."""
        return self.slots * (sum(self._of(length) for length in self.lengths) + self.refusals)

    def bits(self, uses: int = 1) -> float:
        """The budget of so many uses: they tell at most this much, about everything together."""
        if uses < 0:
            raise AssessmentError(f"{uses} uses of an outlet", hint="0 or more")
        return uses * log2(self.messages)

    def _of(self, length: int) -> int:
        return self.symbols**length if self.ordered else comb(self.symbols + length - 1, length)
