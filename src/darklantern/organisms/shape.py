"""The size of a byte-level transformer, in every framework."""

from dataclasses import dataclass

VOCABULARY = 128
"""ASCII"""


@dataclass(frozen=True)
class Shape:
    """The size of a ByteLM."""

    layers: int = 2
    dim: int = 64
    heads: int = 4
    context: int = 64
