"""What a file is that was given where another was expected, and which command takes it.

In: the first bytes of a file, or all of it. Out: a kind that people know, or nothing where it is none of ours. It opens
and believes nothing: whoever takes the file judges it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from darklantern.errors import DarkLanternError, RecordError

_MOST: Final = 16 * 1024 * 1024
"""bytes: no record that travels by itself is larger"""
_FORM: Final = re.compile(rb"^\[answers\][ \t]*\r?$", re.MULTILINE)
"""A line that every form has. It is looked for, not parsed: TOML that somebody made for it takes hours to parse."""


@dataclass(frozen=True)
class FileKind:
    """A kind of file that people send each other."""

    name: str
    """with its article"""
    taken: str
    """the commands that take it, as words"""


BUNDLE: Final = FileKind("a bundle", "`darklantern bundle import`")
SEALED: Final = FileKind("a sealed file", "`darklantern open FILE`, or for a circle's draft `darklantern draft show`")
FORM: Final = FileKind("a form for a finding", "`darklantern share`")
BACKUP: Final = FileKind("a backup of a library", "`darklantern library restore`")
DRAFT: Final = FileKind("a draft", "`darklantern draft show`, `darklantern draft sign` and `darklantern draft publish`")


def kind_of(record: type[Any]) -> FileKind:
    """The kind of the files that hold such a record."""
    return _records()[record]


def recognised(data: bytes) -> FileKind | None:
    """The kind of a file with these bytes, or None for one that is none of ours."""
    from darklantern.logs.stream import MAGIC as STREAM
    from darklantern.records.exact import decode
    from darklantern.sealing.streams import MAGIC as AGE
    from darklantern.stores.archive import MAGIC as ARCHIVE

    for beginning, kind in ((STREAM, BUNDLE), (AGE, SEALED), (ARCHIVE, BACKUP)):
        if data.startswith(beginning):
            return kind
    if len(data) > _MOST:
        return None
    for record, kind in _records().items():
        try:
            decode(record, data.strip())
        except DarkLanternError:
            continue
        return kind
    return FORM if _FORM.search(data) else None


@contextmanager
def expecting(path: Path, *kinds: FileKind) -> Iterator[None]:
    """Where the file is refused, and is of a known kind that is none of these: say so. Raises RecordError."""
    try:
        yield
    except DarkLanternError as error:
        if not path.is_file():
            raise
        with path.open("rb") as file:
            came = recognised(file.read(_MOST + 1))
        if came is None or came in kinds:
            raise
        wanted = " or ".join(kind.name for kind in kinds)
        raise RecordError(f"expected {wanted}, got {came.name}: {path}", hint=f"what takes it: {came.taken}") from error


def _records() -> dict[type[Any], FileKind]:
    from darklantern.library import Holdings
    from darklantern.library.exporting import ExportedFinding
    from darklantern.network.cards import Card
    from darklantern.network.drafts import Draft
    from darklantern.network.invitations import Invitation, Request, Welcome
    from darklantern.records.assessments import Assessment
    from darklantern.records.findings import Finding
    from darklantern.sealing import Envelope, RelayCard

    return {
        Card: FileKind("the card of a device", "`darklantern org found`, `darklantern member add`"),
        RelayCard: FileKind("the card of a relay", "`darklantern sync --relay`, or `darklantern relay add`"),
        Draft: DRAFT,
        Invitation: FileKind("an invitation", "`darklantern device join`"),
        Request: FileKind("a request", "`darklantern member accept`"),
        Welcome: FileKind("a welcome", "`darklantern device join`"),
        Finding: FileKind("a finding", "`darklantern share`"),
        Assessment: FileKind("an assessment", "`darklantern share --assessment`"),
        Holdings: FileKind("what a library holds", "`darklantern bundle export --holdings`"),
        ExportedFinding: FileKind("an exported finding", "none: it is for people and other programs to read"),
        Envelope: FileKind("a signed record", "`darklantern relay begin`"),
    }
