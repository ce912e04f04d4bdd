"""Frozen values and their exact bytes.

In: fields. Out: immutable values, and one byte string for each. This room holds data only: it
judges nothing, signs nothing, reads and writes no file.
"""

from darklantern.records.assessments import Answer, Assessment
from darklantern.records.exact import Value, decode, encode
from darklantern.records.findings import (
    Artifact,
    Event,
    Evidence,
    Figure,
    Finding,
    Grid,
    Provenance,
    Recipe,
    Series,
)
from darklantern.records.references import References

__all__ = [
    "Answer",
    "Artifact",
    "Assessment",
    "Event",
    "Evidence",
    "Figure",
    "Finding",
    "Grid",
    "Provenance",
    "Recipe",
    "References",
    "Series",
    "Value",
    "decode",
    "encode",
]
