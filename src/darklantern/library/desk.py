"""The edge between decisions and the disk: the state that is held, and the one step by which it changes.

In: an open vault and the state in it. Out: the next state, written in one go: pieces, then one transaction. Whatever a
library's user calls decides on frozen values first, and then comes here.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from darklantern.errors import RefusedError, StoreError
from darklantern.library import deleting, joining, open_log, restored, searching
from darklantern.library.acting import with_notices
from darklantern.library.artifact_reading import ArtifactReader
from darklantern.library.artifact_sealing import Progress, forget_named, seal_file
from darklantern.library.importing import wanted_pieces
from darklantern.library.keeping import with_heads
from darklantern.library.lacking import all_lacking, lacking_after
from darklantern.library.loading import difference, load
from darklantern.library.news import News, news
from darklantern.library.state import State, with_setting
from darklantern.library.threads import indexing
from darklantern.network.circles import Terms
from darklantern.network.deciding import Follows
from darklantern.network.items import SealedArtifact
from darklantern.stores import Vault, open_vault
from darklantern.stores.blobs import Written, pick
from darklantern.stores.schema import STALE_INDEX
from darklantern.stores.undisturbed import undisturbed
from darklantern.stores.values import Change

Clock = Callable[[], float]
_DAMAGED: Final = "damaged"
"""The setting that lists pieces which verifying found damaged: nobody reads all of the store at each sync."""


class Desk:
    """An open vault, what is held of it, and the user's clock."""

    def __init__(self, vault: Vault, held: State, follows: Follows, clock: Clock) -> None:
        self.vault: Final = vault
        self.follows: Final = follows
        self._held = held
        self._clock = clock
        self._lacking: dict[str, str] = {}

    @classmethod
    def at(
        cls, folder: Path, passphrase: str, follows: Follows, clock: Clock = time.time, wait_s: float = 0.0
    ) -> "Desk":
        """The desk of the library in `folder`, with every post and every text in its place. Raises StoreError."""
        vault = open_vault(folder, passphrase, wait_s=wait_s)
        try:
            desk = cls(vault, load(vault.database.read()), follows, clock)
            desk._settle_in()
        except BaseException:
            vault.close()
            raise
        return desk

    @property
    def held(self) -> State:
        """What is held, also by a library that belongs to no network yet."""
        return self._held

    @property
    def state(self) -> State:
        """What is held, for all that needs a network. Raises RefusedError where there is none."""
        if not joining.is_joined(self._held):
            raise joining.not_joined()
        return self._held

    def time(self) -> int:
        """What the clock says, in seconds."""
        return int(self._clock())

    def now(self) -> int:
        """The time to judge by, which no clock that was set back makes earlier than what the network's log said."""
        return self._held.now(self.time())

    def fetch(self, names: Iterable[str]) -> dict[str, bytes]:
        """Those of these pieces that are here and whole."""
        return pick(self.vault.blobs, names)

    def terms(self) -> dict[str, Terms]:
        """Circle id → its terms, for each circle whose terms this device knows."""
        state = self.state
        return {circle: terms for circle, terms in state.keyring.terms.items() if circle in state.view.circles}

    def circle(self, circle: str) -> str:
        """The id of a circle named by its id or by its terms' name. Raises RefusedError: unknown means nobody."""
        if circle in self.state.view.circles:
            return circle
        named = [id for id, terms in self.terms().items() if terms.name == circle]
        if len(named) != 1:
            raise RefusedError(
                f"{'no circle' if not named else f'{len(named)} circles'} known here by the name {circle!r}",
                hint="give the circle's id; unknown means nobody",
            )
        return named[0]

    def step(
        self,
        state: State,
        pieces: Mapping[str, bytes] | None = None,
        came: Collection[str] = (),
        beside: Callable[[], Written] = Written,
        /,
    ) -> None:
        """Write what is new in `state`, and then hold it. Raises StoreError, and then nothing has changed.

        `pieces` are written with it; those that `came` are stored already, or by `beside`, which is undone with it.
        """
        old, new = self._held, with_notices(with_heads(state, self.time()))
        with self.vault.blobs.put(pieces or {}) as own, beside() as others:
            self._write(new, news(old, new, came), (own, others))
        with suppress(StoreError):  # it is written; `say_dropped` tries again, and gives no receipt before
            self.vault.blobs.discard(sorted(deleting.going(old, new)))

    def say_dropped(self) -> None:
        """Drop what is buried and still here, and write receipts for what is gone. Raises StoreError."""
        blobs = self.vault.blobs
        with suppress(StoreError):  # then there is no receipt
            blobs.discard(sorted(deleting.remaining(self.state)))
        self.step(deleting.with_receipts(self.state, self.time(), blobs.__contains__))

    def note(self, act: open_log.Act, item: str, artifact: str | None = None) -> None:
        """What is handed out is in the open-log first. Raises StoreError or LogError."""
        open_log.note(self.vault.database, self._held.device_id, act, item, self.now(), artifact)

    def reader(self, artifact: SealedArtifact) -> ArtifactReader:
        """An artifact whose pieces are here."""
        return ArtifactReader(artifact, self.vault.blobs.get)

    def seal_file(self, source: Path, sha256: str, progress: Progress | None) -> SealedArtifact:
        """A file sealed, its pieces stored. Interrupted, the same call goes on. Raises SealError or StoreError."""
        self.forget_shared()
        return seal_file(
            source,
            sha256,
            blobs=self.vault.blobs,
            journals=self.vault.unfinished,
            device=self._held.device.receiving,
            progress=progress,
        )

    def forget_shared(self) -> None:
        """Journals of what is shared by now; a crash right after the transaction leaves one. Raises StoreError."""
        if self.vault.unfinished.is_dir() and any(self.vault.unfinished.iterdir()):
            forget_named(wanted_pieces(self._held.working), journals=self.vault.unfinished)

    @property
    def lacking(self) -> Mapping[str, str]:
        """Piece → log, for each that something which counts needs and that is not here."""
        return self._lacking

    def take_stock(self) -> None:
        """Look again which pieces are here: somebody may have removed some."""
        self._lacking = all_lacking(self._held, self.whole)

    @property
    def whole(self) -> frozenset[str]:
        """The pieces that are here, without those that verifying found damaged and that still are."""
        damaged = self._held.settings.get(_DAMAGED, "").split()
        return frozenset(self.vault.blobs).difference(name for name in damaged if not self.vault.blobs.is_whole(name))

    def found_damaged(self, names: Collection[str]) -> None:
        """Remember damaged pieces as lacking, so that the next sync fetches them again. Raises StoreError."""
        listed = " ".join(sorted(names))
        if listed != self._held.settings.get(_DAMAGED, ""):
            self.step(with_setting(self._held, _DAMAGED, listed))
        self.take_stock()

    def reindex(self) -> int:
        """Make the index of texts anew of all that opens here. How many it holds. Raises StoreError."""
        database = self.vault.database
        database.reindex(searching.documents(self._held, self.fetch, self.follows))
        settings = {name: value for name, value in self._held.settings.items() if name != STALE_INDEX}
        self._held = replace(self._held, settings=settings)
        return len(database.indexed())

    def _settle_in(self) -> None:
        if restored.COPIED in self._held.settings:
            self.step(replace(self._held, settings=restored.opened(self._held.settings, self.now())))
        self.take_stock()
        # What no older program opened, or was on a damaged disk, may open now.
        self._write(self._held, indexing.unindexed(self._held))
        if STALE_INDEX in self._held.settings:
            self.reindex()
        else:
            lacking = searching.unindexed(self._held, self.vault.database.indexed())
            change = searching.with_texts(Change(), self._held, self._held, lacking, self.fetch, self.follows)
            self.vault.database.write(change)

    def _write(self, new: State, what: News, written: Collection[Written] = ()) -> None:
        old = self._held
        new = indexing.placed(new, what, self.fetch)
        change = difference(old, new, what.ids)
        change = searching.with_texts(change, old, new, what, self.fetch, self.follows)
        lacking = lacking_after(self._lacking, new, what, self.vault.blobs.__contains__)
        with undisturbed():  # else a Ctrl-C that comes with the commit would take back the pieces of what is committed
            self.vault.database.write(change)
            self._held, self._lacking = new, lacking
            for each in written:
                each.keep()
