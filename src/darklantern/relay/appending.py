"""Appending: many requests, judged one after the other, written in one transaction.

In: envelopes and small blobs that devices send. Out: where each record stands in its log, once that is on disk.
Requests that arrive while a transaction runs go together in the next one, under one checkpoint for each log. A commit
and a checkpoint's signatures cost milliseconds whatever they hold; so the busier the relay, the larger its groups.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from darklantern.errors import DarkLanternError, LogError, RefusedError, StoreError
from darklantern.logs import checkpoint
from darklantern.network.heads import origin
from darklantern.network.reading import Read, leaf_id
from darklantern.network.view import View, check_timely, enter, is_registered
from darklantern.records.record import NOBODY
from darklantern.records.relay_wire import RecordResult
from darklantern.relay.folded import Folded
from darklantern.relay.moving import check_mine, check_taken_over, has_moved
from darklantern.relay.needs import buried, names_of
from darklantern.relay.problems import Problem, busy, problem
from darklantern.relay.stores import Append, Charge, Database, Entry, Group, QuotaError, Uses
from darklantern.relay.telling import tell_defect
from darklantern.sealing import LogKey

_TOGETHER: Final = 128
"""requests in one transaction: about 20 ms of judging, which the last of them waits for"""
_IN_A_ROW: Final = 32
"""records that are judged before others get a turn: about 5 ms"""
_TOGETHER_BYTES: Final = 8 * 1024 * 1024
_TURN_S: Final = 0.25
"""after which others who wait for the view, as to follow the database, get their turn"""
_TRIES: Final = 8
_DAY_S: Final = 24 * 3600


@dataclass(frozen=True)
class Put:
    """What one request asks for."""

    log: str
    envelopes: tuple[bytes, ...]
    blobs: Mapping[str, bytes]
    """BLAKE3 → a small blob that came along; hashed already"""
    account: str
    device: str

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.envelopes)) + sum(map(len, self.blobs.values()))


@dataclass(frozen=True)
class _Waiting:
    put: Put
    answer: "asyncio.Future[tuple[RecordResult, ...]]"


@dataclass
class _Draft:
    """A group as it is being judged."""

    before: View
    view: View
    group: list[_Waiting] = field(default_factory=list)
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    uses: dict[tuple[str, str], Uses] = field(default_factory=dict)
    charges: dict[tuple[str, int], Charge] = field(default_factory=dict)
    answers: list[tuple[RecordResult, ...]] = field(default_factory=list)
    judged: int = 0
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether no more requests go into it."""
        return len(self.group) >= _TOGETHER or self.size >= _TOGETHER_BYTES

    @property
    def all_entered(self) -> bool:
        """Whether each record found its place."""
        return all(result.position is not None for answer in self.answers for result in answer)


@dataclass(frozen=True)
class _Flight:
    """A group that is being written."""

    draft: _Draft
    commit: "asyncio.Task[None]"


class Appender:
    """Appends to the logs that `key` signs. One `run` at a time. `collect` deletes bytes that no log has any more."""

    def __init__(
        self,
        database: Database,
        folded: Folded,
        key: LogKey,
        org_bytes: int,
        device_bytes_a_day: int,
        collect: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._folded = folded
        self._key = key
        self._public = key.public  # deriving it takes as long as a fifth of a put
        self._org_bytes = org_bytes
        self._device_bytes = device_bytes_a_day
        self._collect = collect
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self.frozen: str | None = "it has not read its logs yet"
        """why nothing is appended"""
        self.groups = 0
        self.appended = 0

    async def put(self, put: Put) -> tuple[RecordResult, ...]:
        """What became of each record. Raises Problem, and nothing of the request was taken; or 503, and it may have
        been: the same request again is answered with where its records stand."""
        check_mine(self._folded.view, put.log, self._public, put.envelopes)
        if self.frozen:
            raise busy(f"this relay appends nothing now: {self.frozen}")
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
        """Judge each group while the one before it is being written; on its view, which counts once that has landed."""
        flight: _Flight | None = None
        until = asyncio.get_running_loop().time() + _TURN_S
        while True:
            base = flight.draft.view if flight else self._folded.view
            draft = _Draft(base, base)
            await self._fill(draft, flight, until)
            if flight and not await self._landed(flight):
                await self._serve(flight.draft.group)
                await self._serve(draft.group)
                flight = None
            elif draft.group and not draft.all_entered:
                await self._serve(draft.group)
                flight = None
            elif draft.group:
                flight = self._start(draft)
            elif flight is None:
                return
            else:
                flight = None

    async def _fill(self, draft: _Draft, flight: _Flight | None, until: float) -> None:
        """Judge those who wait, and those who come while `flight` lasts."""
        while not draft.is_full and asyncio.get_running_loop().time() < until:
            self._wake.clear()
            if self._waiting:
                await self._take_in(draft)
            elif flight is None or flight.commit.done():
                return
            else:
                await self._wake.wait()  # somebody came, or the flight landed

    async def _take_in(self, draft: _Draft) -> None:
        while self._waiting and not draft.is_full:
            waiting = self._waiting.popleft()
            if not waiting.answer.cancelled():
                draft.group.append(waiting)
                draft.size += waiting.put.size
                draft.answers.append(await self._judge_one(draft, waiting.put))

    def _start(self, draft: _Draft) -> _Flight:
        commit = asyncio.create_task(asyncio.to_thread(self._commit, draft))
        commit.add_done_callback(lambda _: self._wake.set())
        return _Flight(draft, commit)

    async def _landed(self, flight: _Flight) -> bool:
        """Whether it is on disk: then it is answered. Else nobody knows, and it is to be settled from what is there."""
        try:
            await flight.commit
        except DarkLanternError:
            return False
        self._answer(flight.draft)
        return True

    def _answer(self, draft: _Draft) -> None:
        self._folded.view = draft.view
        self.groups += 1
        self.appended += sum(map(len, draft.entries.values()))
        for waiting, answer in zip(draft.group, draft.answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    async def _serve(self, group: list[_Waiting]) -> None:
        try:
            await self._settle(group)
        except DarkLanternError as error:
            _fail(group, problem(error))
        except BaseException:
            _fail(group, busy("the relay failed"))
            raise

    async def _settle(self, group: list[_Waiting]) -> None:
        """One group, with nothing in flight: whatever happens, each is answered by what the database then holds."""
        fresh = False
        for _ in range(_TRIES):
            draft = await self._judge(group)
            if not fresh and not draft.all_entered:
                # What another process has appended may be just what these records wait for.
                fresh, known = True, self._folded.view
                await asyncio.to_thread(self._folded.catch_up)
                if self._folded.view is not known:
                    continue
            try:
                await asyncio.to_thread(self._commit, draft)
            except QuotaError as error:
                full = [each for each in group if error.account in (each.put.account, _device(each.put))]
                _fail(full, problem(error))
                group = [each for each in group if each not in full]
            except (LogError, RefusedError, StoreError):
                # Another relay was faster; or the database failed at the very end and may have committed. What it
                # holds now says so, and judging again answers for records that are there.
                await asyncio.to_thread(self._folded.catch_up)
            else:
                self._answer(draft)
                return
        raise busy("other relays append to these logs faster than this one")

    async def _judge(self, group: list[_Waiting]) -> _Draft:
        draft = _Draft(self._folded.view, self._folded.view, group)
        for waiting in group:
            draft.answers.append(await self._judge_one(draft, waiting.put))
        return draft

    async def _judge_one(self, draft: _Draft, put: Put) -> tuple[RecordResult, ...]:
        results, named, taken = [], set[str](), 0
        for data in put.envelopes:
            draft.judged += 1
            if not draft.judged % _IN_A_ROW:
                await asyncio.sleep(0)  # others are read and answered meanwhile; nobody else moves the view
            result, found = self._entered(draft, put.log, data)
            results.append(result)
            if found is None:
                continue
            taken += len(data)
            for name in names_of(found):
                named.add(name)
                self._need(draft, put, name, 1)
        for name in put.blobs.keys() - named:
            self._need(draft, put, name, 0)
        if taken:
            self._charge(draft, Charge(put.account, taken, self._org_bytes))
        day = int(self._clock()) // _DAY_S
        self._charge(draft, Charge(_device(put), put.size, self._device_bytes, day))
        return tuple(results)

    def _entered(self, draft: _Draft, log: str, data: bytes) -> tuple[RecordResult, Read | None]:
        """What becomes of one record, and the record if it enters the log."""
        try:
            view, found, refused = enter(draft.view, log, data)
            check_timely(found, int(self._clock()))
        except DarkLanternError as error:
            return _not_entered(draft.view, log, data, error), None
        except Exception as error:  # noqa: BLE001, one record that meets a defect must not take all others with it
            tell_defect(error)
            unable = RefusedError("this relay cannot judge the record", hint="tell its keeper, who finds it in the log")
            return _not_entered(draft.view, log, data, unable), None
        if view.log_key(log) != self._public:
            moved = RefusedError("from this record on another relay keeps the log", hint="send it to that relay")
            return _not_entered(draft.view, log, data, moved), None
        position = draft.view.trail(log).size
        draft.view = view
        draft.entries.setdefault(log, []).append(Entry(bytes.fromhex(found.id), data))
        return RecordResult(id=found.id, position=position, refused=refused), found

    def _need(self, draft: _Draft, put: Put, name: str, count: int) -> None:
        known = draft.uses.get((put.log, name))
        data, account = put.blobs.get(name), put.account
        if known:
            count += known.count
            data, account = (known.data, known.account) if known.data is not None else (data, account)
        draft.uses[put.log, name] = Uses(put.log, name, count, data, account, self._org_bytes)

    def _charge(self, draft: _Draft, charge: Charge) -> None:
        key = (charge.account, charge.period)
        known = draft.charges.get(key)
        amount = charge.amount + (known.amount if known else 0)
        draft.charges[key] = Charge(charge.account, amount, charge.limit, charge.period)

    def _commit(self, draft: _Draft) -> None:
        """For a thread: signing takes half a millisecond, in which others are answered."""
        group = self._signed(draft)
        self._database.commit(group)
        if group.drops:
            self._collect()

    def _check_taken_over(self, log: str) -> None:
        check_taken_over(self._folded.view, log, self._public, self._database.head(log).checkpoint)

    def _signed(self, draft: _Draft) -> Group:
        time, before = int(self._clock()), draft.before
        appends = []
        for log, entries in draft.entries.items():
            end = draft.view.trail(log).frontier
            said = checkpoint.Checkpoint(origin(self._public, log), end.size, end.root)
            # Never before the last one, whatever the clock says: readers refuse a log that goes back in time.
            signed = max(time, self._database.head(log).time)
            note = checkpoint.sign(said, self._key, signed)
            appends.append(Append(log, before.trail(log).frontier, tuple(entries), note, signed))
        drops = tuple(drop for log in draft.entries for drop in buried(before, draft.view, log))
        return Group(tuple(appends), tuple(draft.uses.values()), tuple(draft.charges.values()), drops, time)


def _not_entered(view: View, log: str, data: bytes, error: DarkLanternError) -> RecordResult:
    try:
        id = leaf_id(data)
    except DarkLanternError:
        return RecordResult(id=NOBODY, position=None, refused=error.message)
    if is_registered(view, log, id):
        return RecordResult(id=id, position=view.trail(log).own[id], refused=None)
    return RecordResult(id=id, position=None, refused=error.message)


def _device(put: Put) -> str:
    return f"device:{put.device}"


def _fail(group: list[_Waiting], error: Problem) -> None:
    for waiting in group:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
