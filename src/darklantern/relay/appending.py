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
from darklantern.network.items import Sealed
from darklantern.network.reading import Read, leaf_id
from darklantern.network.view import View, enter, is_registered
from darklantern.records.record import NOBODY
from darklantern.records.relay_wire import RecordResult
from darklantern.relay.folded import Folded
from darklantern.relay.problems import Problem, busy, problem
from darklantern.relay.stores import Append, Charge, Database, Entry, Group, QuotaError, Uses
from darklantern.relay.telling import tell_defect
from darklantern.sealing import LogKey

_TOGETHER: Final = 128
"""requests in one transaction: about 20 ms of judging, which the last of them waits for"""
_IN_A_ROW: Final = 32
"""records that are judged before others get a turn: about 5 ms"""
_TOGETHER_BYTES: Final = 8 * 1024 * 1024
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

    view: View
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    uses: dict[tuple[str, str], Uses] = field(default_factory=dict)
    charges: dict[tuple[str, int], Charge] = field(default_factory=dict)
    answers: list[tuple[RecordResult, ...]] = field(default_factory=list)
    judged: int = 0


class Appender:
    """Appends to the logs that `key` signs. One `run` at a time."""

    def __init__(
        self,
        database: Database,
        folded: Folded,
        key: LogKey,
        org_bytes: int,
        device_bytes_a_day: int,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._folded = folded
        self._key = key
        self._public = key.public  # deriving it takes as long as a fifth of a put
        self._org_bytes = org_bytes
        self._device_bytes = device_bytes_a_day
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
        self._check_mine(put.log)
        if self.frozen:
            raise busy(f"this relay appends nothing now: {self.frozen}")
        waiting = _Waiting(put, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        return await waiting.answer

    async def run(self) -> None:
        """Serve those who wait, until cancelled."""
        while True:
            await self._wake.wait()
            while group := self._next():
                async with self._folded.turn:
                    await self._serve(group)
            self._wake.clear()

    def _next(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._waiting and len(group) < _TOGETHER and size < _TOGETHER_BYTES:
            waiting = self._waiting.popleft()
            if not waiting.answer.cancelled():
                group.append(waiting)
                size += waiting.put.size
        return group

    async def _serve(self, group: list[_Waiting]) -> None:
        try:
            await self._settle(group)
        except DarkLanternError as error:
            _fail(group, problem(error))
        except BaseException:
            _fail(group, busy("the relay failed"))
            raise

    async def _settle(self, group: list[_Waiting]) -> None:
        fresh = False
        for _ in range(_TRIES):
            draft = await self._judge(group)
            if not fresh and any(result.position is None for answer in draft.answers for result in answer):
                # What another process has appended may be just what these records wait for.
                fresh, known = True, self._folded.view
                await asyncio.to_thread(self._folded.catch_up)
                if self._folded.view is not known:
                    continue
            try:
                await asyncio.to_thread(self._database.commit, self._signed(draft))
            except QuotaError as error:
                full = [each for each in group if error.account in (each.put.account, _device(each.put))]
                _fail(full, problem(error))
                group = [each for each in group if each not in full]
            except (LogError, RefusedError, StoreError):
                # Another relay was faster; or the database failed at the very end and may have committed. What it
                # holds now says so, and judging again answers for records that are there.
                await asyncio.to_thread(self._folded.catch_up)
            else:
                self._folded.view = draft.view
                self.groups += 1
                self.appended += sum(map(len, draft.entries.values()))
                for waiting, answer in zip(group, draft.answers, strict=True):
                    if not waiting.answer.done():
                        waiting.answer.set_result(answer)
                return
        raise busy("other relays append to these logs faster than this one")

    async def _judge(self, group: list[_Waiting]) -> _Draft:
        draft = _Draft(self._folded.view)
        for waiting in group:
            draft.answers.append(await self._judge_one(draft, waiting.put))
        return draft

    async def _judge_one(self, draft: _Draft, put: Put) -> tuple[RecordResult, ...]:
        results, named, taken = [], set[str](), 0
        for data in put.envelopes:
            draft.judged += 1
            if not draft.judged % _IN_A_ROW:
                await asyncio.sleep(0)  # others are read and answered meanwhile; nobody else moves the view
            result, found = _entered(draft, put.log, data)
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

    def _signed(self, draft: _Draft) -> Group:
        time, before = int(self._clock()), self._folded.view
        appends = []
        for log, entries in draft.entries.items():
            end = draft.view.trail(log).frontier
            said = checkpoint.Checkpoint(draft.view.origin(log), end.size, end.root)
            note = checkpoint.sign(said, self._key, time)
            appends.append(Append(log, before.trail(log).frontier, tuple(entries), note, time))
        return Group(tuple(appends), tuple(draft.uses.values()), tuple(draft.charges.values()), time)

    def _check_mine(self, log: str) -> None:
        key = self._folded.view.log_key(log)
        if key is None:
            raise Problem(404, f"no accepted record names the log {log[:8]}…", "sync the network's log first")
        if key != self._public:
            raise Problem(
                409, f"this relay mirrors the log {log[:8]}…; its appender is {key.id}", "send it to that relay"
            )


def names_of(read: Read) -> tuple[str, ...]:
    """The blobs that a record needs."""
    return (*read.body.pieces, *read.body.attached) if isinstance(read.body, Sealed) else ()


def _entered(draft: _Draft, log: str, data: bytes) -> tuple[RecordResult, Read | None]:
    """What becomes of one record, and the record if it enters the log."""
    try:
        view, found, refused = enter(draft.view, log, data)
    except DarkLanternError as error:
        return _not_entered(draft.view, log, data, error), None
    except Exception as error:  # noqa: BLE001, one record that meets a defect must not take all others with it
        tell_defect(error)
        unable = RefusedError("this relay cannot judge the record", hint="tell its keeper, who finds it in the log")
        return _not_entered(draft.view, log, data, unable), None
    position = draft.view.trail(log).size
    draft.view = view
    draft.entries.setdefault(log, []).append(Entry(bytes.fromhex(found.id), data))
    return RecordResult(id=found.id, position=position, refused=refused), found


def _not_entered(view: View, log: str, data: bytes, error: DarkLanternError) -> RecordResult:
    try:
        id = leaf_id(data)
    except DarkLanternError:
        return RecordResult(id=NOBODY, position=None, refused=error.message)
    if is_registered(view, log, id):
        return RecordResult(id=id, position=view.trail(log).ids.index(id), refused=None)
    return RecordResult(id=id, position=None, refused=error.message)


def _device(put: Put) -> str:
    return f"device:{put.device}"


def _fail(group: list[_Waiting], error: Problem) -> None:
    for waiting in group:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
