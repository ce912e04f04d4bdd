"""A case by its name: what stands in its files, and its method as code."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from typing import Any, Final

from darklantern.assess.decide import Decision, decide
from darklantern.assess.protocols import Subject, measured, planned
from darklantern.assess.protocols.journal import kept
from darklantern.assess.table import Table
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer

_NAMES: Final = ("grokking", "backdoor", "steering", "probe", "speedup", "outlet")
"""each a module of this room with `subject()`, and two files in `data`"""
RUBRIC: Final = "worked-cases/1"


@dataclass(frozen=True)
class Source:
    """Where a case comes from."""

    says: str
    """authors, title, year"""
    at: str
    """where it can be found"""


@dataclass(frozen=True)
class Case:
    """One finding, from its method to what people would say of it."""

    name: str
    title: str
    finding: str
    sources: tuple[Source, ...]
    subject: Subject
    answers: tuple[Answer, ...]
    """example answers by the authors, where no protocol reaches; their text is the reason"""
    expected: Mapping[str, Any]
    """what came out when the journal was written: `lowest`, `operate`, `run`, and `measured`, criterion → values"""
    remarks: tuple[str, ...]
    """what a reader should know before believing it"""
    journal: bytes
    """what the protocols measured, as a run of them wrote it; empty before the first"""

    def measured(self, table: Table) -> tuple[Answer, ...]:
        """What the journal says, concluded again. Runs no trial; raises AssessmentError where one is missing."""
        journal = kept(self.journal, self.subject.name)
        if missing := [plan.protocol.criterion for plan in planned(self.subject, journal) if plan.left]:
            raise AssessmentError(
                f"the journal of {self.name} lacks trials of {', '.join(missing)}",
                hint=f"python tools/worked_cases.py {self.name} runs them",
            )
        return measured(self.subject, journal, table)

    def decision(self, table: Table) -> Decision:
        """What journal and answers come to."""
        return decide((*self.answers, *self.measured(table)), table)


def names() -> tuple[str, ...]:
    """The worked cases there are."""
    return _NAMES


def load(name: str) -> Case:
    """The case of that name. Loads torch and trains nothing. Raises AssessmentError for a name that is none."""
    if name not in _NAMES:
        raise AssessmentError(f"there is no worked case {name!r}", hint=f"there is {', '.join(_NAMES)}")
    folder = files("darklantern.cases").joinpath("data")
    told = tomllib.loads(folder.joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    journal = folder.joinpath(f"{name}.jsonl")
    subject: Subject = import_module(f"darklantern.cases.{name}").subject()
    return Case(
        name=name,
        title=told["title"],
        finding=told["finding"],
        sources=tuple(Source(each["says"], each["at"]) for each in told["source"]),
        subject=subject,
        answers=tuple(_answer(each) for each in told["answer"]),
        expected=told.get("expected", {}),
        remarks=tuple(told["remarks"]),
        journal=journal.read_bytes() if journal.is_file() else b"",
    )


def _answer(told: Mapping[str, Any]) -> Answer:
    return Answer(
        criterion=told["criterion"],
        values=tuple(told["values"]),
        kind=told["kind"],
        rater="authors",
        protocol=RUBRIC,
        text=told["because"],
        example=True,
    )
