"""`darklantern draft …`: records that several people sign, at one of the places where they do."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from darklantern.cli.handing_out import check_draft, hand_out
from darklantern.cli.kinds import DRAFT, SEALED, expecting
from darklantern.cli.library_option import LibraryFolder, Yes, confirm, open_own, say
from darklantern.cli.options import Json, PassphraseFile, check_place, read
from darklantern.cli.output import tell, tell_json
from darklantern.errors import RecordError

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.network.cards import Card
    from darklantern.network.drafts import Draft

draft_app = typer.Typer(
    help="Records that several people sign in different places.\n\n"
    "A draft is a file: whoever may sign it reads it, signs it, and passes it on. Once enough have signed, "
    "anybody publishes it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
DraftFile = Annotated[Path, typer.Argument(help="The draft's file.")]


@draft_app.command()
def show(draft: DraftFile, folder: LibraryFolder = None, file: PassphraseFile = None, as_json: Json = False) -> None:
    """Say what a draft changes, and who has signed it."""
    with open_own(folder, file) as library:
        found = draft_in(library, draft)
        told = described(library, found)
    if as_json:
        tell_json(told)
    else:
        _tell_all(told, tell)


@draft_app.command()
def sign(
    draft: DraftFile,
    out: Annotated[Path | None, typer.Option(help="Where the signed draft goes; without it, in place.")] = None,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Read what a draft changes, and sign it.

    A signature cannot be taken back: who has the signed file can use it.
    """
    check_place(out or draft)
    with open_own(folder, file) as library:
        found = draft_in(library, draft)
        told = described(library, found)
        _tell_all(told, say)
        if told["kind"] in ("roster", "org"):
            say("compare the fingerprints with their holders, aloud: `darklantern device show` says each one's own")
        confirm("Sign this? It cannot be taken back.", yes)
        made = library.drafts.sign(found)
        if out is not None:
            check_draft(out, library, made)
        hand_out(out or draft, library.drafts.to_bytes(made))
        told = described(library, made)
    if as_json:
        tell_json(told)
        return
    for line in told["signed"]:
        tell(line)
    tell(
        "enough have signed: `darklantern draft publish` puts it into the network's log"
        if told["enough"]
        else "pass the file on to who has not signed"
    )


@draft_app.command()
def publish(draft: DraftFile, folder: LibraryFolder = None, file: PassphraseFile = None, as_json: Json = False) -> None:
    """Put a draft that enough have signed into the log.

    The first roster of a network is joined by it. Where another library or a relay keeps the log, it waits
    here until a sync or a bundle takes it there.
    """
    with open_own(folder, file) as library:
        found = draft_in(library, draft)
        before = library.drafts.became(found)
        id = library.drafts.publish(found)
        net, waits = library.net, id in library.pending
    if as_json:
        tell_json({"id": id, "net": net, "waits": waits, "before": before is not None})
    elif before is not None:
        tell(f"published before, and nothing is changed: {before}")
    elif id == net:
        tell("this library belongs to the network now. Compare its id with the others:")
        tell(net, copied=True)
    elif waits:
        tell(
            f"{id[:16]} waits for the keeper of the network's log: `darklantern sync`, or take a bundle there "
            "(`darklantern bundle export`)"
        )
    else:
        tell(f"{id[:16]} is in the network's log; sync, or carry a bundle, so that the others get it")


def draft_in(library: "Library", path: Path) -> "Draft":
    """The draft in a file. Raises DarkLanternError."""
    data = read(path)
    with expecting(path, DRAFT, SEALED):
        try:
            return library.drafts.from_bytes(data)
        except RecordError as error:
            raise RecordError(f"{path}: {error.message}", hint=error.hint) from error


def pass_on(library: "Library", draft: "Draft", out: Path, as_json: bool, cards: "Iterable[Card]" = ()) -> None:
    """Write a new draft, and say what it is and what comes next. `cards` are those that it rests on, to be compared."""
    check_draft(out, library, draft)
    hand_out(out, library.drafts.to_bytes(draft))
    told = described(library, draft)
    shown = [(f"{each.holder.name} ({each.holder.person} of {each.holder.org})", each.fingerprint) for each in cards]
    if as_json:
        compared = {"cards": [{"holder": holder, "fingerprint": each} for holder, each in shown]} if shown else {}
        tell_json({"draft": str(out), **told, **compared})
        return
    _tell_all(told, tell)
    if shown:
        tell("compare each card with its holder, aloud: `darklantern device card` showed them the same")
    for holder, each in shown:
        tell(f"card of {holder}: {each}", copied=True)
    tell(f"{out}: a draft. Who may sign it calls `darklantern draft sign`")


class Told(TypedDict):
    """A draft for people and programs."""

    kind: str
    id: str
    fingerprint: str
    words: list[str]
    signed: list[str]
    enough: bool


def described(library: "Library", draft: "Draft") -> Told:
    """A draft's words, its fingerprint, and who has signed."""
    from darklantern.sealing import envelope_id
    from darklantern.sealing.fingerprints import fingerprint

    id = envelope_id(draft.envelope)
    return {
        "kind": draft.read.record.kind,
        "id": id,
        "fingerprint": fingerprint(bytes.fromhex(id)),
        "words": list(library.drafts.words(draft)),
        "signed": [str(tally) for tally in library.drafts.tallies(draft)],
        "enough": library.drafts.is_signed(draft),
    }


def _tell_all(told: Told, line: Callable[[str], None]) -> None:
    for each in (*told["words"], *told["signed"]):
        line(each)
    line(f"fingerprint of the draft: {told['fingerprint']}")
