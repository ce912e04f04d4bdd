"""Paths of parts as text: quotes, braces, globs. No framework here.

A module may have any name without a dot. What a name holds besides letters, digits, `_` and `-` stands in single
quotes, a quote in it twice: `layers.'a b'.'it''s'`.
"""

import difflib
import itertools
import re
from collections.abc import Iterable

QUOTED = r"'(?:[^']|'')*'"
_PLAIN = re.compile(r"[\w-]*")


def quoted(path: str) -> str:
    """A module's path as text: odd names in quotes."""
    parts = path.split(".")
    return ".".join(part if _PLAIN.fullmatch(part) else "'" + part.replace("'", "''") + "'" for part in parts)


def unquoted(text: str) -> str:
    """The module path that `text` means, its leading slash kept; a glob stays one."""
    return "".join(_inner(piece) if piece.startswith("'") else piece for piece in _pieces(text))


def select_paths(glob: str, paths: Iterable[str]) -> list[str]:
    """The module paths that `glob` names, in model order. `*` matches within one part, `**` any or none of them."""
    wild = {"**": ".*", "*": r"[^.]+", "?": r"[^.]"}
    pattern = re.compile(
        "".join(
            re.escape(_inner(piece)) if piece.startswith("'") else wild.get(piece, re.escape(piece))
            for piece in re.split(rf"({QUOTED}|\*\*|\*|\?)", glob)
        ),
        re.DOTALL,
    )
    return [path for path in paths if pattern.fullmatch(path)]


def is_glob(text: str) -> bool:
    """Whether `text` has wildcards outside its quotes."""
    return any("*" in piece or "?" in piece for piece in _pieces(text) if not piece.startswith("'"))


def braces(text: str) -> list[str]:
    """`a.{b,c}` as `a.b` and `a.c`."""
    parts = re.split(rf"(?:({QUOTED})|\{{([^{{}}]*)\}})", text)
    options = []
    for plain, quote, inner in zip(parts[::3], [*parts[1::3], None], [*parts[2::3], None], strict=True):
        options.append([plain])
        options.append([quote or ""] if inner is None else [each.strip() for each in inner.split(",")])
    return ["".join(chosen) for chosen in itertools.product(*options)]


def nearest(text: str, known: Iterable[str]) -> list[str]:
    """Up to three known names close to `text`, for the hint of an error."""
    return difflib.get_close_matches(text, list(known), n=3, cutoff=0.4)


def _pieces(text: str) -> list[str]:
    return re.split(f"({QUOTED})", text)


def _inner(quote: str) -> str:
    return quote[1:-1].replace("''", "'")
