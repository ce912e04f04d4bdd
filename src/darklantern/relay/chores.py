"""What a relay does without being asked: follow the database, stamp quiet logs, mirror peers, let go of what is over.

In: the clock and the parts. Out: nothing. A chore that fails is told and tried again; it never stops the relay.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from darklantern.errors import DarkLanternError, LogError, StoreError
from darklantern.logs import checkpoint
from darklantern.network.states import CircleState
from darklantern.relay.appending import Appender
from darklantern.relay.config import Config
from darklantern.relay.folded import Folded, GoneBackError
from darklantern.relay.mirroring import Mirrors
from darklantern.relay.needs import outlived
from darklantern.relay.pieces import Pieces
from darklantern.relay.problems import DISK_FULL, is_full
from darklantern.relay.pulling import Pulling
from darklantern.relay.remembering import Remembered
from darklantern.relay.stores import Database, Drop
from darklantern.relay.taking import ForkSeenError
from darklantern.relay.telling import tell
from darklantern.sealing import LogKey

_FOLLOW_S: Final = 1
"""so long may a token outlive its device's revocation, where another process appended that"""
_EXPIRE_S: Final = 60
_DAY_S: Final = 24 * 3600


class Chores:
    """Everything that happens by time."""

    def __init__(
        self,
        database: Database,
        folded: Folded,
        appender: Appender,
        pieces: Pieces,
        mirrors: Mirrors,
        remembered: Remembered,
        key: LogKey,
        config: Config,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._folded = folded
        self._appender = appender
        self._pieces = pieces
        self._mirrors = mirrors
        self._pulling = Pulling(config.pull_s, self._note_fork)
        self._remembered = remembered
        self._retired: dict[str, tuple[CircleState, Drop]] = {}
        """of each log, what was dropped last, and as of when"""
        self._forked: str | None = None
        """two histories under this relay's own key were seen: only a person can say which counts"""
        self._key = key
        self._config = config
        self._clock = clock

    async def begin(self) -> None:
        """What must be done before the first request: fold, and learn from mirrors what a backup has lost.

        Raises StoreError for a database that cannot be read at all.
        """
        await self._folded.follow()
        await self._pulling.begin(self._mirrors.all())
        await self.follow()

    async def run(self) -> None:
        """All of it, until cancelled."""
        await asyncio.gather(
            self._every(_FOLLOW_S, "follow", self.follow),
            self._every(self._config.pull_s, "pull", self.pull),
            self._every(_EXPIRE_S, "expire", self.expire),
            self._every(min(_EXPIRE_S, self._config.stamp_s), "stamp", self.stamp),
        )

    async def follow(self) -> None:
        """Take in what other processes have appended. Append nothing while the database holds less than was signed."""
        try:
            await self._folded.follow()
            view = self._folded.view
            reason = await asyncio.to_thread(self._remembered.check, view)
            reason = reason or self._forked
            if reason is None:
                await asyncio.to_thread(self._remembered.keep, view)
        except GoneBackError as error:
            await asyncio.to_thread(self._remembered.keep, error.view)
            reason = error.message
        except StoreError as error:
            reason = DISK_FULL if is_full(error) else error.message
        if reason != self._appender.frozen:
            tell("frozen" if reason else "appending")
        self._appender.frozen = reason

    async def pull(self) -> None:
        """Ask each peer that is not being asked for what is new there. Waits for none of them."""
        self._pulling.ask(self._mirrors.all())

    async def end(self) -> None:
        """Break off what is being asked of peers."""
        self._mirrors.end()
        await self._pulling.end()

    async def expire(self) -> None:
        """Delete what has expired."""
        now = int(self._clock())
        await asyncio.to_thread(self._database.expire, now)
        await asyncio.to_thread(self._database.forget_usage, now // _DAY_S)
        await asyncio.to_thread(self._pieces.expire, self._config.limits.unnamed_blob_s)
        await asyncio.to_thread(self._retire, now)

    def _retire(self, now: int) -> None:
        """Drop what was sealed to epochs that are past their circle's retention. Envelopes stay."""
        view = self._folded.view
        for log, circle in view.circles.items():
            drop = outlived(view, log, now)
            known, last = self._retired.get(log, (None, None))
            if drop.names and (known is not circle or last != drop):
                self._database.drop_pieces(drop)
                self._retired[log] = circle, drop
        self._pieces.collect()

    async def stamp(self) -> None:
        """Sign quiet logs anew, so that readers see that they are complete."""
        now = int(self._clock())
        async with self._folded.turn:
            if self._appender.frozen is not None:
                return
            for log in list(self._folded.view.trails):
                if self._folded.view.log_key(log) == self._key.public:
                    await asyncio.to_thread(self._stamp, log, now)

    def _note_fork(self, error: ForkSeenError) -> None:
        """Another's log is left alone from there on; that our own key has signed twice stops this relay."""
        if error.key == self._key.public:
            self._forked = error.message

    def _stamp(self, log: str, now: int) -> None:
        head = self._database.head(log)
        if not head.frontier.size or now - head.time < self._config.stamp_s:
            return
        said = checkpoint.Checkpoint(self._folded.view.origin(log), head.frontier.size, head.frontier.root)
        try:
            self._database.stamp(log, head.frontier, checkpoint.sign(said, self._key, now), now)
        except LogError:  # another relay has appended or stamped: its checkpoint is as new
            return

    async def _every(self, seconds: float, name: str, chore: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await chore()
            except DarkLanternError as error:
                tell("chore", chore=name, problem=type(error).__name__)
