"""Worked cases: six findings about our own small models, assessed from measurement to level.

In: a case's name. Out: the finding in words with its sources, its method as a subject that the protocols can run, the
journal of what they measured, and what its authors answer to what no protocol reaches.

A case shows how an assessment comes about. It validates nothing: thresholds are proposals, the answers of people are
examples by the authors and no panel's, and a small model is no large one.
"""

from darklantern.cases.loading import Case, Source, load, names

__all__ = ["Case", "Source", "load", "names"]
