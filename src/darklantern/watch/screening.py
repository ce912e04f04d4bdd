"""Which examples to leave out after a rollback."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.examples import Examples
from darklantern.watch.spans import Candidate, as_texts

SUSPICIOUS = 60.0
"""nats of surprise; in clean pilot runs no span came near it"""


class Screen(Protocol):
    """Tells suspect examples from others, and says how."""

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        """True for each suspect example, (n,)."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class SpanScreen:
    """Token rows that hold a span which trusted text hardly has."""

    spans: tuple[Candidate, ...]
    """most surprising first"""

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        texts = as_texts(examples.tokens)
        return np.array([any(c.span in text for c in self.spans) for text in texts], dtype=bool)

    def __str__(self) -> str:
        return f"rows that hold {', '.join(repr(str(c)) for c in self.spans)}"


@dataclass(frozen=True)
class PatternScreen:
    """Examples that hold the values of a pattern, such as a patch, at its places."""

    positions: tuple[int, ...]
    """in an example made flat"""
    values: tuple[float, ...]
    tolerance: float
    """how far from them a value may be"""

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        flat = examples.inputs.reshape(len(examples), -1)[:, list(self.positions)]
        found: NDArray[np.bool_] = (np.abs(flat - np.array(self.values)) <= self.tolerance).all(1)
        return found

    def __str__(self) -> str:
        held = ", ".join(f"{value:g} at {place}" for place, value in zip(self.positions, self.values, strict=True))
        return f"examples with {held}"


@dataclass(frozen=True)
class Either:
    """What any of several screens suspects."""

    screens: tuple[Screen, ...]

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.any([screen.suspect(examples) for screen in self.screens], axis=0)
        return found

    def __str__(self) -> str:
        return "; ".join(map(str, self.screens))


def together(screens: Sequence[Screen]) -> Screen:
    """What any of `screens` suspects; spans of several alarms make one screen."""
    spans = tuple(c for screen in screens if isinstance(screen, SpanScreen) for c in screen.spans)
    others = [screen for screen in screens if not isinstance(screen, SpanScreen)]
    parts: list[Screen] = [*([SpanScreen(spans)] if spans else []), *others]
    return parts[0] if len(parts) == 1 else Either(tuple(parts))
