"""`darklantern org …`: orgs, their roots, and the roster on which they trust each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from darklantern.cli.draft_commands import pass_on
from darklantern.cli.handing_out import DraftOut
from darklantern.cli.library_option import (
    LibraryFolder,
    Yes,
    confirm,
    day_of,
    in_a_year,
    keeper_of,
    open_own,
    say,
    value_of,
    values_of,
)
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.errors import RefusedError, StoreError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.network.rosters import Relay

org_app = typer.Typer(
    help="Orgs, their root keys, and the roster of the network.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Cards = Annotated[
    list[Path], typer.Argument(metavar="CARD", help="Cards (`darklantern device card`), compared with their holders.")
]
Threshold = Annotated[int | None, typer.Option(min=1, help="How many orgs sign each roster; by default a majority.")]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        "--org-threshold", metavar="ORG=N", help="How many of an org's roots sign its manifests; by default a majority."
    ),
]
Relays = Annotated[
    list[str] | None,
    typer.Option(
        "--relay", metavar="ORG/NAME=FILE", help="A relay of an org, with its card (`darklantern relay card`)."
    ),
]
Reason = Annotated[str, typer.Option(help="Why the network begins, or ceases, to trust an org: a sentence or two.")]


@org_app.command()
def root(
    role: Annotated[
        Literal["network", "org"],
        typer.Argument(help="network: signs rosters for your org. org: signs your org's manifests, in your name."),
    ],
    yes: Yes = False,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a root key in this library.

    It counts once a roster names it. Hold roots in different orgs, and an org's with different persons, on devices that
    do little else. A second one of its role, which it asks about, is for taking the place of the first.
    """
    with open_own(folder, file) as library:
        held = library.identity.roots.get(role)
        if held is not None:
            say(f"this library has a root key of the {role}, which signs while a roster names it: {held.fingerprint}")
            confirm("Make another, to take its place? Your card would name the new one alone.", yes)
        made = library.identity.add_root(role)
    if as_json:
        tell_json({"role": role, "fingerprint": made.fingerprint})
    else:
        tell(f"a root key of the {role}: {made.fingerprint}. Your card names it: `darklantern device card`")


@org_app.command()
def found(
    cards: Cards,
    name: Annotated[str, typer.Option(help="What the network is called.")],
    until: Annotated[
        str | None, typer.Option(help="The day on which the roster expires; by default in a year.")
    ] = None,
    keeper: Annotated[
        Path | None, typer.Option(help="Card of the library, or relay, that keeps its log; by default this one.")
    ] = None,
    threshold: Threshold = None,
    thresholds: Thresholds = None,
    relays: Relays = None,
    out: DraftOut = Path("draft.json"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft the first roster of a network.

    It takes at least three orgs, with a network root each.
    """
    from darklantern.network.cards import Card

    with open_own(folder, file) as library:
        compared = values_of(Card, cards)
        draft = library.drafts.found_network(
            name,
            compared,
            until=day_of(until) if until else in_a_year(),
            keeper=keeper_of(keeper),
            threshold=threshold,
            thresholds=_counts(thresholds),
            relays=[_relay(each) for each in relays or ()],
        )
        pass_on(library, draft, out, as_json, compared)


@org_app.command()
def change(
    admit: Annotated[
        list[Path] | None, typer.Option(metavar="CARD", help="Card with a root of an org to admit; give one or more.")
    ] = None,
    expel: Annotated[
        list[str] | None, typer.Option(metavar="ORG", help="Org that the network no longer trusts.")
    ] = None,
    reason: Reason = "",
    root: Annotated[
        list[Path] | None,
        typer.Option(metavar="CARD", help="Card whose roots take the place of those of the same org and person."),
    ] = None,
    retire: Annotated[
        list[str] | None, typer.Option(metavar="ORG", help="Org whose network root signs no longer.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="The day on which the next roster expires.")] = None,
    threshold: Threshold = None,
    thresholds: Thresholds = None,
    relays: Relays = None,
    without_relay: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Name of a relay that counts no longer.")
    ] = None,
    keeper: Annotated[
        Path | None,
        typer.Option(help="Card of whom the network's log moves to: library or relay; first announced, then moved."),
    ] = None,
    settle: Annotated[
        bool, typer.Option("--settle", help="Set aside the second of two rosters that claim to be the newest.")
    ] = False,
    out: DraftOut = Path("draft.json"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft the next roster: admit or expel orgs, renew it.

    Also: rotate roots, move the network's log, settle a fork.
    """
    from darklantern.network.cards import Card

    if not any((admit, expel, root, retire, until, threshold, thresholds, relays, without_relay, keeper, settle)):
        raise RefusedError("expected something to change, got nothing", hint="see `darklantern org change --help`")
    with open_own(folder, file) as library:
        admitted, rooted = values_of(Card, admit), values_of(Card, root)
        draft = library.drafts.roster(
            admit=admitted,
            expel=expel or (),
            reason=reason,
            roots=rooted,
            retire=retire or (),
            until=day_of(until) if until else None,
            threshold=threshold,
            thresholds=_counts(thresholds),
            relays=[_relay(each) for each in relays or ()],
            without_relays=without_relay or (),
            keeper=keeper_of(keeper),
            settle=settle,
        )
        pass_on(library, draft, out, as_json, (*admitted, *rooted))


@org_app.command()
def show(folder: LibraryFolder = None, file: PassphraseFile = None, as_json: Json = False) -> None:
    """Show the roster: which orgs are trusted, and why."""
    from darklantern.network.wording import words

    with open_own(folder, file) as library:
        state = library.view.network
        if state.roster is None:
            raise RefusedError("no roster is here yet", hint="take in a bundle: `darklantern bundle import`")
        net = library.net
    if as_json:
        tell_json({"net": net, "roster": plain(state.roster), "forked": state.roster_fork is not None})
        return
    tell(f"network {net}")
    tell(f"roster version {state.roster.version}, until {state.roster.until}")
    for line in words(state.roster)[1:]:
        tell(line)
    for gone in state.roster.expelled:
        tell(f"expelled {gone.name} on {gone.time}: {gone.reason}")
    if state.roster_fork:
        tell("two rosters claim to be the newest: sealing stops until `darklantern org change --settle` is published")


def _relay(said: str) -> "Relay":
    """ORG/NAME=FILE."""
    from darklantern.network.rosters import Relay
    from darklantern.sealing import RelayCard

    name, _, file = said.partition("=")
    org, _, relay = name.rpartition("/")
    if not org or not relay or not file:
        raise StoreError(f"expected ORG/NAME=FILE, got {said!r}", hint="for example --relay Aurora/north=north.card")
    return Relay(name=relay, org=org, card=value_of(RelayCard, Path(file)))


def _counts(said: list[str] | None) -> dict[str, int]:
    """ORG=N, several times."""
    counts = {}
    for each in said or ():
        org, _, count = each.rpartition("=")
        if not org or not count.isdecimal() or int(count) < 1:
            raise StoreError(f"expected ORG=N, got {each!r}", hint="for example --org-threshold Aurora=2")
        counts[org] = int(count)
    return counts
