"""From numbers to pixels: round tick numbers, short spellings, and the scale between them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Scale:
    """A monotone map from [low, high] to [start, end] pixels, straight or bent by `bend`."""

    low: float
    high: float
    start: float
    end: float
    bend: Callable[[float], float] = float

    def __call__(self, value: float) -> float:
        low, high = self.bend(self.low), self.bend(self.high)
        share = (self.bend(value) - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> tuple[float, ...]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within [low, high], roughly `about` of them.

    Always at least one: a range too narrow to hold a round number gives `(low,)`.
    """
    step = tick_step(low, high, about)
    if step <= 0:
        return (low,)
    # Whole multiples, divided rather than multiplied for small steps: 3 / 10 is 0.3, 3 * 0.1 is not.
    inverse = round(1 / step) if step < 1 else 0
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    made = (n / inverse if inverse else n * step for n in range(first, last + 1))
    return tuple(min(max(tick, low), high) for tick in made) or (low,)


def tick_step(low: float, high: float, about: int = 5) -> float:
    """The distance between ticks; 0.0 when the range is flat to within rounding."""
    span = high - low
    if span <= 1e-9 * max(abs(low), abs(high)) or span < 1e-100:
        return 0.0
    rough = span / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(
        factor for factor, limit in ((1, 1.5), (2, 3.5), (5, 7.5), (10, math.inf)) if rough / power < limit
    )


def tick_labels(values: Sequence[float]) -> list[str]:
    """The ticks as `number` writes them, with as many figures as it takes to tell them apart truly."""
    gaps = [abs(two - one) for one, two in pairwise(values)]
    allowed = 1e-3 * min(gaps, default=math.inf)
    digits = next((d for d in range(3, 16) if all(abs(float(f"{v:.{d}g}") - v) <= allowed for v in values)), 16)
    return [number(value, digits) for value in values]


def number(value: float, digits: int = 3) -> str:
    """Three figures, a real minus sign, and k / M / G from ten thousand up: `0.0312`, `−1.5`, `120k`."""
    size = abs(value)
    if size and not 1e-3 <= size < 1e12:
        figures, power = f"{value:.{digits - 1}e}".split("e")
        return _signed(f"{figures.rstrip('0').rstrip('.')}e{int(power)}")
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= max(unit, 1e4):
            return _signed(_figures(value / unit, digits)) + name
    return _signed(_figures(value, digits))


def whole(value: float) -> str:
    """A step or a position: all digits, so that it can be looked up."""
    return _signed(f"{value:.0f}")


def _figures(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text else text


def _signed(text: str) -> str:
    return text.replace("-", "−")
