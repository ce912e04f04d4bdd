"""A bar for work that takes long, on a terminal only, and on stderr so that output can be piped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@contextmanager
def bytes_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Call what this gives with (bytes done, bytes in all)."""
    with _bar(what, DownloadColumn(), TransferSpeedColumn()) as progress:
        yield progress


@contextmanager
def count_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Call what this gives with (how many are done, how many in all), from any thread."""
    with _bar(what, MofNCompleteColumn()) as progress:
        yield progress


@contextmanager
def _bar(what: str, *amounts: ProgressColumn) -> Iterator[Callable[[int, int], None]]:
    from darklantern.drawing.lettering import harmless

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *amounts, TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(harmless(what), total=None)  # a file's name may be a peer's

        def progress(done: int, size: int) -> None:
            bar.update(task, completed=done, total=size)

        yield progress
