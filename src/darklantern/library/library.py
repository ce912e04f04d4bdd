"""The library as its users hold it: what spans all of it, and a small class for each subject.

In: calls. Out: values. Each call that changes anything decides first, on frozen values, and then writes once.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import final

from darklantern.library import deleting, files, opening, searching
from darklantern.library.acts import Act, acts_of
from darklantern.library.artifact_sealing import Progress
from darklantern.library.calls.bundles import Bundles
from darklantern.library.calls.care import Care
from darklantern.library.calls.drafts import Drafts
from darklantern.library.calls.findings import Findings
from darklantern.library.calls.identity import Identity
from darklantern.library.calls.members import Members
from darklantern.library.calls.panels import Panels
from darklantern.library.calls.relays import Relays
from darklantern.library.calls.threads import Threads
from darklantern.library.desk import Clock, Desk
from darklantern.library.ended import ended
from darklantern.library.forks import ForkFound, forks
from darklantern.library.joining import HOLDER
from darklantern.library.loading import first_contents
from darklantern.library.outbox import put
from darklantern.library.searching import Hit
from darklantern.library.state import unlocked
from darklantern.library.status import Status, status
from darklantern.library.taken_back import taken_back
from darklantern.network.belonging import Belonging, belonging
from darklantern.network.cards import Holder, check_holder
from darklantern.network.circles import Terms
from darklantern.network.deciding import Follows
from darklantern.network.explaining import Explained, explain
from darklantern.network.reading import leaf_id
from darklantern.network.states import Opaque
from darklantern.network.view import View
from darklantern.records.exact import Time, encode
from darklantern.records.record import NOBODY
from darklantern.sealing import Device, DevicePublic, Envelope, LogKey
from darklantern.stores import RECOMMENDED, Cost, create_vault


def create(
    folder: Path,
    passphrase: str,
    *,
    net: str = NOBODY,
    device: Device,
    holder: Holder | None = None,
    follows: Follows,
    log_key: LogKey | None = None,
    clock: Clock = time.time,
    cost: Cost = RECOMMENDED,
    keystore: str | None = None,
) -> "Library":
    """A new library in `folder`, opened. `holder` is who holds it, for its `identity.card`.

    `keystore` is the name under which the operating system's keystore holds the passphrase (`stores.keystore`).

    `net` is the envelope id of the network's first roster: compare it, in person, with who invited you.
    Nothing that does not descend from it is ever accepted. Without it the library has keys only, until
    `identity.join`. `log_key` makes this library the keeper of the logs that name it. `follows` is as in
    `Library.open`. Raises StoreError when the folder is in use, RefusedError for a holder that nobody could name.
    """
    if holder:
        check_holder(holder)
    said = {HOLDER: encode(holder).decode()} if holder else {}
    create_vault(folder, passphrase, first_contents(net, device, log_key, said), cost, keystore)
    return Library.open(folder, passphrase, follows=follows, clock=clock)


@final
@dataclass(frozen=True)
class Library:
    """An open library. One process holds it at a time; use it in a `with` statement, or close it."""

    _desk: Desk = field(repr=False)

    @classmethod
    def open(
        cls, folder: Path, passphrase: str, *, follows: Follows, clock: Clock = time.time, wait_s: float = 0.0
    ) -> "Library":
        """The library in `folder`, for which it waits so long while another process holds it. Raises StoreError.

        `follows` says whether an assessment's level follows from its answers, which is asked before anything is sealed
        or opened: pass `darklantern.assess.level_follows`.
        All its records are judged again, which takes about 0.2 ms each in logs of up to 10,000 entries.
        """
        return cls(Desk.at(folder, passphrase, follows, clock, wait_s))

    def close(self) -> None:
        """Let go of the folder. Everything is written already."""
        self._desk.vault.close()

    def __enter__(self) -> "Library":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Subjects

    @property
    def identity(self) -> Identity:
        """This device's keys and card, and the network that it joins."""
        return Identity(self._desk)

    @property
    def drafts(self) -> Drafts:
        """What several people sign: rosters, manifests, circles, breaches."""
        return Drafts(self._desk)

    @property
    def panels(self) -> Panels:
        """Raters of an item: commitments, ratings, votes, closings."""
        return Panels(self._desk)

    @property
    def members(self) -> Members:
        """Who belongs to a circle, and what one person signs for that alone."""
        return Members(self._desk)

    @property
    def findings(self) -> Findings:
        """Findings and their artifacts."""
        return Findings(self._desk)

    @property
    def threads(self) -> Threads:
        """What is said, and what to look at."""
        return Threads(self._desk)

    @property
    def relays(self) -> Relays:
        """Known relays, and syncing."""
        return Relays(self._desk)

    @property
    def bundles(self) -> Bundles:
        """A sync as one file."""
        return Bundles(self._desk)

    @property
    def care(self) -> Care:
        """Verifying, compacting, backups, passphrase, index, reports."""
        return Care(self._desk)

    # What is here

    @property
    def device(self) -> DevicePublic:
        """What others may know of this device. Its org's manifest must list it."""
        return self._desk.held.device.public

    @property
    def net(self) -> str:
        """The network: the id of its first roster's envelope. Raises RefusedError where there is none."""
        return self._desk.state.view.net

    @property
    def view(self) -> View:
        """What the logs say, without what waits in the outbox."""
        return self._desk.state.view

    @property
    def pending(self) -> tuple[str, ...]:
        """Ids of records that wait for the keeper of their log: sync, or carry a bundle to it."""
        return tuple(waiting.id for waiting in self._desk.state.outbox)

    @property
    def opaque(self) -> tuple[Opaque, ...]:
        """Entries that are in a log and do not count, each with its reason."""
        return self._desk.state.working.opaque

    @property
    def entries(self) -> dict[str, str]:
        """Id → circle of every item and post that counts, and of those that wait."""
        circles = self._desk.state.working.circles
        return {entry: circle for circle, state in circles.items() for entry in state.entries}

    def circles(self) -> dict[str, Terms]:
        """Circle id → its terms, for each circle whose terms this device knows."""
        return self._desk.terms()

    def known(self, beginning: str) -> tuple[str, ...]:
        """The ids of all records here, waiting ones too, that begin so."""
        trails = self._desk.state.view.trails.values()
        ids = {id for trail in trails for id in trail.ids}.union(self.pending)
        return tuple(sorted(id for id in ids if beginning and id.startswith(beginning)))

    def taken_back(self, beginning: str) -> dict[str, str]:
        """Id → when and by whom it was taken back, for each item or post whose id begins so and that is gone."""
        return taken_back(self._desk.state, beginning)

    def acts(self, log: str) -> tuple[Act, ...]:
        """Every entry of a log, the network's or a circle's by its id: who signed it, and why it does not count.

        Raises RefusedError for a log that no record here names.
        """
        state = self._desk.state
        state.view.origin(log)  # unknown means nobody
        return tuple(acts_of(state, log))

    def forks(self) -> tuple[ForkFound, ...]:
        """Logs and devices that contradicted themselves, and versions that contend, each with what proves it."""
        return forks(self._desk.state)

    def explain(self, org: str, person: str, record: str) -> Explained:
        """Why somebody can or cannot read an item or a post, and why it may not have reached them."""
        state = self._desk.state
        return explain(state.working, (org, person), record, waiting=frozenset(self.pending), now=self._desk.now())

    def belonging(self, org: str, person: str, circle: str) -> Belonging:
        """Whether somebody is a member of a circle now, and why not. Raises RefusedError for an unknown circle."""
        state, id = self._desk.state, self._desk.circle(circle)
        return belonging(state.view, (org, person), id, called=state.name_of(id), now=self._desk.now())

    def status(self) -> Status:
        """What is held and what is there, what waits and for whom, what is stale and since when. Asks nobody."""
        return status(self._desk.state, self._desk.whole, self._desk.time())

    def ended(self) -> tuple[str, ...]:
        """What this device, or its person, no longer belongs to, as the logs here say: since when, by whom, and why."""
        return tuple(ended(self._desk.state, self._desk.now()))

    def search(
        self,
        text: str,
        *,
        circle: str | None = None,
        author: str | None = None,
        tag: str | None = None,
        since: Time | None = None,
        older: bool = False,
        limit: int = 20,
    ) -> tuple[Hit, ...]:
        """Findings and posts that hold all words of `text`, best first.

        "two words" in quotes stand together, begin* finds beginnings; nothing else has a meaning. `author` is the id of
        a person or an org. With `older` also superseded versions. A circle marked `no-index`, or at V3 or V4, is
        searched only after `care.set_indexed`. Raises SearchError for a text without a word.
        """
        found = searching.query(
            text,
            circle=self._desk.circle(circle) if circle else None,
            author=author,
            tag=tag,
            since=since,
            older=older,
            limit=limit,
        )
        return tuple(searching.hit(row) for row in self._desk.vault.database.find(found))

    @property
    def unsearched(self) -> tuple[str, ...]:
        """The names of the circles whose texts are not in the index here: `care.set_indexed` takes them in."""
        state = self._desk.state
        return tuple(
            sorted(terms.name for id, terms in state.keyring.terms.items() if not searching.is_indexed(state, id))
        )

    # What is done to any record

    def add(self, envelope: Envelope | bytes) -> str:
        """Add a roster, manifest, pledge or circle that others signed. Its id.

        Appended at once where this library keeps the network's log; elsewhere it waits in the outbox.
        Raises RefusedError, SignatureError or RecordError for one that would not count.
        """
        data = encode(envelope) if isinstance(envelope, Envelope) else envelope
        self._desk.step(unlocked(put(self._desk.state, self.net, data)))
        return leaf_id(data)

    def bury(self, entry: str) -> str:
        """Ask that an item or a post be dropped by everybody. The request's id.

        One's own is dropped at once, here and wherever the request arrives; somebody else's once a quorum of the
        circle's admins has asked. Relays and libraries that keep to it drop ciphertext, text and index, and say so
        (`care.report` lists who has not). Nothing can be said of copies. Raises RefusedError.
        """
        state = self._desk.state
        found = opening.look_up(state, "post", entry) or opening.find(state, "item", entry)
        state, request = deleting.bury(state, found, self._desk.time())
        self._desk.step(state)
        self._desk.say_dropped()
        return request

    def open_file(self, file: files.File, out: files.File, progress: Progress = files.unheard) -> None:
        """Open an age file that was sealed to this device, as the new file `out`. Raises SealError or StoreError.

        Nothing says who sealed it. Streams may stand in place of files: see `files.open_with`.
        """
        files.open_with(file, out, [self._desk.held.device.receiving], progress)
