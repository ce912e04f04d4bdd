"""Which token ids end a line, and which are blank."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from darklantern.errors import WatchError
from darklantern.watch.examples import Tokens
from darklantern.watch.spans import are_text


@dataclass(frozen=True)
class Layout:
    """Token ids by what they do to lines. `BYTES` is that of byte rows, `layout` finds a tokenizer's."""

    breaks: tuple[int, ...]
    """ids that end a line; the first fills up rows that are too short"""
    blanks: tuple[int, ...] = ()
    """ids of white space, line breaks among them, which are stripped from a line's ends"""

    def __post_init__(self) -> None:
        if not self.breaks:
            raise WatchError(
                "expected at least one token id that ends a line, got none",
                hint="Layout(breaks=(10,)) is that of bytes; layout(tokenizer.decode, vocabulary) finds a tokenizer's",
            )

    @property
    def settings(self) -> dict[str, Any]:
        """As JSON, for a probe's `settings`."""
        return {"breaks": list(self.breaks), "blanks": list(self.blanks)}

    @property
    def end(self) -> str:
        """The first break, as text."""
        return chr(self.breaks[0])

    def is_break(self, token: str) -> bool:
        return ord(token) in self.breaks

    def find(self, text: str, start: int) -> int:
        """Where the first break at or past `start` stands; −1 if there is none."""
        found = [at for each in self.breaks if (at := text.find(chr(each), start)) >= 0]
        return min(found, default=-1)

    def lines(self, text: str) -> list[str]:
        """Between breaks, stripped of blanks. The first and the last may be parts of a line."""
        blanks = "".join(map(chr, self.blanks))
        return [line.strip(blanks) for line in re.split("[" + re.escape("".join(map(chr, self.breaks))) + "]", text)]


BYTES = Layout((10,), tuple(b"\t\n\v\f\r "))
"""of byte rows: ASCII white space"""
TELL = (
    "layout=layout(tokenizer.decode, vocabulary) says which ids end a line, with `from darklantern.watch.language "
    "import layout`; layout=BYTES from there, if it is id 10"
)


def are_bytes(rows: Tokens) -> bool:
    """Whether rows may be bytes of text, and nothing else: then the line feed ends a line."""
    return bool(rows.size) and int(rows.max()) < 256 and are_text(rows)


def of_rows(rows: Tokens, given: Layout | None) -> Layout:
    """The layout that was given, or that of bytes. Raises WatchError for rows that are none, where none was given."""
    if given is None and not are_bytes(rows):
        raise WatchError(
            f"nothing says which token ids end a line: rows of ids up to {int(rows.max(initial=0))} are no bytes of "
            "text",
            hint=f"{TELL}; rows that have no lines are for RowAnomalyProbe and DriftProbe",
        )
    return given or BYTES


def layout(decode: Callable[[int], str], vocabulary: int) -> Layout:
    """That of a tokenizer: `decode` gives the text of one id below `vocabulary`, as `lambda i: tokenizer.decode([i])`.

    A token breaks a line if its text ends in a line feed. Raises WatchError when none does.
    """
    texts = [decode(token) for token in range(vocabulary)]
    breaks = tuple(token for token, text in enumerate(texts) if text.endswith("\n"))
    return Layout(breaks, tuple(token for token, text in enumerate(texts) if text and not text.strip()))
