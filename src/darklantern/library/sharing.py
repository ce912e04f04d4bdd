"""Sealing to a circle: recompute who is in it, rotate if need be, seal, and sign.

In: a state, and what to share. Out: the next state and the sealed pieces, or RefusedError naming the
rule. Nothing is written here, so a refusal leaves no trace.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from darklantern.errors import RefusedError
from darklantern.library import acting, restored
from darklantern.library.outbox import put
from darklantern.library.state import State
from darklantern.network.authoring import authored
from darklantern.network.circle_log import cutoffs
from darklantern.network.circles import Removal, Terms
from darklantern.network.clock import text
from darklantern.network.deciding import Follows, Plan, check_carried, check_label, plan
from darklantern.network.epochs import new_epoch
from darklantern.network.items import Binding, Package, Posting, SealedArtifact, SealedKind, seal_artifact, seal_content
from darklantern.network.links import UNRELATED, Relations
from darklantern.network.reading import leaf_id, read
from darklantern.network.states import EpochEntry
from darklantern.records.assessments import Assessment, Level
from darklantern.records.findings import Finding
from darklantern.sealing import Recipient

Sealing = tuple[State, str, dict[str, bytes]]
"""The next state, the id of the new record, and the pieces that it names."""


def check_finding(
    state: State,
    finding: Finding,
    artifacts: Mapping[str, bytes | Path],
    circle: str,
    assessment: Assessment | None,
    carried: Iterable[Level],
    follows: Follows,
    clock: int,
) -> None:
    """What `share_finding` would refuse, to ask before hours of sealing files. Raises RefusedError."""
    terms = state.terms(circle)
    check_carried(check_label(finding, assessment, terms, follows), terms, carried)
    _check_artifacts(finding, artifacts)
    _ready(state, circle, terms, clock)


def share_finding(
    state: State,
    finding: Finding,
    artifacts: Mapping[str, bytes | SealedArtifact],
    circle: str,
    assessment: Assessment | None,
    carried: Iterable[Level],
    follows: Follows,
    clock: int,
    relations: Relations = UNRELATED,
) -> Sealing:
    """The step that shares a finding with all its artifacts, some of them sealed before. Raises RefusedError."""
    terms = state.terms(circle)
    level = check_label(finding, assessment, terms, follows)
    assert assessment is not None  # check_label refuses None
    check_carried(level, terms, carried)
    _check_artifacts(finding, artifacts)
    state, epoch = _ready(state, circle, terms, clock)
    sealed, names, attached = [], list[str](), dict[str, bytes]()
    for _, data in sorted(artifacts.items()):
        artifact, pieces = (data, dict[str, bytes]()) if isinstance(data, SealedArtifact) else seal_artifact(data)
        sealed.append(artifact)
        names += artifact.pieces
        attached |= pieces
    package = Package(
        finding=finding,
        assessment=assessment,
        artifacts=tuple(sealed),
        supersedes=relations.supersedes,
        links=relations.links,
        tags=relations.tags,
    )
    state, item, pieces = _seal(state, package, "item", circle, epoch, level, names, clock)
    return state, item, pieces | attached


def share_posting(state: State, posting: Posting, circle: str, level: Level, clock: int) -> Sealing:
    """The step that adds a post, or what is done to one, to a circle's log. Raises RefusedError."""
    state, epoch = _ready(state, circle, state.terms(circle), clock)
    attached = [name for artifact in posting.artifacts for name in artifact.pieces]
    return _seal(state, posting, "post", circle, epoch, level, attached, clock)


def seal_again(
    state: State, content: Package | Posting, circle: str, level: Level, attached: Sequence[str], clock: int
) -> Sealing:
    """The step that seals a content of this device's own once more, to the epoch of now. Raises RefusedError."""
    state, epoch = _ready(state, circle, state.terms(circle), clock)
    kind: SealedKind = "item" if isinstance(content, Package) else "post"
    return _seal(state, content, kind, circle, epoch, level, attached, clock)


def rotate(state: State, circle: str, clock: int) -> State:
    """The step to a new epoch for whoever is effective now. Raises RefusedError."""
    made = _plan(state, circle, clock)
    return _rotated(state, circle, state.terms(circle), made, clock)[0]


def _check_removals(state: State, circle: str) -> None:
    """Raises RefusedError while a removal by this device waits: until it is in the log, an epoch must include them."""
    for waiting in state.outbox:
        body = read(waiting.envelope).body if waiting.log == state.view.net else None
        if isinstance(body, Removal) and body.circle == circle:
            raise RefusedError(
                f"{body.person} of {body.org} is to be removed, and the removal still waits here",
                hint="sync first, or carry a bundle to whoever can: what is sealed before would still open for them",
            )


def _plan(state: State, circle: str, clock: int) -> Plan:
    _check_removals(state, circle)
    now = state.now(clock)
    return plan(
        state.working,
        circle,
        state.device_id,
        seeds=state.keyring.seeds.keys(),
        kept=state.kept,
        now=now,
        signed=acting.signed(state, state.working.rules(circle).pledges, now),
    )


def _ready(state: State, circle: str, terms: Terms, clock: int) -> tuple[State, EpochEntry]:
    """A state whose newest epoch is for exactly the effective members, and in whose log this device may sign."""
    restored.check(state.waits(circle))
    made = _plan(state, circle, clock)
    return (state, made.epoch) if made.epoch else _rotated(state, circle, terms, made, clock)


def _rotated(state: State, circle: str, terms: Terms, made: Plan, clock: int) -> tuple[State, EpochEntry]:
    working, now = state.working.circle(circle), state.now(clock)
    last = working.epoch
    dropped = last.members - made.members.ids if last else frozenset[str]()
    body, seed = new_epoch(
        circle,
        [(member.id, member.device.receiver()) for member in made.members.members],
        previous=made.previous(state.keyring.seeds),
        as_of=text(made.as_of),
        terms=terms,
        dropped=cutoffs(working.chains, dropped, state.view.trail(circle).size),
    )
    data = authored(state.view, circle, "epoch", body, state.device, state.last(circle), now)
    epoch_id = leaf_id(data)
    keyring = replace(state.keyring, seeds={**state.keyring.seeds, epoch_id: seed})
    state = replace(put(state, circle, data), keyring=keyring)
    epoch = state.working.circle(circle).find_epoch(epoch_id)
    assert epoch is not None  # put refuses an epoch that does not count
    return state, epoch


def _seal(
    state: State,
    content: Package | Posting,
    kind: SealedKind,
    circle: str,
    epoch: EpochEntry,
    level: Level,
    attached: Sequence[str],
    clock: int,
) -> Sealing:
    binding = Binding(kind=kind, circle=circle, epoch=epoch.id, author=state.device_id, level=level)
    body, pieces = seal_content(content, binding, Recipient.parse(epoch.body.recipient), attached)
    data = authored(state.view, circle, kind, body, state.device, state.last(circle), state.now(clock))
    return put(state, circle, data), leaf_id(data), pieces


def _check_artifacts(finding: Finding, artifacts: Mapping[str, bytes | Path | SealedArtifact]) -> None:
    """All artifacts that the finding names, and no other, each with the hash that it names."""
    named = {artifact.sha256 for evidence in finding.evidence for artifact in evidence.artifacts}
    wrong = [name for name, data in artifacts.items() if _has_other_hash(data, name)]
    if wrong or artifacts.keys() != named:
        raise RefusedError(
            f"expected the {len(named)} artifacts that the finding names, by their SHA-256; got {len(artifacts)}, "
            f"of which {len(wrong)} have another hash and {len(named - artifacts.keys())} are missing",
            hint="a finding without its artifacts cannot be checked by others: pass every artifact's bytes",
        )


def _has_other_hash(data: bytes | Path | SealedArtifact, sha256: str) -> bool:
    if isinstance(data, Path):
        return False  # only its sealing, which reads all of it, can tell
    return (data.sha256 if isinstance(data, SealedArtifact) else hashlib.sha256(data).hexdigest()) != sha256
