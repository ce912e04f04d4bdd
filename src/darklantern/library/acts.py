"""What stands in a log: each entry with who signed it, what it says, and whether it counts.

In: a state. Out: frozen values, in the order of the log. Nothing is opened for them: of an item or a post they say that
it is one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from darklantern.errors import DarkLanternError
from darklantern.library.state import State
from darklantern.network.reading import Read, read
from darklantern.network.sentences import sentence
from darklantern.records.exact import Time


@dataclass(frozen=True)
class Act:
    """One entry of a log."""

    log: str
    position: int
    id: str
    kind: str
    time: Time
    """as its author wrote it"""
    by: tuple[str, ...]
    what: str
    refused: str | None
    """why it does not count, although it is in the log"""


def acts_of(state: State, log: str) -> Iterator[Act]:
    """Every entry of a log that is held here."""
    view = state.view
    refused = {leaf.position: leaf.reason for leaf in view.opaque if leaf.log == log}
    signers = _signers(state)
    for position, data in enumerate(state.entries.get(log, ())):
        try:
            found = read(data)
        except DarkLanternError as error:  # of a kind, or in a shape, that this version does not know
            yield Act(log, position, view.trail(log).ids[position], "", "", (), "does not read", error.message)
            continue
        by = tuple(signers.get(each.keyid, f"key {each.keyid[:8]}…") for each in found.envelope.signers)
        yield _act(log, position, found, by, refused.get(position))


def _act(log: str, position: int, found: Read, by: tuple[str, ...], reason: str | None) -> Act:
    record = found.record
    return Act(log, position, found.id, record.kind, record.time, by, sentence(found.body), reason)


def _signers(state: State) -> Mapping[str, str]:
    """Key id → whose key it is, for every key that a roster or a manifest ever named."""
    found: dict[str, str] = {}
    for version in state.view.network.rosters:
        found |= {root.key.id: f"a network root of {root.org}" for root in version.body.roots}
        for org in version.body.orgs:
            found |= {root.key.id: f"{root.person}, a root of {org.name}" for root in org.roots}
    for standing in state.view.network.devices.values():
        found[standing.device.signing.id] = f"{standing.name} ({standing.org})"
    return found
