"""Appending: many requests, judged one after the other, written in one transaction.

In: envelopes and small blobs that devices send. Out: where each record stands in its log, once that is on disk.
Requests that arrive while a transaction runs go together in the next one, so the busier the relay, the larger its
batches. What does not enter its log waits aside, and holds up nobody whose records do.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from darklantern.errors import DarkLanternError, LogError, RefusedError, StoreError
from darklantern.network.view import View
from darklantern.records.relay_wire import RecordResult
from darklantern.relay.charging import device_account
from darklantern.relay.folded import Folded
from darklantern.relay.judging import Judged, Put, judge
from darklantern.relay.moving import check_mine, check_taken_over, has_moved
from darklantern.relay.problems import DISK_FULL, Problem, busy, full, is_full, problem
from darklantern.relay.stores import Database, QuotaError
from darklantern.relay.writing import Batch, Writing
from darklantern.sealing import LogVerifyKey

_TOGETHER: Final = 128
"""requests in one transaction: about 20 ms of judging, which the last of them waits for"""
_TOGETHER_BYTES: Final = 8 * 1024 * 1024
_TURN_S: Final = 0.25
"""after which others who wait for the view, as to follow the database, get their turn"""
_TRIES: Final = 8


@dataclass(frozen=True)
class _Waiting:
    put: Put
    answer: "asyncio.Future[tuple[RecordResult, ...]]"


@dataclass
class _Party:
    """Requests that are answered together, once their batch is on disk."""

    batch: Batch
    waiting: list[_Waiting] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.waiting) >= _TOGETHER or self.batch.size >= _TOGETHER_BYTES

    def add(self, waiting: _Waiting, judged: Judged) -> None:
        self.waiting.append(waiting)
        self.batch.add(judged)


@dataclass(frozen=True)
class _Flight:
    """A party whose batch is being written."""

    party: _Party
    commit: "asyncio.Task[None]"


class Appender:
    """Appends to the logs that `key` signs. One `run` at a time."""

    def __init__(
        self, database: Database, folded: Folded, key: LogVerifyKey, writing: Writing, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._folded = folded
        self._key = key
        self._writing = writing
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self.frozen: str | None = "it has not read its logs yet"
        """why nothing is appended"""
        self.batches = 0
        self.appended = 0

    async def put(self, put: Put) -> tuple[RecordResult, ...]:
        """What became of each record. Raises Problem, and nothing of the request was taken; or 503, and it may have
        been: the same request again is answered with where its records stand."""
        check_mine(self._folded.view, put.log, self._key, put.envelopes)
        if self.frozen:
            raise full() if self.frozen == DISK_FULL else busy(f"this relay appends nothing now: {self.frozen}")
        if has_moved(self._folded.view, put.log):
            await asyncio.to_thread(self._check_taken_over, put.log)
        waiting = _Waiting(put, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        return await waiting.answer

    async def run(self) -> None:
        """Serve those who wait, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                async with self._folded.turn:
                    await self._serve_for_a_while()

    async def _serve_for_a_while(self) -> None:
        """Judge each party while the one before it is being written; on its view, which counts once that has landed."""
        flight: _Flight | None = None
        aside: list[_Waiting] = []
        until = asyncio.get_running_loop().time() + _TURN_S
        while True:
            party = _Party(Batch(flight.party.batch.view if flight else self._folded.view))
            await self._fill(party, aside, flight, until)
            if flight and not await self._landed(flight):
                await self._serve(flight.party.waiting)
                await self._serve(party.waiting)
                flight = None
            elif party.waiting:
                flight = self._start(party)
            elif flight is None:
                break
            else:
                flight = None
        if aside:
            await self._serve(aside)

    async def _fill(self, party: _Party, aside: list[_Waiting], flight: _Flight | None, until: float) -> None:
        """Judge those who wait, and those who come while `flight` lasts. Who does not enter goes `aside`."""
        while not party.is_full and asyncio.get_running_loop().time() < until:
            self._wake.clear()
            if self._waiting:
                waiting = self._waiting.popleft()
                if waiting.answer.cancelled():
                    continue
                judged = await self._judge(party.batch.view, waiting.put)
                if judged.all_entered:
                    party.add(waiting, judged)
                else:
                    aside.append(waiting)
            elif flight is None or flight.commit.done():
                return
            else:
                await self._wake.wait()  # somebody came, or the flight landed

    def _start(self, party: _Party) -> _Flight:
        commit = asyncio.create_task(asyncio.to_thread(self._writing.commit, party.batch))
        commit.add_done_callback(lambda _: self._wake.set())
        return _Flight(party, commit)

    async def _landed(self, flight: _Flight) -> bool:
        """Whether it is on disk: then it is answered. Else nobody knows, and it is to be settled from what is there."""
        try:
            await flight.commit
        except DarkLanternError:
            return False
        self._answer(flight.party)
        return True

    def _answer(self, party: _Party) -> None:
        self._folded.view = party.batch.view
        self.batches += 1
        self.appended += sum(len(judged.entries) for judged in party.batch.judged)
        for waiting, judged in zip(party.waiting, party.batch.judged, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(judged.results)

    async def _serve(self, waiting: list[_Waiting]) -> None:
        try:
            await self._settle(waiting)
        except DarkLanternError as error:
            _fail(waiting, problem(error))
        except BaseException:
            _fail(waiting, busy("the relay failed"))
            raise

    async def _settle(self, waiting: list[_Waiting]) -> None:
        """With nothing in flight: whatever happens, each is answered by what the database then holds."""
        # What another process has appended may be just what these records wait for.
        await asyncio.to_thread(self._folded.catch_up)
        for _ in range(_TRIES):
            party = _Party(Batch(self._folded.view))
            for each in waiting:
                party.add(each, await self._judge(party.batch.view, each.put))
            try:
                await asyncio.to_thread(self._writing.commit, party.batch)
            except QuotaError as error:
                rest = []
                for each in waiting:
                    if own := error.among((each.put.account, device_account(each.put.device))):
                        _fail([each], problem(own))
                    else:
                        rest.append(each)
                waiting = rest
            except (LogError, RefusedError, StoreError) as error:
                if is_full(error):
                    raise
                # Another relay was faster; or the database failed at the very end and may have committed. What it
                # holds now says so, and judging again answers for records that are there.
                await asyncio.to_thread(self._folded.catch_up)
            else:
                self._answer(party)
                return
        raise busy("other relays append to these logs faster than this one")

    async def _judge(self, view: View, put: Put) -> Judged:
        return await judge(view, put, self._key, int(self._clock()))

    def _check_taken_over(self, log: str) -> None:
        check_taken_over(self._folded.view, log, self._key, self._database.head(log).checkpoint)


def _fail(waiting: list[_Waiting], error: Problem) -> None:
    for each in waiting:
        if not each.answer.done():
            each.answer.set_exception(error)
