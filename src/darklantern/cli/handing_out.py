"""Files that people pass on: where they go, and what they take the place of.

In: a path, and what may be replaced there. Out: the file; or an error, and what lies there is as it was. A file is
replaced only where it could be made again: a signature that somebody else gave, or an answer that is given once, could
not.
"""

import os
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


def hand_out_new(path: Path, data: bytes) -> None:
    """Write a file that travels, where none is: also none that came since `check_new`. Raises StoreError."""
    from darklantern.files import cannot_write, write_whole

    check_place(path)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # a link would do, but no stick has links
    except FileExistsError as error:
        raise _there(path, "is there already") from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        write_whole(path, data)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def check_new(*paths: Path) -> None:
    """Raises StoreError where one of these cannot be written as a new file, or two are one."""
    for path in paths:
        check_place(path)
        if os.path.lexists(path):
            raise _there(path, "is there already")
    check_apart(*paths)


def check_apart(*paths: Path) -> None:
    """Raises StoreError where two of these files are one."""
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise StoreError(f"expected another file for each, got {path} twice", hint="name another one of them")


def check_holdings(path: Path) -> None:
    """Raises StoreError where something else lies than what a library once held."""
    from darklantern.library import Holdings
    from darklantern.records.exact import decode

    check_place(path)
    if not _fits(path, lambda data: bool(decode(Holdings, data.strip()))):
        raise _there(path, "holds something else than what a library held")


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
