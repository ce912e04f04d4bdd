"""A bar for work that takes long, on stderr so that output can be piped; off a terminal nothing, or a line at times."""

import time
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

from darklantern.cli.output import tell


@contextmanager
def bytes_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Call what this gives with (bytes done, bytes in all)."""
    with _bar(what, DownloadColumn(), TransferSpeedColumn()) as progress:
        yield progress


@contextmanager
def count_bar(what: str, lines: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Call what this gives with (how many are done, how many in all), from any thread. `lines` are for a log."""
    with _bar(what, MofNCompleteColumn()) as progress:
        yield _lines(what) if lines and not Console(stderr=True).is_terminal else progress


def _lines(what: str, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    """A line at the first count, at the last, and between them one each `every_s` seconds at most."""
    said = [-float("inf"), -1.0]
    """when the last line was, and of which count"""

    def progress(done: int, size: int) -> None:
        if done != said[1] and (done == size or clock() - said[0] >= every_s):
            said[:] = [clock(), done]
            tell(f"{what}: {done:,} of {size:,}", console=Console(stderr=True))

    return progress


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
