"""`darklantern explain`."""

from typing import Annotated

import typer

from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.naming import person_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.errors import RefusedError
from darklantern.records.exact import plain


def explain(
    who: Annotated[str, typer.Argument(help="ORG/PERSON.")],
    record: Annotated[str, typer.Argument(help="An item's or a post's id, or its beginning.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Say why somebody can or cannot read something.

    And why it may not have reached them. It rests on what the logs say: whether a device really holds a piece, or was
    handed a key, only its person can tell.
    """
    with open_own(folder, passphrase_file) as library:
        org, person = person_named(library, who, roots=True)
        found = library.explain(org, person, _record(library.known(record), record))
    if as_json:
        tell_json({**plain(found), "answer": found.answer})
        return
    for line in found.lines():
        text = line.lstrip(" ")
        tell(text, lead=" " * (len(line) - len(text)))


def _record(found: tuple[str, ...], record: str) -> str:
    if len(found) > 1:
        raise RefusedError(f"{len(found)} records begin with {record!r}", hint="give more letters")
    return found[0] if found else record
