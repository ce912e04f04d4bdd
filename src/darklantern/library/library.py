"""The library as its users hold it: the edge between decisions and the disk.

In: calls. Out: values. Each call that changes anything decides first, on frozen values, and then writes
once: pieces, then one transaction.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from darklantern.errors import RefusedError, StoreError
from darklantern.library import (
    backup,
    carrying,
    compacting,
    deleting,
    exporting,
    files,
    open_log,
    opening,
    report,
    restored,
    searching,
    sharing,
    verifying,
    versions,
)
from darklantern.library.acting import with_notices
from darklantern.library.alone import Alone
from darklantern.library.artifact_reading import ArtifactReader
from darklantern.library.artifact_sealing import Progress, forget_named, give_up, seal_file
from darklantern.library.backup import BackedUp
from darklantern.library.carrying import Exported, Holdings
from darklantern.library.compacting import Compaction
from darklantern.library.drafting import Drafting
from darklantern.library.hands import Hands
from darklantern.library.identity import Identity
from darklantern.library.importing import Imported, wanted_pieces
from darklantern.library.joining import HOLDER
from darklantern.library.keeping import with_heads
from darklantern.library.loading import difference, first_contents, load
from darklantern.library.open_log import OpenLog
from darklantern.library.opening import Listed, OpenedFinding
from darklantern.library.outbox import put
from darklantern.library.report import Report
from darklantern.library.searching import Hit
from darklantern.library.state import State, unlocked
from darklantern.library.status import Status, status
from darklantern.library.syncing import remembering
from darklantern.library.syncing.fetching import Progress as PieceProgress
from darklantern.library.syncing.http import HttpRemote
from darklantern.library.syncing.remote import Remote
from darklantern.library.syncing.reports import RelaySync, Synced
from darklantern.library.syncing.session import sync_with
from darklantern.library.threads import attaching, indexing, marking, notifying, posting, reading
from darklantern.library.threads.notifications import Notification
from darklantern.library.threads.places import Quiet
from darklantern.library.threads.posting import Attached, Destination
from darklantern.library.threads.values import Thread, ThreadListed, ThreadPost
from darklantern.library.verifying import Problem
from darklantern.library.versions import Linked
from darklantern.network.cards import Holder
from darklantern.network.circles import Terms, check_terms
from darklantern.network.deciding import Follows
from darklantern.network.effective import Effective, effective
from darklantern.network.explaining import Explained, explain
from darklantern.network.heads import ForkedLogError
from darklantern.network.items import Posting, SealedArtifact
from darklantern.network.links import LinkKind
from darklantern.network.reading import leaf_id
from darklantern.network.states import Opaque
from darklantern.records.assessments import Assessment
from darklantern.records.exact import Time, encode
from darklantern.records.findings import Finding
from darklantern.records.posts import Content
from darklantern.records.record import NOBODY
from darklantern.sealing import Device, Envelope, LogKey, Recipient, RelayCard
from darklantern.stores import RECOMMENDED, Cost, Vault, create_vault, open_vault
from darklantern.stores.blobs import pick
from darklantern.stores.schema import STALE_INDEX

Clock = Callable[[], float]


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
    """A new library in `folder`, opened. `holder` is who holds it, for its `card`.

    `keystore` is the name under which the operating system's keystore holds the passphrase (`stores.keystore`).

    `net` is the envelope id of the network's first roster: compare it, in person, with who invited you.
    Nothing that does not descend from it is ever accepted. Without it the library has keys only, until `join`.
    `log_key` makes this library the keeper of the logs that name it. `follows` is as in `Library.open`. Raises
    StoreError when the folder is in use.
    """
    said = {HOLDER: encode(holder).decode()} if holder else {}
    create_vault(folder, passphrase, first_contents(net, device, log_key, said), cost, keystore)
    return Library.open(folder, passphrase, follows=follows, clock=clock)


class Library(Identity, Drafting, Alone):
    """An open library. One process holds it at a time; use it in a `with` statement, or close it."""

    def __init__(self, vault: Vault, state: State, follows: Follows, clock: Clock) -> None:
        self._vault = vault
        self._held = state
        self._follows = follows
        self._clock = clock
        self._awaited = searching.awaited(state, vault.database.indexed())

    @classmethod
    def open(cls, folder: Path, passphrase: str, *, follows: Follows, clock: Clock = time.time) -> "Library":
        """The library in `folder`. Raises StoreError.

        `follows` says whether an assessment's level follows from its answers, which is asked before anything is sealed
        or opened: pass `darklantern.assess.level_follows`.
        All its records are judged again, which takes about 0.2 ms each in logs of up to 10,000 entries.
        """
        vault = open_vault(folder, passphrase)
        try:
            library = cls(vault, load(vault.database.read()), follows, clock)
            if restored.COPIED in library._held.settings:
                settings = restored.opened(library._held.settings, library._now())
                library._step(replace(library._held, settings=settings))
            # A post that no older program opened, or that was on a damaged disk, may open now.
            library._step(indexing.placed(library._held, library._fetch))
            if STALE_INDEX in library._held.settings:
                library.reindex()
            return library
        except BaseException:
            vault.close()
            raise

    def change_passphrase(self, passphrase: str, *, cost: Cost = RECOMMENDED, keystore: str | None = None) -> None:
        """Encrypt the database anew under another passphrase, or the same at another cost. Raises StoreError.

        Copies of the folder from before still open with the old one.
        """
        self._vault.change_passphrase(passphrase, cost, keystore)

    def close(self) -> None:
        """Let go of the folder. Everything is written already."""
        self._vault.close()

    def __enter__(self) -> "Library":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Who and what

    @property
    def pending(self) -> tuple[str, ...]:
        """Ids of records that wait for the keeper of their log: export a bundle to it."""
        return tuple(waiting.id for waiting in self._state.outbox)

    @property
    def opaque(self) -> tuple[Opaque, ...]:
        """Entries that are in a log and do not count, each with its reason."""
        return self._state.working.opaque

    @property
    def entries(self) -> dict[str, str]:
        """Id → circle of every item and post that counts, and of those that wait."""
        circles = self._state.working.circles
        return {entry: circle for circle, state in circles.items() for entry in state.entries}

    def circles(self) -> dict[str, Terms]:
        """Circle id → its terms, for each circle whose terms this device knows."""
        state = self._state
        return {circle: terms for circle, terms in state.keyring.terms.items() if circle in state.view.circles}

    def effective(self, circle: str) -> Effective:
        """The members of a circle now, and the reason for every candidate who is not one. By name or id."""
        state, circle = self._state, self._circle(circle)
        view = state.working
        frozen = view.circle(circle).frozen_at(view.trail(circle).size)
        return effective(view.network, circle, self._now(), frozen)

    def known(self, beginning: str) -> tuple[str, ...]:
        """The ids of all records here, waiting ones too, that begin so."""
        trails = self._state.view.trails.values()
        ids = {id for trail in trails for id in trail.ids} | {waiting.id for waiting in self._state.outbox}
        return tuple(sorted(id for id in ids if beginning and id.startswith(beginning)))

    def explain(self, org: str, person: str, record: str) -> Explained:
        """Why somebody can or cannot read an item or a post, and why it may not have reached them."""
        return explain(self._state.working, (org, person), record, waiting=frozenset(self.pending), now=self._now())

    # Setting up

    def add(self, envelope: Envelope | bytes) -> str:
        """Add a roster, manifest, pledge or circle that others signed. Its id.

        Appended at once where this library keeps the network's log; elsewhere it waits in the outbox.
        Raises RefusedError, SignatureError or RecordError for one that would not count.
        """
        data = encode(envelope) if isinstance(envelope, Envelope) else envelope
        self._step(unlocked(put(self._state, self.net, data)))
        return leaf_id(data)

    def add_terms(self, circle: str, terms: Terms) -> None:
        """Tell this library the terms of a circle that its user has helped to found. Raises RefusedError."""
        state = self._state
        check_terms(terms)
        if state.view.rules(circle).terms != terms.commitment:
            raise RefusedError(
                "these are not the terms that the circle's admins signed",
                hint="ask the one who drafted the circle for its terms",
            )
        keyring = replace(state.keyring, terms={**state.keyring.terms, circle: terms})
        self._step(replace(state, keyring=keyring))

    def rotate(self, circle: str) -> None:
        """Make a new epoch for exactly the effective members now. Raises RefusedError."""
        self._step(sharing.rotate(self._state, self._circle(circle), self._time()))

    # Sharing

    def share(
        self,
        finding: Finding,
        artifacts: Mapping[str, bytes | Path],
        *,
        circle: str,
        assessment: Assessment | None,
        supersedes: str | None = None,
        links: Iterable[tuple[LinkKind, str]] = (),
        tags: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> str:
        """Seal a finding and its artifacts (SHA-256 → bytes, or a file) to a circle, by name or id. The item's id.

        `supersedes` is the item of which this is a new version, of one's own only; `links` are (kind, item) pairs;
        `tags` are words for people.

        Files are read piece by piece, whatever their size; where this is interrupted, the same call goes on, and
        `give_up` removes what it left. `progress` is told of each piece of a file.
        Raises RefusedError naming the rule that forbids it, and then nothing is written: no assessment, a level
        that does not follow or is more closed than the circle's, a stale view, an expired roster, nobody to seal to.
        """
        circle = self._circle(circle)
        relations = versions.related(self._state, supersedes, links, tags)
        carried = tuple(opening.carried_levels(self._state, finding, self._fetch))
        # 1. Refuse before hours of sealing, not after.
        sharing.check_finding(self._state, finding, artifacts, circle, assessment, carried, self._follows, self._time())
        # 2. Files, piece by piece.
        sealed = {
            sha256: self._seal_file(data, sha256, progress) if isinstance(data, Path) else data
            for sha256, data in artifacts.items()
        }
        # 3. Decide, by the clock as it is now, and write.
        state, item, pieces = sharing.share_finding(
            self._state, finding, sealed, circle, assessment, carried, self._follows, self._time(), relations
        )
        self._step(state, pieces)
        with suppress(StoreError):  # it is shared; and before the next file is sealed, this is asked again
            self._forget_shared()
        return item

    def give_up(self, sha256: str) -> None:
        """Remove what an interrupted sealing left, by its file's SHA-256 or its journal's name. Raises StoreError."""
        self._forget_shared()
        give_up(
            sha256,
            blobs=self._vault.blobs,
            journals=self._vault.unfinished,
            device=self._state.device.receiving,
        )

    # Threads

    def begin_thread(
        self,
        circle: str,
        title: str,
        text: str,
        *,
        mentions: Iterable[tuple[str, str]] = (),
        attachments: Sequence[Attached] = (),
    ) -> str:
        """Begin a thread in a circle, by name or id, about no item. Its id. Raises RefusedError."""
        circle = self._circle(circle)
        said = posting.post(None, title, text, None, mentions, attachments)
        return self._say(said, Destination(circle, self._state.terms(circle).level), attachments)

    def post(
        self,
        thread: str,
        text: str,
        *,
        mentions: Iterable[tuple[str, str]] = (),
        attachments: Sequence[Attached] = (),
    ) -> str:
        """Say something in the thread of an item, or of a title. The post's id.

        `mentions` are members of the circle as (org, person); `attachments` come from `attach`. Raises RefusedError.
        """
        return self._say_in(thread, posting.post(thread, None, text, None, mentions, attachments), attachments)

    def reply(
        self,
        post: str,
        text: str,
        *,
        mentions: Iterable[tuple[str, str]] = (),
        attachments: Sequence[Attached] = (),
    ) -> str:
        """Answer a post. The answer's id. Raises RefusedError."""
        thread = posting.thread_of(self._state, post, self._fetch)
        return self._say_in(thread, posting.post(thread, None, text, post, mentions, attachments), attachments)

    def revise(self, post: str, text: str) -> str:
        """Give a post of one's own another text; readers see the earlier ones too. Raises RefusedError."""
        return self._do(posting.revision(self._state, post, text, self._fetch))

    def react(self, post: str, emoji: str, *, remove: bool = False) -> str:
        """Put one emoji on a post, or take it back. Raises RefusedError."""
        return self._do(posting.reaction(self._state, post, emoji, self._fetch, remove=remove))

    def retract(self, post: str) -> str:
        """Take back a post of one's own. Libraries show its text no longer; who has read it has read it.

        Raises RefusedError.
        """
        return self._do(posting.retraction(self._state, post, self._fetch))

    def attach(
        self,
        file: Path,
        *,
        name: str | None = None,
        media: str = attaching.UNKNOWN,
        progress: Progress | None = None,
    ) -> Attached:
        """Seal a file of any size, for one post to name it. Interrupted, the same call goes on; `give_up` removes it.

        `name` is the file's own unless given. Raises StoreError or RefusedError.
        """
        attachment = attaching.described(file, name, media)
        return Attached(attachment, self._seal_file(file, attachment.sha256, progress))

    def thread(self, thread: str) -> Thread:
        """What was said about an item, or under a title. Raises RefusedError for one that is not here."""
        found = reading.thread(self._state, thread, self._fetch, self._follows)
        self._note("thread", thread)
        return found

    def post_of(self, post: str) -> ThreadPost:
        """One post as it is now, without opening the rest of its thread. Raises RefusedError, also where taken back."""
        found = posting.standing(self._state, post, self._fetch)
        self._note("thread", self._state.threads.places[post].thread)
        return found

    def unread(self) -> dict[str, int]:
        """Thread → how many posts of others in it are unread, where there are any. Opens nothing."""
        return reading.unread(self._state)

    def threads(self, *, about_items: bool = True, limit: int | None = None) -> tuple[ThreadListed, ...]:
        """Every thread with a title, and every item, with how many posts in it are unread. The newest first."""
        return reading.threads(self._state, self._fetch, self._follows, about_items=about_items, limit=limit)

    def open_attachment(self, post: str, sha256: str) -> ArtifactReader:
        """A file that came with a post, to stream, to write to a file or to check. Raises RefusedError or SealError."""
        artifact = posting.attachment(self._state, post, sha256, self._fetch)
        self._note("artifact", post, sha256)
        return ArtifactReader(artifact, self._vault.blobs.get)

    def save_attachment(self, post: str, sha256: str, file: Path) -> None:
        """Write a file that came with a post, in the clear, to a new file that appears once all of it is verified.

        Raises RefusedError, SealError or StoreError.
        """
        self.open_attachment(post, sha256).write(file)

    def mark_read(self, thread: str, up_to: str | None = None) -> None:
        """Note on this device that a thread was read, up to a post or all of it; by a log's id, its alarms.

        Raises RefusedError.
        """
        self._step(marking.mark_read(self._state, thread, up_to))

    def mark_all_read(self) -> None:
        """Note on this device that everything here was read."""
        self._step(marking.all_read(self._state))

    def quiet(self, thread_or_circle: str, rule: Quiet | None) -> None:
        """Want no notifications of a thread or a circle ("muted"), only "mentions", or all again (None).

        Alarms always come. Raises RefusedError.
        """
        self._step(marking.quieted(self._state, thread_or_circle, rule))

    def notifications(self, *, untold: bool = False) -> tuple[Notification, ...]:
        """What to look at: alarms, mentions, answers, new items and threads, posts where its user takes part.

        Each until it is read, by `mark_read`; with `untold`, those since the last `mark_told`.
        """
        found = notifying.notifications(self._state)
        return tuple(each for each in found if not (untold and each.id in self._state.threads.told))

    def mark_told(self) -> None:
        """Note on this device that all notifications were announced, so that `untold` leaves them out."""
        self._step(marking.told(self._state))

    def bury(self, entry: str) -> str:
        """Ask that an item or a post be dropped by everybody. The request's id.

        One's own is dropped at once, here and wherever the request arrives; somebody else's once a quorum of the
        circle's admins has asked. Relays and libraries that keep to it drop ciphertext, text and index, and say so
        (`report` lists who has not). Nothing can be said of copies. Raises RefusedError.
        """
        kind = "item" if any(found.entry.id == entry for found in opening.entries(self._state, "item")) else "post"
        state, request = deleting.bury(self._state, opening.find(self._state, kind, entry), self._time())
        self._step(deleting.with_receipts(state, self._time()))
        return request

    # Searching

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
        searched only after `set_indexed`. Raises SearchError for a text without a word.
        """
        found = searching.query(
            text,
            circle=self._circle(circle) if circle else None,
            author=author,
            tag=tag,
            since=since,
            older=older,
            limit=limit,
        )
        return tuple(searching.hit(row) for row in self._vault.database.find(found))

    def set_indexed(self, circle: str, wanted: bool) -> None:
        """Put a circle's texts into the index on this device, or take them out, whatever the circle asks for."""
        settings = {**self._state.settings, searching.OPTED + self._circle(circle): "yes" if wanted else "no"}
        self._step(replace(self._state, settings=settings))

    def reindex(self) -> int:
        """Make the index anew of all that opens here. How many texts it holds."""
        database = self._vault.database
        database.reindex(searching.documents(self._state, self._fetch, self._follows))
        settings = {name: value for name, value in self._state.settings.items() if name != STALE_INDEX}
        self._state = replace(self._state, settings=settings)
        indexed = database.indexed()
        self._awaited = searching.awaited(self._state, indexed)
        return len(indexed)

    # Reading

    def findings(self, *, older: bool = False) -> tuple[Listed, ...]:
        """The newest version of each item that counts, with its title, or with the reason why it does not open here.

        With `older`, all versions.
        """
        items = opening.entries(self._state, "item")
        found = tuple(opening.listed(self._state, each, self._fetch, self._follows) for each in items)
        return found if older else versions.newest(found)

    def versions(self, item: str) -> tuple[Listed, ...]:
        """All versions of an item that are here, older before newer. Raises RefusedError."""
        return versions.versions(self._state, item, self._fetch, self._follows)

    def links(self, item: str) -> tuple[Linked, ...]:
        """Links from an item and to it. Of an end that does not open here only the id is told. Raises RefusedError."""
        return versions.links(self._state, item, self._fetch, self._follows)

    def open_item(self, item: str) -> OpenedFinding:
        """The finding in an item. Raises SealError, RefusedError or RecordError, which says what is wrong with it.

        The open-log says so first, and a disk that cannot take that entry refuses the opening (StoreError).
        """
        opened = opening.opened(self._state, opening.find(self._state, "item", item), self._fetch, self._follows)
        self._note("item", item)
        return opened

    def artifact(self, item: str, sha256: str) -> bytes:
        """One artifact of an item, with its hash checked. Raises SealError, RefusedError or RecordError."""
        return b"".join(self.open_artifact(item, sha256).stream())

    def save_artifact(self, item: str, sha256: str, file: Path) -> None:
        """Write one artifact of an item to a new file that appears once all of it is verified.

        Raises SealError, RefusedError, RecordError or StoreError.
        """
        self.open_artifact(item, sha256).write(file)

    def open_file(self, file: Path, out: Path, progress: Progress = lambda done, size: None) -> None:
        """Open an age file that was sealed to this device, as the new file `out`. Raises SealError or StoreError.

        Nothing says who sealed it.
        """
        files.open_with(file, out, self._state.device.receiving, progress)

    def open_artifact(self, item: str, sha256: str) -> ArtifactReader:
        """One artifact of an item, to stream, to read a range of, to write to a file or to check; of any size.

        Raises SealError, RefusedError or RecordError.
        """
        found = opening.find(self._state, "item", item)
        artifact = opening.artifact_of(self._state, found, sha256, self._fetch, self._follows)
        self._note("artifact", item, sha256)
        return ArtifactReader(artifact, self._vault.blobs.get)

    def opened_log(self) -> OpenLog:
        """What was opened on this device, in order, each at most once an hour. Raises LogError if it was altered."""
        database = self._vault.database
        return open_log.read(database.openings(), database.setting(open_log.END))

    def report(self) -> Report:
        """Who may read what, who changed that, and what was opened here: for somebody who is cleared for none of it.

        Raises LogError where the open-log was altered.
        """
        return report.report(self._state, self.opened_log(), self._now())

    def export_age(self, path: Path, item: str, recipients: Iterable[str], *, artifact: str | None = None) -> None:
        """A finding, or one artifact of it by its SHA-256, as a new age file for recipients `age1pq1…`.

        A stock age from 1.3 on opens it. It leaves the circle with this, and nothing takes it back: its level goes
        along as a word only. The open-log has an entry. Raises SealError, RefusedError, RecordError or StoreError.
        """
        keys = exporting.parse_recipients(recipients)
        found = opening.find(self._state, "item", item)
        opened = opening.opened(self._state, found, self._fetch, self._follows)
        plaintext: Iterable[bytes] = (exporting.exported(opened),)
        if artifact is not None:
            sealed = opening.artifact_of(self._state, found, artifact, self._fetch, self._follows)
            plaintext = ArtifactReader(sealed, self._vault.blobs.get).stream()
        self._note("export", item, artifact)
        exporting.export(path, plaintext, keys)

    def problems(self) -> tuple[str, ...]:
        """What `verify` finds, each as a sentence."""
        return tuple(str(problem) for problem in self.verify())

    def verify(self, progress: verifying.Progress | None = None) -> tuple[Problem, ...]:
        """Everything that is not as it should be, and what it belongs to. Reads all of the store, in flat memory.

        Damaged pages and pieces, missing pieces, and entries that count and do not open. `progress` is told of
        (bytes done, bytes in all) after each piece.
        """
        return tuple(verifying.verify(self._vault, self._state, self._fetch, self._follows, progress))

    # Housekeeping

    def compaction(self, forget: Collection[str] | None = None) -> Compaction:
        """What `compact` would remove: pieces that nothing names, and all of the epochs `forget`. Print it, and ask.

        Without `forget`, the epochs whose retention has ended by their circle's rules. Raises RefusedError for an epoch
        that a circle seals to.
        """
        self._forget_shared()
        epochs = compacting.past(self._state, self._now()) if forget is None else forget
        return compacting.plan(self._state, self._vault, epochs)

    def compact(self, planned: Compaction) -> int:
        """Remove what `compaction` said, and nothing that is in use by now. How many bytes the disk has back."""
        epochs = [each.epoch for each in planned.forgotten]
        again = self.compaction(epochs)
        self._step(compacting.without_seeds(self._state, again))
        going = set(planned.pieces) & set(again.pieces)
        freed = sum(map(self._vault.blobs.size, going))
        self._vault.blobs.discard(sorted(going))
        self._vault.incoming.discard(set(planned.abandoned) & set(again.abandoned))
        return freed + self._vault.database.vacuum()

    def backup(self, path: Path, *, passphrase: str | None = None, progress: backup.Progress | None = None) -> BackedUp:
        """All of this library as one new file. `restore` takes it back.

        This library's passphrase of today opens it, or `passphrase`: give one where the library's own is only in this
        machine's keystore, or a backup would be lost with the machine. Encrypted like the library, pieces included;
        sealings that are not finished stay out. Keep it where the library would be safe too: it holds this device's
        keys. Raises StoreError, and then there is no file.
        """
        return backup.back_up(self._state, self._vault, path, self._now(), passphrase, progress)

    @property
    def restored(self) -> dict[str, str]:
        """Log → why this library, which came from a backup, signs nothing in it yet. Empty for any other library."""
        state = self._state
        waiting = {log: state.waits(log) for log in (self.net, *state.view.circles)}
        return {log: reason for log, reason in waiting.items() if reason}

    def confirm_whole(self, log: str) -> None:
        """Say that a log, as it is here, has all that this device and its log key ever signed in it.

        Only for a log that nobody else keeps, after importing from everybody who reads it. If it is not true, the next
        record freezes this device, or the log for everybody, and nothing takes that back.
        """
        self._step(replace(self._state, settings=restored.confirmed(self._state.settings, log)))

    # Syncing

    @property
    def holdings(self) -> Holdings:
        """What this library holds: with it, others make a bundle of only what it lacks."""
        return carrying.holdings(self._state, self._vault.blobs)

    def export_bundle(self, path: Path, *, since: Holdings | None = None, to: Sequence[Recipient] = ()) -> Exported:
        """Everything that this library holds and its outbox, as the file `path`: for a stick, or any other way.

        With the other library's `holdings`, only what that one lacks. Logs kept here get a fresh checkpoint, so that
        readers know how new their view is. Sealed pieces go along; nothing in it opens without the readers' own keys.
        Who carries it sees orgs, people, devices, times, sizes, unless it is sealed `to` the devices that take it in.
        """
        return carrying.export(self._hands(), path, since, to)

    def import_bundle(self, path: Path, *, allow_clock_jump: bool = False) -> Imported:
        """Take in what another library exported: all that holds together, or nothing.

        Importing twice changes nothing. Raises LogError, SignatureError, RecordError or RefusedError for a
        bundle that is cut, altered, older, of another network or by nobody known. Two histories of one
        log raise ForkedLogError, and only the proof is kept.
        """
        imported = carrying.take(self._hands(), path, confirmed=allow_clock_jump)
        self._step(deleting.with_receipts(self._state, self._time()))
        return imported

    def add_relay(self, card: RelayCard) -> None:
        """Sync with this relay from now on. Compare the card's fingerprint with its keeper before."""
        self._step(remembering.added(self._state, card))

    def remove_relay(self, relay: str) -> None:
        """Forget the relay of that id. Raises RefusedError."""
        self._step(remembering.removed(self._state, relay))

    @property
    def relays(self) -> Mapping[str, RelayCard]:
        """Relay id → card."""
        return remembering.relays(self._state)

    def sync(
        self,
        remotes: Iterable[Remote] | None = None,
        *,
        allow_clock_jump: bool = False,
        progress: PieceProgress | None = None,
    ) -> Synced:
        """Take in what the known relays have and this library lacks, and give them what waits. In any order.

        Each relay is judged for itself: what one cannot or will not give comes from another. Raises ForkedLogError
        once all were asked, if two histories of one log were seen: the proof is kept, and that log is frozen. Raises
        the first error if no relay could be synced with; otherwise each error is in the report.
        `remotes` are asked in place of the known relays. `progress` is told of (pieces asked for, pieces in all).
        """
        hands, forks = self._hands(), self._state.view.forks.keys()
        reports = dict[str, RelaySync]()
        if remotes is not None:
            for each in remotes:
                reports[each.name] = sync_with(each, hands, confirmed=allow_clock_jump, progress=progress)
        else:
            for id, card in self._known().items():
                with HttpRemote(card, self.net, self._state.device) as remote:
                    report = reports[remote.name] = sync_with(
                        remote, hands, confirmed=allow_clock_jump, progress=progress
                    )
                self._step(remembering.visited(self._state, id, report, self._time()))
        self._step(deleting.with_receipts(self._state, self._time()))
        for log, proof in self._state.view.forks.items():
            if log not in forks:
                raise ForkedLogError(proof)
        synced = Synced(reports)
        if reports and len(synced.failed) == len(reports):
            raise next(iter(synced.failed.values()))
        return synced

    def status(self) -> Status:
        """What is held and what is there, what waits and for whom, what is stale and since when. Asks nobody."""
        return status(self._state, frozenset(self._vault.blobs), self._time())

    def _known(self) -> Mapping[str, RelayCard]:
        if not self.relays:
            raise RefusedError(
                "no relay is known here", hint="`darklantern sync --relay CARD` adds one; its keeper has the card"
            )
        return self.relays

    # The edge

    def _step(
        self,
        state: State,
        pieces: Mapping[str, bytes] | None = None,
        came: Collection[str] = (),
        beside: AbstractContextManager[None] | None = None,
        /,
    ) -> None:
        """Write what is new in `state`, and then hold it. Raises StoreError, and then nothing has changed."""
        state = with_notices(with_heads(state, self._time()))
        pieces = pieces or {}
        with self._vault.blobs.put(pieces), beside or nullcontext():
            change, awaited, arrived = difference(self._held, state), self._awaited, frozenset[str]()
            if pieces or came or change.tells_of_records:
                state = indexing.placed(state, self._fetch)
                change = difference(self._held, state)
                awaited |= searching.awaited(state, searching.ids(self._held))
                arrived = frozenset(name for name in awaited if name in self._vault.blobs)
                change = searching.with_texts(change, self._held, state, arrived, self._fetch, self._follows)
            self._vault.database.write(change)
        gone = deleting.going(self._held, state)
        self._held, self._awaited = state, awaited - arrived
        self._vault.blobs.discard(sorted(gone))

    def _hands(self) -> Hands:
        return Hands(lambda: self._state, self._step, self._fetch, self._vault.blobs, self._vault.incoming, self._time)

    def _note(self, act: open_log.Act, item: str, artifact: str | None = None) -> None:
        """What is handed out is in the open-log first."""
        open_log.note(self._vault.database, self._state.device_id, act, item, self._now(), artifact)

    def _do(self, content: Content) -> str:
        assert content.thread is not None  # what is done to a post names its thread
        return self._say_in(content.thread, Posting(content=content))

    def _say_in(self, thread: str, said: Posting, attachments: Sequence[Attached] = ()) -> str:
        destination = posting.destination(self._state, thread, self._fetch, self._follows)
        return self._say(said, destination, attachments)

    def _say(self, said: Posting, to: Destination, attachments: Sequence[Attached]) -> str:
        posting.check(self._state, said, self.effective(to.circle), attachments, self._vault.blobs.__contains__)
        state, entry, pieces = sharing.share_posting(self._state, said, to.circle, to.level, self._time())
        self._step(state, pieces)
        with suppress(StoreError):  # as after sharing
            self._forget_shared()
        return entry

    def _seal_file(self, source: Path, sha256: str, progress: Progress | None) -> SealedArtifact:
        self._forget_shared()
        return seal_file(
            source,
            sha256,
            blobs=self._vault.blobs,
            journals=self._vault.unfinished,
            device=self._state.device.receiving,
            progress=progress,
        )

    def _forget_shared(self) -> None:
        """Journals of what is shared by now; a crash right after the transaction leaves one."""
        if self._vault.unfinished.is_dir():
            forget_named(wanted_pieces(self._state.working), journals=self._vault.unfinished)

    def _circle(self, circle: str) -> str:
        """The id of a circle named by its id or by its terms' name. Raises RefusedError: unknown means nobody."""
        if circle in self._state.view.circles:
            return circle
        named = [id for id, terms in self.circles().items() if terms.name == circle]
        if len(named) != 1:
            raise RefusedError(
                f"{'no circle' if not named else f'{len(named)} circles'} known here by the name {circle!r}",
                hint="give the circle's id; unknown means nobody",
            )
        return named[0]

    def _fetch(self, names: Iterable[str]) -> dict[str, bytes]:
        return pick(self._vault.blobs, names)

    def _time(self) -> int:
        return int(self._clock())
