"""A bar for long work, on stderr of a terminal or in a notebook; nothing where nobody looks."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Each = TypeVar("Each")


def tracked(each: Iterable[Each], says: str, of: int | None = None) -> Iterator[Each]:
    """`each` one by one, with a bar that says what is being done; `of` is how many there are, where that is known."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = console.is_terminal or console.is_jupyter
    with Progress(*columns, console=console, transient=True, disable=not shown, refresh_per_second=2) as bar:
        yield from bar.track(each, total=of, description=says)
