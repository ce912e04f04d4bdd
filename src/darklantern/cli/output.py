"""All that the commands print. Much of it quotes peers, so every line of it passes through `tell`.

In: text. Out: the same, never parsed as markup, without characters that a terminal obeys or that reorder
a line, and without a line that no caller began: on a terminal, what does not fit goes on further in
than any line of ours begins.
"""

import json
import logging
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from darklantern.errors import DarkLanternError, StoreError

HANG = 2
"""columns before all that is not the beginning of a line of ours"""
MOST = 100_000
"""characters shown of one text, as on the page; `--json` gives all"""


def tell(line: str, *, lead: str = "", style: str = "", console: Console | None = None, copied: bool = False) -> None:
    """Print `line` as one line after `lead`, which is ours. What people copy is left to the terminal to break."""
    from darklantern.drawing.lettering import harmless

    console = console or Console()
    hang = max(len(lead), HANG)
    shown = Text(harmless(line))
    parts = shown.wrap(console, max(console.width - hang, 20)) if console.is_terminal and not copied else [shown]
    for i, part in enumerate(parts):
        before = (" " * hang, "") if i else (lead, style)
        console.print(Text.assemble(before, part), soft_wrap=True, highlight=False)


def tell_text(text: str) -> None:
    """Print a peer's `text` with its line breaks, each line further in than ours."""
    for line in text[:MOST].expandtabs(4).split("\n"):
        tell(line, lead=" " * HANG)
    if len(text) > MOST:
        tell(f"cut here: {len(text) - MOST:,} more characters; --json gives them all")


def tell_json(value: Any) -> None:
    """Print `value` as one JSON value in ASCII, so that nothing in it reaches a terminal as it is."""
    print(json.dumps(value).replace("\x7f", "\\u007f"))


def tell_exact(text: str) -> None:
    """Print a public record's exact JSON byte for byte: it is stored and hashed as it is."""
    print(text)


def tell_error(error: DarkLanternError) -> None:
    """What was expected and what came, then the hint, on stderr."""
    console = Console(stderr=True)
    tell(error.message, lead="error: ", style="bold red", console=console)
    tell(error.hint, lead="hint:  ", style="bold", console=console)


def flush() -> None:
    """Hand over all that was printed, while an error of it can still be told. Raises OSError."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def silence() -> None:
    """Print nothing more to stdout: whoever read it is gone, or its disk is full, and Python would try once more."""
    if sys.stdout is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def refused_by_system(error: OSError) -> StoreError:
    """What to tell where the operating system refused what nothing else expected it to."""
    where = f" {error.filename}" if error.filename else ""
    return StoreError(
        f"the operating system refuses{where}: {error.strerror or error}",
        hint="is the disk full, the path right, and is this user allowed to? Nothing half is left",
    )


class LogLines(logging.Handler):
    """What other packages log, and Python's warnings, on stderr: they may quote a peer too."""

    def emit(self, record: logging.LogRecord) -> None:
        console = Console(stderr=True)
        for line in self.format(record).split("\n"):
            tell(line, console=console)


def take_over() -> None:
    """Let nothing reach the terminal but through here, nor fail where it has no letter for a sign."""
    logging.basicConfig(handlers=[LogLines()], level=logging.WARNING, format="%(message)s")
    logging.captureWarnings(True)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None where the shell closed it
            stream.reconfigure(errors="replace")
