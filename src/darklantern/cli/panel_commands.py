"""`darklantern panel`: several people rate a finding, blind first, and its level follows."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.library_option import LibraryFolder
from darklantern.cli.options import Json, PassphraseFile

panel_app = typer.Typer(
    help="Rate a finding together, blind first.\n\n"
    "Three people at least, one from another organisation, one of a red team. Opening takes all of them, closing takes "
    "one. What you do is sealed to the finding's circle; a sync or a bundle carries it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Item = Annotated[str, typer.Argument(help="The finding's id, or the beginning of it.")]
Because = Annotated[str, typer.Option(help="Why, in a sentence or two.")]


@panel_app.command("open")
def open_panel(
    item: Item,
    rater: Annotated[
        list[str],
        typer.Option(help="ORG/PERSON=member, =outside or =red_team; a substitute after a comma. Repeatable."),
    ],
    days: Annotated[int, typer.Option(min=1, max=365, help="For each round.")] = 7,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Ask people to rate a finding."""
    from darklantern.cli.panel_acts import At, begin

    begin(item, rater, days, At(folder, passphrase_file, as_json))


@panel_app.command()
def form(
    item: Item,
    out: Annotated[Path, typer.Argument(help="A new file, for example rating.toml. Nothing is replaced.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write a form for your rating, to fill in. It lies in the clear until you delete it."""
    from darklantern.cli.panel_acts import At, write_form

    write_form(item, out, At(folder, passphrase_file, as_json))


@panel_app.command()
def rate(
    item: Item,
    filled: Annotated[Path, typer.Argument(help="A form of `darklantern panel form`, filled in.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Rate: committed to first, shown later.

    In the first round nobody sees more than that you have rated; the rating stays on this device until
    `darklantern panel reveal`.
    """
    from darklantern.cli.panel_acts import At, rate_by

    rate_by(item, filled, At(folder, passphrase_file, as_json))


@panel_app.command()
def reveal(
    item: Item, folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Show what you committed to.

    Once all have committed, or the time for it is over: those who have not yet would see your rating first.
    """
    from darklantern.cli.panel_acts import At, reveal_own

    reveal_own(item, At(folder, passphrase_file, as_json))


@panel_app.command()
def show(
    item: Item, folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Show where the panel stands.

    Who is awaited, what each said, where they disagree, the level now.
    """
    from darklantern.cli.panel_acts import At, tell_state

    tell_state(item, At(folder, passphrase_file, as_json))


@panel_app.command()
def vote(
    item: Item,
    level: Annotated[str, typer.Argument(help="V0, V1, V2, V3 or V4: the level to open it to.")],
    against: Annotated[bool, typer.Option("--against", help="Vote against opening it.")] = False,
    because: Annotated[str, typer.Option(help="Why.")] = "",
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Vote on opening the finding. It takes all who rated, one from outside, and nobody against."""
    from darklantern.cli.panel_acts import At, vote_on

    vote_on(item, level, not against, because, At(folder, passphrase_file, as_json))


@panel_app.command()
def adjudicate(
    item: Item,
    criterion: Annotated[str, typer.Argument(help="The criterion's letter.")],
    values: Annotated[list[str], typer.Argument(help="What it comes to.")],
    because: Because,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Say what a disagreement comes to. Two who say the same settle it, one of them from outside."""
    from darklantern.cli.panel_acts import At, adjudicate_one

    adjudicate_one(item, criterion, values, because, At(folder, passphrase_file, as_json))


@panel_app.command()
def close(
    item: Item,
    level: Annotated[str, typer.Argument(help="V1, V2, V3 or V4: how closed it has to be, from now on.")],
    because: Because,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Close the finding at once. It holds for thirty days, and for good once somebody seconds it."""
    from darklantern.cli.panel_acts import At, close_to

    close_to(item, level, because, At(folder, passphrase_file, as_json))


@panel_app.command()
def second(
    item: Item,
    closing: Annotated[str, typer.Argument(help="Id of the closing, or the beginning of it.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Second somebody else's closing, so that it stays."""
    from darklantern.cli.panel_acts import At, second_one

    second_one(item, closing, At(folder, passphrase_file, as_json))


@panel_app.command()
def override(
    item: Item,
    before: Annotated[str, typer.Argument(help="The level as it follows.")],
    after: Annotated[str, typer.Argument(help="The level instead: one more open at most.")],
    code: Annotated[str, typer.Option(help="already_public, emergency, law, table_is_wrong or other.")],
    because: Because,
    until: Annotated[str, typer.Option(help="The last day it holds, as 2026-12-31.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Sign another level for a time. Two who sign the same make it hold, one of them from outside."""
    from darklantern.cli.panel_acts import At, override_level

    override_level(item, (before, after), (code, because, until), At(folder, passphrase_file, as_json))
