"""`darklantern relay add`, `list` and `remove`: which relays this library syncs with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.library_option import LibraryFolder, Yes, confirm, open_own, say, value_of
from darklantern.cli.naming import relay_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.cli.relay_commands import relay_app
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Library

__all__ = ["relay_app"]  # with all its commands on it


@relay_app.command()
def add(
    card: Annotated[Path, typer.Argument(help="The relay's card: what `darklantern relay card` printed there.")],
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Sync with a relay from now on.

    It shows the relay's fingerprint, and asks whether you have compared it with the relay's keeper.
    """
    with open_own(folder, passphrase_file) as library:
        id = add_compared(library, card, yes)
    if as_json:
        tell_json({"relay": id})
    else:
        tell("added; `darklantern sync` syncs with it")


@relay_app.command("list")
def list_relays(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """List the relays that this library syncs with."""
    with open_own(folder, passphrase_file) as library:
        known, visits = library.relays.known, {each.id: each for each in library.status().relays}
    if as_json:
        tell_json(
            [
                {**plain(visits[id]), "urls": card.urls, "fingerprint": card.public.fingerprint}
                for id, card in known.items()
            ]
        )
        return
    for id, card in known.items():
        synced = visits[id].synced
        tell(f"{id[:16]}  {', '.join(card.urls)}  {f'synced {synced}' if synced else 'never synced'}")
        tell(card.public.fingerprint, lead="  ", copied=True)
    if not known:
        tell("no relay is known here: `darklantern relay add` adds one; its keeper has the card")


@relay_app.command()
def remove(
    relay: Annotated[str, typer.Argument(help="The relay's address, or the beginning of its id.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Sync with a relay no longer.

    The relay keeps what it has. `darklantern relay add` takes it up again.
    """
    with open_own(folder, passphrase_file) as library:
        id = relay_named(library, relay)
        library.relays.remove(id)
        left = len(library.relays.known)
    if as_json:
        tell_json({"relay": id, "left": left})
    else:
        tell(f"removed; {left} relays are left to sync with")


def add_compared(library: "Library", path: Path, yes: bool) -> str:
    """Add the relay of a card, once its fingerprint was compared. Its id. Raises RefusedError for a no."""
    from darklantern.sealing import RelayCard

    card = value_of(RelayCard, path)
    say(f"relay at {', '.join(card.urls)} with the fingerprint {card.public.fingerprint}")
    confirm("Have you compared the fingerprint with the relay's keeper?", yes)
    library.relays.add(card)
    return card.public.id
