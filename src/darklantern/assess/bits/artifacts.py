"""How many bits a released artifact takes, at the coarsest precision at which it is still worth what it was."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import AssessmentError

Codec = Callable[[bytes], bytes]

CODECS: Final[Mapping[str, Codec]] = {
    "zlib": lambda data: zlib.compress(data, 9),
    "bzip2": lambda data: bz2.compress(data, 9),
    "lzma": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME, format=lzma.FORMAT_ALONE),
}
"""name → a lossless code; more may be declared, each with its decoder known to the reader"""

FINEST: Final = 16
"""bits a number; at more than that nothing is quantised"""


@dataclass(frozen=True)
class ArtifactCost:
    """The cheapest declared description that is good enough. An upper bound: a better code may exist."""

    bits: float
    codec: str
    precision: int
    """bits a number before coding"""
    value: float
    """of what comes out of it, as the caller measures it"""
    whole: float
    """the value without quantising"""
    numbers: int

    @property
    def bits_per_number(self) -> float:
        return self.bits / self.numbers


def artifact_cost(
    weights: NDArray[np.floating],
    value: Callable[[NDArray[np.float64]], float],
    tolerance: float,
    codecs: Mapping[str, Codec] = CODECS,
) -> ArtifactCost:
    """The bits of `weights` at the coarsest uniform precision whose `value` is within `tolerance` of the whole one's.

    `value` is called on weights of the same shape, once for each precision tried, from 1 bit up to 16: values need not
    rise with precision, so all coarser ones are tried first. Among `codecs` the shortest counts; choosing it is paid
    for. Where even 16 bits are not enough, the numbers are taken as they are, in float32.

    For what a release is worth only: what an adversary can put into an artifact is bounded by its raw size, not by
    this. Raises AssessmentError for no numbers, for such as are not finite, and for a negative tolerance.
    """
    given = np.asarray(weights, dtype=np.float64)
    if not given.size or not np.isfinite(given).all() or not tolerance >= 0 or not codecs:
        raise AssessmentError(
            f"expected finite numbers, a tolerance of 0 or more and a codec, got shape {given.shape}, {tolerance}",
            hint="artifact_cost(weights, value, tolerance=0.01)",
        )
    whole = value(given)
    for precision in range(1, FINEST + 1):
        codes, restored = _quantised(given, precision)
        found = value(restored)
        if abs(found - whole) <= tolerance:
            return _shortest(codes.tobytes(), codecs, precision, found, whole, given.size)
    data = given.astype(np.float32).tobytes()
    return _shortest(data, codecs, 32, value(given.astype(np.float32).astype(np.float64)), whole, given.size)


def _quantised(given: NDArray[np.float64], precision: int) -> tuple[NDArray[np.unsignedinteger], NDArray[np.float64]]:
    """Whole numbers of so many bits between the least and the greatest, and what they stand for."""
    low, high = float(given.min()), float(given.max())
    step = (high - low) / (2**precision - 1) or 1.0
    codes = np.round((given - low) / step)
    return codes.astype(np.uint8 if precision <= 8 else np.uint16), low + codes * step


def _shortest(
    data: bytes, codecs: Mapping[str, Codec], precision: int, value: float, whole: float, numbers: int
) -> ArtifactCost:
    sizes = {name: 8.0 * len(code(data)) for name, code in codecs.items()}
    name = min(sizes, key=lambda each: sizes[each])
    ends = 2 * 32 if precision < 32 else 0  # the least and the greatest, in float32
    chosen = np.log2(len(codecs)) + np.log2(FINEST + 1)
    return ArtifactCost(sizes[name] + ends + float(chosen), name, precision, value, whole, numbers)
