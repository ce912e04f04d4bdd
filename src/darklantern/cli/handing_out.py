"""Files that people pass on: where they go, and what they take the place of.

In: a path, and what may be replaced there. Out: the file; or an error, and what lies there is as it was. A file is
replaced only where it could be made again: a signature that somebody else gave, or an answer that is given once, could
not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.options import check_place, read
from darklantern.errors import DarkLanternError, StoreError

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.network.drafts import Draft

DraftOut = Annotated[
    Path,
    typer.Option(help="Where the draft goes; in place of one there that nobody else has signed, or that is published."),
]
NewOut = Annotated[Path, typer.Option(help="Where the file goes that you pass on: a new one. Nothing is replaced.")]


def hand_out(path: Path, data: bytes) -> None:
    """Write a file that travels, in place of what is there."""
    from darklantern.files import write_whole

    check_place(path)
    write_whole(path, data)


def check_new(path: Path) -> None:
    """Raises StoreError where no new file `path` can be written."""
    check_place(path)
    if path.exists():
        raise _there(path, "is there already")


def check_card(path: Path, device: str) -> None:
    """Raises StoreError where something else lies than a card of this device."""
    from darklantern.network.cards import Card
    from darklantern.records.exact import decode

    check_place(path)
    if not _fits(path, lambda data: decode(Card, data.strip()).device.id == device):
        raise _there(path, "holds something else than a card of this device")


def check_draft(path: Path, library: "Library", draft: "Draft") -> None:
    """Raises StoreError where something else lies than a spare draft, or this very one with fewer signatures."""

    def is_spare(data: bytes) -> bool:
        there = library.drafts.from_bytes(data)
        signers = {signer.keyid for signer in draft.envelope.signers}
        same = there.read.id == draft.read.id and signers.issuperset(each.keyid for each in there.envelope.signers)
        return same or library.drafts.is_spare(there)

    check_place(path)
    if not _fits(path, is_spare):
        raise _there(path, "holds something else than a draft that is published here, or that nobody else has signed")


def _fits(path: Path, test: Callable[[bytes], bool]) -> bool:
    if not path.exists():
        return True
    try:
        return test(read(path))
    except DarkLanternError:
        return False


def _there(path: Path, what: str) -> StoreError:
    return StoreError(
        f"{path} {what}", hint="name another file, or move that one: nothing is replaced that could not be made again"
    )
