"""The one shape of every protocol: trials that run by themselves, and a conclusion from what they found.

A trial's outcome is plain JSON, so that a journal keeps it, an interrupted measurement goes on, and whoever doubts an
answer concludes it again from the same numbers without running anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from darklantern.assess.table import Table
from darklantern.records.assessments import Answer, Code
from darklantern.records.exact import Sha256

if TYPE_CHECKING:
    from darklantern.assess.protocols.subject import Subject

Outcome = Any
"""null, a truth value, a number, a text, or lists and maps of them"""
Outcomes = Mapping[str, Outcome]
"""trial → what it found"""


@dataclass(frozen=True)
class Trial:
    """One piece of a measurement."""

    key: str
    """its name, the same each time the protocol is planned for the same subject"""
    run: Callable[[Outcomes], Outcome]
    """given the outcomes of the trials before it"""
    kind: str = ""
    """trials of one kind take about as long; the part of `key` before a space, unless named"""

    @property
    def alike(self) -> str:
        return self.kind or self.key.partition(" ")[0]


@dataclass(frozen=True)
class Protocol:
    """How one criterion is measured."""

    criterion: Code
    id: str
    """name and version, as it stands in an answer"""
    needs: str
    """what a subject must bring, in words, for whoever reads that it was not measured"""
    trials: Callable[["Subject"], tuple[Trial, ...]]
    """what there is to run, in order; none where the subject brings nothing for it"""
    conclude: Callable[["Subject", Outcomes, Table, tuple[Sha256, ...]], Answer]
    """the answer, from the outcomes of all trials"""
