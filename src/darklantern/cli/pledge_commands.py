"""`darklantern pledge …`: what people promise, word for word, and when somebody broke it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from darklantern.cli.draft_commands import pass_on
from darklantern.cli.handing_out import DraftOut
from darklantern.cli.library_option import LibraryFolder, Yes, confirm, day_of, in_a_year, open_own, say
from darklantern.cli.naming import person_named
from darklantern.cli.near import meant, near
from darklantern.cli.options import Json, PassphraseFile, text_to_seal
from darklantern.cli.output import tell, tell_json, tell_text
from darklantern.errors import RefusedError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.network import Commitment

pledge_app = typer.Typer(
    help="Pledges: their texts, who signed them, who broke one.\n\n"
    "A pledge is evidence of a promise. Nothing enforces it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
PledgeName = Annotated[str, typer.Argument(help="The pledge's name.")]
_DAY_S = 86_400
"""a pledge that ends within a day of the one that stands is the same, where nobody named a day"""
PledgeVersion = Annotated[int | None, typer.Option(help="Which version; by default the newest.")]


@pledge_app.command()
def propose(
    name: PledgeName,
    text: Annotated[
        Path | None, typer.Option("--file", help="File that holds the text; without it, stdin is read.")
    ] = None,
    basis: Annotated[
        Literal["honour", "nda"], typer.Option(help="honour: a promise. nda: beside a signed agreement.")
    ] = "honour",
    reference: Annotated[str | None, typer.Option(help="Which agreement, for nda.")] = None,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Put a pledge's text into the network's log.

    As the next version of its name. It binds whoever signs it.
    """
    from darklantern.network import Commitment

    if (basis == "nda") != (reference is not None):
        raise RefusedError(
            "expected --reference for an nda, and for nothing else", hint="say which agreement: number, parties, date"
        )
    written = text_to_seal(text)
    with open_own(folder, file) as library:
        version = max((each.version for each in library.members.proposed(name)), default=0) + 1
        made = library.members.propose(
            Commitment(name=name, version=version, basis=basis, reference=reference, text=written)
        )
        waits = made not in library.view.network.commitments
    if as_json:
        tell_json(plain(made))
    else:
        tell(f"{name} version {version}: proposed. Its text has the SHA-256 {made.text}")
        if waits:
            tell("it waits here for the keeper of the network's log: sync, or carry a bundle; then people can sign it")


@pledge_app.command("list")
def list_pledges(folder: LibraryFolder = None, file: PassphraseFile = None, as_json: Json = False) -> None:
    """List pledges, who signed them, and who broke one."""
    with open_own(folder, file) as library:
        state = library.view.network
        known = sorted(state.commitments.values(), key=lambda each: (each.name, each.version))
        last = {(who, each.pledge): each for who, signed in state.pledges.items() for each in signed}
        signers = [(who, each) for (who, _), each in last.items()]
        broken = {id: each.breach for id, each in state.breaches.items()}
    if as_json:
        tell_json(
            {
                "pledges": [{"name": each.name, "version": each.version, **plain(each.terms)} for each in known],
                "signed": [plain(each) for _, each in signers],
                "broken": [{"id": id, **plain(each)} for id, each in broken.items()],
            }
        )
        return
    for each in known:
        tell(f"{each.name} version {each.version} ({each.basis}{f': {each.reference}' if each.reference else ''})")
        for (org, person), pledge in signers:
            if pledge.pledge == each.terms:
                tell(f"    {person} of {org}, until {pledge.until}")
    for id, breach in broken.items():
        tell(
            f"broken: {breach.pledge} by {breach.person} of {breach.org} on {breach.time} ({id[:16]}): {breach.reason}"
        )
    if not known:
        tell("no pledges yet: `darklantern pledge propose`")


@pledge_app.command()
def show(
    name: PledgeName,
    version: PledgeVersion = None,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Print a pledge's exact text."""
    with open_own(folder, file) as library:
        found = commitment_named(library, name, version)
    if as_json:
        tell_json(plain(found))
    else:
        tell(_heading(found))
        tell_text(found.text)


@pledge_app.command()
def sign(
    name: PledgeName,
    version: PledgeVersion = None,
    until: Annotated[str | None, typer.Option(help="The day until which it binds; by default in a year.")] = None,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Read a pledge's exact text and sign it, or renew it.

    It binds you on all your devices. That you signed stays in the network's log for good.
    """
    from darklantern.network.clock import seconds, text

    with open_own(folder, file) as library:
        found = commitment_named(library, name, version)
        wanted = day_of(until) if until else in_a_year()
        end, signed = text(wanted), library.members.pledged(found.terms)
        if signed and abs(wanted - seconds(signed)) < (1 if until else _DAY_S):
            _signed(as_json, None, signed, f"signed before, until {signed}: nothing is changed; --until renews it")
            return
        say(_heading(found))
        for line in found.text.split("\n"):
            say(line)
        confirm(f"Do you promise this, until {end}? That you did stays in the log for good.", yes)
        id = library.members.pledge(found.terms, end)
    _signed(as_json, id, end, f"signed until {end}; sync, or carry a bundle, so that the others get it")


@pledge_app.command()
def withdraw(
    name: PledgeName,
    version: PledgeVersion = None,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take back your pledge, as of now.

    Circles that ask for it seal nothing to you from then on. It does not free you of what you promised about what
    you have read already.
    """
    from darklantern.network.clock import seconds, text

    with open_own(folder, file) as library:
        found = commitment_named(library, name, version)
        signed = library.members.pledged(found.terms)
        if signed is None:
            raise RefusedError(
                f"you have not signed {name!r} version {found.version}",
                hint="`darklantern pledge list` shows who has signed what",
            )
        if seconds(signed) <= time.time():
            _signed(as_json, None, signed, f"withdrawn before, or expired, on {signed}: nothing is changed")
            return
        confirm(f"Withdraw from {name!r} version {found.version}? Circles that ask for it will drop you.", yes)
        id = library.members.withdraw(found.terms)
    _signed(as_json, id, text(int(time.time())), "withdrawn; sync, or carry a bundle, so that the others get it")


@pledge_app.command()
def breach(
    person: Annotated[str, typer.Argument(help="ORG/PERSON who broke it.")],
    name: PledgeName,
    reason: Annotated[str, typer.Option(help="What happened: a sentence or two. All members read it.")],
    day: Annotated[str | None, typer.Option(help="The day on which it happened; by default today.")] = None,
    withdraws: Annotated[
        str | None, typer.Option(help="Id of an earlier record of this that no longer holds: take it back.")
    ] = None,
    out: DraftOut = Path("draft.json"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft the record that somebody broke a pledge.

    The network's roots sign it, or their org's.
    """
    from darklantern.network import Breach
    from darklantern.network.clock import text

    with open_own(folder, file) as library:
        org, id = person_named(library, person)
        earlier = None
        if withdraws is not None:
            found = [each for each in library.view.network.breaches if withdraws and each.startswith(withdraws)]
            if len(found) != 1:
                raise RefusedError(
                    f"expected the id of one recorded breach, got {withdraws!r}", hint="`darklantern pledge list`"
                )
            earlier = found[0]
        when = text(day_of(day) if day else int(time.time()))
        body = Breach(org=org, person=id, pledge=name, time=when, reason=reason, withdraws=earlier)
        pass_on(library, library.drafts.breach(body), out, as_json)


def commitment_named(library: "Library", name: str, version: int | None = None) -> "Commitment":
    """The text of that name and version, or its newest. Raises RefusedError."""
    found = [
        each
        for each in library.view.network.commitments.values()
        if each.name == name and version in (None, each.version)
    ]
    if not found and any(version in (None, each.version) for each in library.members.proposed(name)):
        raise RefusedError(
            f"the text of {name!r} waits here for the keeper of the network's log",
            hint="`darklantern sync`, or carry a bundle: until it is in the log, another text may take its version",
        )
    if not found:
        raise RefusedError(
            f"no pledge {name!r}{f' version {version}' if version else ''} is in the network's log here",
            hint=meant(
                near(name, {each.name for each in library.view.network.commitments.values()} - {name}),
                "`darklantern pledge list` shows them; sync, or import a newer bundle, or propose it",
            ),
        )
    return max(found, key=lambda each: each.version)


def _heading(found: "Commitment") -> str:
    beside = f", beside {found.reference}" if found.reference else ""
    return f"{found.name} version {found.version}, by {found.basis}{beside}; SHA-256 {found.terms.text}"


def _signed(as_json: bool, id: str | None, until: str, line: str) -> None:
    if as_json:
        tell_json({"id": id, "until": until})
    else:
        tell(line)
