"""Measure a subject in one call, with a journal on disk and a bar for each criterion."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from darklantern.assess.protocols.journal import opened
from darklantern.assess.protocols.running import Progress, measured
from darklantern.assess.protocols.subject import Subject
from darklantern.assess.table import Table, load
from darklantern.records.assessments import Answer


def measure(
    subject: Subject,
    criteria: Iterable[str] | None = None,
    *,
    journal: Path | None = None,
    within: float | None = None,
    table: Table | None = None,
) -> tuple[Answer, ...]:
    """An answer for each criterion that can be measured, or for those named; `within` so many seconds.

    With `journal`, a file, what was interrupted goes on where it was, and nothing is run twice. As `measured`
    otherwise.
    """
    with opened(journal, subject.name) as notes, bars() as progress:
        return measured(subject, notes, table or load(), criteria, within, progress)


@contextmanager
def bars() -> Iterator[Progress]:
    """A bar for each criterion, on stderr of a terminal or in a notebook; nothing where nobody looks."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = console.is_terminal or console.is_jupyter
    with Bars(*columns, console=console, disable=not shown, refresh_per_second=2) as bar:
        tasks = {}

        def told(criterion: str, done: int, total: int) -> None:
            if criterion not in tasks:
                tasks[criterion] = bar.add_task(criterion, total=total)
            bar.update(tasks[criterion], completed=done)

        yield told
