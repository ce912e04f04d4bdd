"""Opening what a circle holds: findings, their artifacts and posts.

In: a state and the pieces. Out: values with their author's name as the manifests say it. Everything
that comes out was written by a peer: it is data, never markup and never a command.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from darklantern.errors import DarkLanternError, RefusedError, SealError
from darklantern.library.state import State
from darklantern.network.deciding import Follows, allows, check_follows
from darklantern.network.explaining import why_shut
from darklantern.network.items import Package, Posting, SealedArtifact, SealedKind, finding_hash, open_content
from darklantern.network.keyring import seed_of
from darklantern.network.links import Relations
from darklantern.network.states import CircleState, SealedEntry
from darklantern.records.assessments import Assessment, Level
from darklantern.records.exact import Time
from darklantern.records.findings import Finding

Fetch = Callable[[Iterable[str]], Mapping[str, bytes]]
"""Names of pieces → those that are here and whole."""


@dataclass(frozen=True)
class Author:
    """Who signed: a device, and whose it is."""

    device: str
    person: str
    org: str
    name: str
    """what the person is called; chosen by their org"""

    def __str__(self) -> str:
        return f"{self.name} ({self.org})"


@dataclass(frozen=True)
class Listed:
    """One item of a circle. `problem` says why it does not open, if it does not."""

    id: str
    circle: str
    author: Author
    time: Time
    pending: bool
    """whether it still waits for the keeper of its log"""
    title: str | None = None
    level: Level | None = None
    problem: str | None = None
    supersedes: str | None = None
    """the item of which it claims to be a new version"""
    tags: tuple[str, ...] = ()
    """the item's and its finding's"""


@dataclass(frozen=True)
class OpenedFinding:
    """A finding as its author shared it.

    The level follows from the assessment's answers. The answers are its author's word, and so are its sentences.
    """

    id: str
    circle: str
    finding: Finding
    assessment: Assessment
    level: Level
    markings: tuple[str, ...]
    """what the circle says of use and handling"""
    author: Author
    time: Time
    pending: bool
    artifacts: tuple[str, ...]
    """SHA-256 of each"""
    relations: Relations
    """as its author gave them: `Findings.versions` and `Findings.links` say what they amount to"""


@dataclass(frozen=True)
class Found:
    """An accepted entry and the circle it is in."""

    circle: CircleState
    entry: SealedEntry


def entries(state: State, kind: str) -> Iterator[Found]:
    """Every accepted entry of a kind, waiting ones last."""
    for circle in state.working.circles.values():
        yield from (Found(circle, entry) for entry in circle.in_order() if entry.record.kind == kind)


def in_order(found: Iterable[Found]) -> list[Found]:
    """Circle by circle in the order of its log; what waits comes last, as it was written."""
    return sorted(found, key=lambda each: (each.circle.id, each.entry.position, each.entry.record.seq))


def packages(state: State, fetch: Fetch, follows: Follows) -> Iterator[tuple[Found, Package, Level]]:
    """Every item that opens here."""
    for found in entries(state, "item"):
        with suppress(DarkLanternError):
            yield (found, *open_package(state, found, fetch, follows))


def look_up(state: State, kind: str, entry_id: str) -> Found | None:
    """The accepted entry of that kind and id, or None."""
    for circle in state.working.circles.values():
        entry = circle.entries.get(entry_id)
        if entry and entry.record.kind == kind:
            return Found(circle, entry)
    return None


def find(state: State, kind: str, entry_id: str) -> Found:
    """The accepted entry of that id. Raises RefusedError, with the reason where it is there and does not count."""
    found = look_up(state, kind, entry_id)
    if found:
        return found
    reason = next((leaf.reason for leaf in state.working.opaque if leaf.id == entry_id), "it is not in this library")
    if any(entry_id in circle.buried for circle in state.working.circles.values()):
        reason = "it was taken back, and dropped here"
    raise RefusedError(f"no {kind} {entry_id} counts here: {reason}", hint="import a newer bundle, or check the id")


def check_given(state: State, found: Found, now: int) -> None:
    """Raises SealError where an entry is sealed to others: to how many, and why this device is not among them."""
    keyring, epoch = state.keyring, found.entry.body.header.epoch
    if epoch in keyring.seeds or epoch in keyring.problems or epoch in keyring.forgotten:
        return
    terms = keyring.terms.get(found.circle.id)
    called = repr(terms.name) if terms else f"{found.circle.id[:8]}…"
    raise SealError(
        why_shut(state.working, found.entry.id, state.device_id, called=called, now=now),
        hint="what is sealed once you are a member opens for you; its author can share this one again then",
    )


def author_of(state: State, entry: SealedEntry) -> Author:
    """Who signed an accepted entry."""
    return author_by(state, entry.record.author_device)


def author_by(state: State, device: str) -> Author:
    """Whose a device is that a manifest listed."""
    standing = state.working.network.devices[device]
    return Author(standing.id, standing.person, standing.org, standing.name)


def open_package(state: State, found: Found, fetch: Fetch, follows: Follows) -> tuple[Package, Level]:
    """What is in an item. Raises SealError, RefusedError or RecordError.

    Refused, not shown with a mark: a reader who holds it back loses a day, and a claimed level that is passed on as
    if it were one cannot be taken back.
    """
    content, level = _open(state, found, Package, "item", fetch)
    assessment = content.assessment
    if assessment.finding != finding_hash(content.finding) or assessment.operate != level:
        raise RefusedError(
            "the item's assessment is of another finding, or says another level than the item",
            hint="ask its author to share it again",
        )
    check_follows(assessment, follows)
    return content, level


def open_post(state: State, found: Found, fetch: Fetch) -> Posting:
    """What is in a post's record. Raises SealError, RefusedError or RecordError."""
    return _open(state, found, Posting, "post", fetch)[0]


def post_level(state: State, found: Found, fetch: Fetch) -> Level:
    """The level that a post was sealed at. Raises SealError, RefusedError or RecordError."""
    return _open(state, found, Posting, "post", fetch)[1]


def listed(state: State, found: Found, fetch: Fetch, follows: Follows) -> Listed:
    """The item as a list shows it. Never raises for one that does not open: it is listed with its problem."""
    entry = found.entry
    package, level, problem = None, None, None
    try:
        package, level = open_package(state, found, fetch, follows)
    except DarkLanternError as error:
        problem = error.message
    return Listed(
        id=entry.id,
        circle=found.circle.id,
        author=author_of(state, entry),
        time=entry.record.time,
        pending=is_pending(state, found),
        title=package.finding.title if package else None,
        level=level,
        problem=problem,
        supersedes=package.supersedes if package else None,
        tags=tags_of(package) if package else (),
    )


def tags_of(package: Package) -> tuple[str, ...]:
    """All words to find an item by: those that it was shared with, and its finding's own."""
    return tuple(sorted({*package.tags, *package.finding.tags}))


def opened(state: State, found: Found, fetch: Fetch, follows: Follows) -> OpenedFinding:
    """The finding in an item. Raises SealError, RefusedError or RecordError."""
    package, level = open_package(state, found, fetch, follows)
    return OpenedFinding(
        id=found.entry.id,
        circle=found.circle.id,
        finding=package.finding,
        assessment=package.assessment,
        level=level,
        markings=state.terms(found.circle.id).tags,
        author=author_of(state, found.entry),
        time=found.entry.record.time,
        pending=is_pending(state, found),
        artifacts=tuple(artifact.sha256 for artifact in package.artifacts),
        relations=Relations(package.supersedes, package.links, package.tags),
    )


def artifact_of(state: State, found: Found, sha256: str, fetch: Fetch, follows: Follows) -> SealedArtifact:
    """One artifact of an item, still sealed, with its seed. Raises SealError, RefusedError or RecordError."""
    package, _ = open_package(state, found, fetch, follows)
    artifact = next((each for each in package.artifacts if each.sha256 == sha256), None)
    if artifact is None:
        raise SealError(
            f"the item has no artifact {sha256}", hint=f"it has {len(package.artifacts)}; its evidence names them"
        )
    return artifact


def carried_levels(state: State, finding: Finding, fetch: Fetch) -> Iterator[Level]:
    """The levels at which other persons have shared this very finding.

    Their word is enough to close: it counts even where the item does not open because the level is only claimed.
    """
    others = (found for found in entries(state, "item") if not is_mine(state, found))
    return (level for _, level in holding(state, others, finding, fetch))


def holding(state: State, among: Iterable[Found], finding: Finding, fetch: Fetch) -> Iterator[tuple[Found, Level]]:
    """Those items that hold this very finding, with the level that each is sealed at, whether that follows or not."""
    wanted = finding_hash(finding)
    for found in among:
        with suppress(DarkLanternError):
            package, level = _open(state, found, Package, "item", fetch)
            if finding_hash(package.finding) == wanted:
                yield found, level


def is_mine(state: State, found: Found) -> bool:
    """Whether this device's person wrote it, on whichever device."""
    me = state.working.network.devices.get(state.device_id)
    author = author_of(state, found.entry)
    return me is not None and (author.org, author.person) == me.owner


def unreadable(state: State, fetch: Fetch, follows: Follows) -> Iterator[tuple[str, str]]:
    """(id, reason) of each entry that counts and does not open here, though its seed was given and not destroyed."""
    for found in _kept(state, "item"):
        if problem := listed(state, found, fetch, follows).problem:
            yield found.entry.id, problem
    for found in _kept(state, "post"):
        try:
            open_post(state, found, fetch)
        except DarkLanternError as error:
            yield found.entry.id, error.message


def _kept(state: State, kind: str) -> Iterator[Found]:
    keyring = state.keyring
    given = (keyring.seeds.keys() | keyring.problems.keys()) - keyring.forgotten
    return (found for found in entries(state, kind) if found.entry.body.header.epoch in given)


def is_pending(state: State, found: Found) -> bool:
    """Whether the entry still waits in the outbox."""
    return found.entry.id not in state.view.circle(found.circle.id).entries


def open_entry(state: State, found: Found, fetch: Fetch) -> tuple[Package | Posting, Level]:
    """What is in an item or a post, whether its level follows or not. Raises SealError, RefusedError or RecordError."""
    if found.entry.record.kind == "item":
        return _open(state, found, Package, "item", fetch)
    return _open(state, found, Posting, "post", fetch)


Content = TypeVar("Content", Package, Posting)


def _open(state: State, found: Found, content: type[Content], kind: SealedKind, fetch: Fetch) -> tuple[Content, Level]:
    body = found.entry.body
    seed = seed_of(state.keyring, body.header.epoch)
    terms = state.terms(found.circle.id)
    opened, level = open_content(content, kind, body, fetch(body.pieces), seed)
    if not allows(level, terms):
        raise RefusedError(
            f"it is at {level}, and circle {terms.name!r} is only at {terms.level}",
            hint="its author shared it too widely: tell them, and do not pass it on",
        )
    return opened, level
