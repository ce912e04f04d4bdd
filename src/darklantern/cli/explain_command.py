"""`darklantern explain`."""

from string import hexdigits
from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.naming import circle_named, person_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.errors import RefusedError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.network.belonging import Belonging
    from darklantern.network.explaining import Explained


def explain(
    who: Annotated[str, typer.Argument(help="ORG/PERSON.")],
    record: Annotated[str, typer.Argument(help="An item's or a post's id, or its beginning; or a circle's name.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Say why somebody can or cannot read something.

    Or is in a circle or not; and why something may not have reached them. It rests on what the logs say: whether a
    device really holds a piece, or was handed a key, only its person can tell.
    """
    from darklantern.network.explaining import Explained

    with open_own(folder, passphrase_file) as library:
        org, person = person_named(library, who, roots=True)
        found = _explained(library, org, person, record)
    if as_json:
        tell_json({**plain(found), **({"answer": found.answer} if isinstance(found, Explained) else {})})
        return
    for line in found.lines():
        text = line.lstrip(" ")
        tell(text, lead=" " * (len(line) - len(text)))


def _explained(library: "Library", org: str, person: str, what: str) -> "Explained | Belonging":
    # A name comes first: there are circles called `cafe`.
    if what in {terms.name for terms in library.circles().values()}:
        return library.belonging(org, person, circle_named(library, what))
    if not what or set(what) - set(hexdigits):
        raise RefusedError(
            f"expected the beginning of an item's or a post's id, or a circle's name, got {what!r}",
            hint="`darklantern finding list`, `thread show` and `circle list` show them",
        )
    found = library.known(what.lower())
    if len(found) > 1:
        raise RefusedError(f"{len(found)} records begin with {what!r}", hint="give more letters")
    if found and found[0] in library.view.circles:
        return library.belonging(org, person, found[0])
    return library.explain(org, person, found[0] if found else what)
