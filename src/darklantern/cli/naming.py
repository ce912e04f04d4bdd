"""What people type in place of whole ids: names of people, circles and logs, and the beginnings of ids.

In: a library and a word. Out: the one thing that it names, or an error that says how many it names and where to find
the right word. Never a guess.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from darklantern.cli.near import meant, near
from darklantern.errors import RefusedError, StoreError

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.network.manifests import Standing
    from darklantern.records.findings import Artifact, Finding


def device_named(library: "Library", named: str) -> str:
    """The id of the one device whose id or fingerprint begins so. Raises RefusedError."""
    devices = library.view.network.devices
    found = [
        id
        for id, standing in devices.items()
        if named and (id.startswith(named.lower()) or standing.device.fingerprint.startswith(named.upper()))
    ]
    if len(found) != 1:
        raise RefusedError(
            f"expected the beginning of one device's id or fingerprint, got {named!r}, with which {len(found)} begin",
            hint="`darklantern member list` shows them",
        )
    return found[0]


def person_named(library: "Library", named: str, *, roots: bool = False) -> tuple[str, str]:
    """The (org, person) of ORG/PERSON, or of a person's id that only one org has. Raises RefusedError.

    With `roots` also whoever only holds a root of an org, which may have published no manifest.
    """
    people = {
        (org, person.id)
        for org, versions in library.view.network.manifests.items()
        for version in versions
        for person in version.body.people
    }
    if roots:
        rosters = library.view.network.rosters
        people |= {(org.name, root.person) for each in rosters for org in each.body.orgs for root in org.roots}
    found = sorted(who for who in people if named in ("/".join(who), who[1]))
    if len(found) != 1:
        raise RefusedError(
            f"expected one person as ORG/PERSON, got {named!r}, which names {len(found) or 'nobody'}",
            hint=meant(_people_like(named, people), "`darklantern member list` shows everybody"),
        )
    return found[0]


def _people_like(named: str, people: Iterable[tuple[str, str]]) -> Sequence[str]:
    """Those whose ORG/PERSON is like what was typed, or else their id alone."""
    known = sorted(people)
    ids = near(named.rpartition("/")[2], (person for _, person in known))
    return near(named, map("/".join, known)) or ["/".join(who) for who in known if who[1] in ids]


def org_named(library: "Library", named: str) -> str:
    """The org of the roster that is called so, spelled exactly. Raises RefusedError."""
    roster = library.view.network.roster
    known = [org.name for org in roster.orgs] if roster else []
    if named not in known:
        raise RefusedError(
            f"expected an org of the roster, got {named!r}",
            hint=meant(near(named, known), "`darklantern org show` lists them"),
        )
    return named


def circle_named(library: "Library", named: str) -> str:
    """The id of a circle by its name, or by its id's beginning. Raises RefusedError."""
    ids = [id for id in library.view.circles if named and id.startswith(named)]
    names = {terms.name for terms in library.circles().values()}
    found = [id for id, terms in library.circles().items() if terms.name == named] or ids
    if len(found) != 1:
        raise RefusedError(
            f"expected one circle's name, or the beginning of its id, got {named!r}, which names {len(found)}",
            hint=meant(near(named, names), "`darklantern circle list` shows them"),
        )
    return found[0]


def log_named(library: "Library", named: str) -> str:
    """The id of a log: `network`, or a circle's name or the beginning of its id. Raises RefusedError."""
    return library.net if named in ("network", library.net) else circle_named(library, named)


def relay_named(library: "Library", named: str) -> str:
    """The id of a known relay by its address, or by its id's beginning. Raises RefusedError."""
    found = [id for id, card in library.relays.known.items() if named and (id.startswith(named) or named in card.urls)]
    if len(found) != 1:
        raise RefusedError(
            f"expected a relay's address, or the beginning of its id, got {named!r}, which names {len(found)}",
            hint="`darklantern relay list` shows them",
        )
    return found[0]


def own_org(library: "Library") -> str:
    """The org of whoever holds this library."""
    return library.identity.holder.org


def whose(standing: "Standing") -> str:
    """A device's holder for people."""
    return f"{standing.name} ({standing.person} of {standing.org})"


def item_named(library: "Library", item: str) -> str:
    """The one item whose id begins with `item`."""
    found = [entry.id for entry in library.findings.listed(older=True) if item and entry.id.startswith(item)]
    if len(found) != 1:
        _check_not_taken_back(library, found, item)
        raise StoreError(
            f"expected the beginning of one item's id, got {item!r}, with which {len(found)} begin",
            hint="`darklantern finding list` lists them; "
            + ("give more letters" if found else "copy the id from the first column"),
        )
    return found[0]


def artifacts_of(finding: "Finding") -> "list[Artifact]":
    """The artifacts that a finding's evidence names, each once; one file may have several names."""
    return list(dict.fromkeys(artifact for evidence in finding.evidence for artifact in evidence.artifacts))


def artifact_named(library: "Library", item: str, named: str) -> str:
    """The SHA-256 of the one artifact of an item that is called so, or whose SHA-256 begins so. Raises StoreError.

    It opens the finding, which the open-log notes, but not where the SHA-256 is whole.
    """
    if re.fullmatch("[0-9a-f]{64}", named):
        return named
    held = artifacts_of(library.findings.open(item).finding)
    called = {artifact.sha256 for artifact in held if artifact.name == named}
    found = called or {artifact.sha256 for artifact in held if named and artifact.sha256.startswith(named.lower())}
    if len(found) != 1:
        like = () if found else near(named, {artifact.name for artifact in held})
        raise StoreError(
            f"expected one artifact's name, or the beginning of its SHA-256, got {named!r}, which names {len(found)}",
            hint=meant(like, f"`darklantern finding artifacts {item[:16]}` lists them"),
        )
    return found.pop()


def waiting_named(library: "Library", beginning: str) -> str:
    """The id of the one record in the outbox that begins so. Raises RefusedError."""
    found = [id for id in library.pending if beginning and id.startswith(beginning)]
    if len(found) != 1:
        raise RefusedError(
            f"expected the beginning of one waiting record's id, got {beginning!r}, with which {len(found)} begin",
            hint="`darklantern status` lists what waits",
        )
    return found[0]


def entry_named(library: "Library", beginning: str) -> tuple[str, str]:
    """The one item or post whose id begins so, and its circle."""
    held = library.entries
    found = [entry for entry in held if beginning and entry.startswith(beginning)]
    if len(found) != 1:
        _check_not_taken_back(library, found, beginning)
        raise StoreError(
            f"expected the beginning of one id, got {beginning!r}, with which {len(found)} begin",
            hint="`darklantern thread list` and `show` give them; "
            + ("give more letters" if found else "copy the id from the first column"),
        )
    return found[0], held[found[0]]


def _check_not_taken_back(library: "Library", found: Collection[str], beginning: str) -> None:
    """Raises StoreError where nothing begins so but what is gone, and says what became of it."""
    gone = {} if found else library.taken_back(beginning)
    if gone:
        raise StoreError("; ".join(gone.values()), hint="nothing of it is here any more; its author may share another")
