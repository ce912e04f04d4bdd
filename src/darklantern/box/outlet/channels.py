"""Channels: what an outlet can say, each a short list of symbols that was declared before anything ran.

A box sends a number; the host makes a symbol of it, or INVALID. What was sent is never shown beyond its symbol.
"""

import math
from typing import Annotated

import msgspec

from darklantern.records.exact import Name, Value

MOST_SYMBOLS = 65_536


class Channel(Value, frozen=True, kw_only=True):
    """A named list of symbols: the equal cells of a range, or words."""

    name: Name
    low: float | None = None
    high: float | None = None
    symbols: Annotated[int, msgspec.Meta(ge=2, le=MOST_SYMBOLS)] | None = None
    """how many cells the range is cut into"""
    words: tuple[Name, ...] = ()
    """in place of a range; the box sends a word's place, from 0"""

    def __post_init__(self) -> None:
        ranged = (self.low, self.high, self.symbols)
        if self.words and any(each is not None for each in ranged):
            raise ValueError(f"channel {self.name}: expected a range with symbols, or words, got both")
        if self.words:
            if not 2 <= len(set(self.words)) == len(self.words) <= MOST_SYMBOLS:
                raise ValueError(f"channel {self.name}: expected two words or more, each once")
        elif self.low is None or self.high is None or self.symbols is None:
            raise ValueError(f"channel {self.name}: expected low, high and symbols, or words")
        elif not (math.isfinite(self.high - self.low) and self.low < self.high):
            raise ValueError(
                f"channel {self.name}: expected low < high, their distance finite, got {self.low} and {self.high}"
            )

    @property
    def size(self) -> int:
        """How many symbols it has, INVALID not among them."""
        return len(self.words) or self.symbols or 0

    def symbol(self, sent: float) -> int | None:
        """The symbol's number for what a box sent; None, which is INVALID, for what the channel does not have."""
        if self.words:
            whole = math.isfinite(sent) and sent == int(sent)
            return int(sent) if whole and 0 <= sent < len(self.words) else None
        assert self.low is not None and self.high is not None and self.symbols is not None
        if not self.low <= sent <= self.high:  # NaN is in no range
            return None
        return min(int((sent - self.low) / (self.high - self.low) * self.symbols), self.symbols - 1)

    def meaning(self, symbol: int) -> str | float:
        """What a symbol stands for: its word, or the middle of its cell."""
        if self.words:
            return self.words[symbol]
        assert self.low is not None and self.high is not None and self.symbols is not None
        return self.low + (symbol + 0.5) * (self.high - self.low) / self.symbols
