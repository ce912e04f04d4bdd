"""Requests that wait together: what enters its log is written together, and what does not holds none of it up."""

import asyncio
import os
from pathlib import Path
from typing import Any

from network.world import NOW, circled, device, log_key

from darklantern.relay.appending import Appender
from darklantern.relay.charging import Quotas, device_account
from darklantern.relay.folded import Folded
from darklantern.relay.judging import Put
from darklantern.relay.stores import Charge, open_database
from darklantern.relay.writing import Batch, Writing

from .test_needs import begin

QUOTAS = Quotas(1 << 30, 1 << 30, 1 << 20, lambda: NOW)


class Counting(Writing):
    """The real one, which remembers how large its batches were."""

    batches: tuple[int, ...] = ()

    def commit(self, batch: Batch) -> None:
        self.batches = (*self.batches, len(batch.judged))
        super().commit(batch)


def test_what_enters_is_one_batch_whatever_waits_beside_it(tmp_path: Path) -> None:
    net, circle = circled()
    database = open_database(f"sqlite://{tmp_path}/relay.db")
    begin(database, net.view, net.net, net.logs[net.net])
    begin(database, net.view, circle, net.logs[circle])
    good = []
    for number in range(10):
        good.append(net.post(circle, "ada", f"post {number}")[0])
        net.add(good[-1], circle)
    misplaced = net.post(circle, "bo")[0]
    net.add(misplaced, circle)
    after = net.post(circle, "bo")[0]  # there is nothing in the log that it could follow
    writing = Counting(database, log_key("keeper"), QUOTAS, lambda: None, lambda: NOW)

    async def run() -> list[object]:
        folded = Folded(database, net.net)
        await folded.follow()
        appender = Appender(database, folded, log_key("keeper").public, writing, lambda: NOW)
        appender.frozen = None
        puts = [Put(circle, (data,), {}, "org:Aurora", device("ada").public.id) for data in good]
        others = [Put(circle, (data,), {}, "org:Beacon", device("bo").public.id) for data in (after, os.urandom(99))]
        both = [appender.put(each) for pair in zip(puts, others * 5, strict=True) for each in pair]
        serving = asyncio.create_task(appender.run())
        try:
            return await asyncio.gather(*both)
        finally:
            serving.cancel()

    answers = asyncio.run(run())
    positions = [answer[0].position for answer in answers]
    first = len(net.logs[circle]) - 11
    assert positions[::2] == list(range(first, first + 10))
    assert positions[1::2] == [None] * 10
    assert writing.batches == (10, 10)
    assert database.sizes()[circle] == first + 10
    database.close()


def test_one_request_is_taken_however_many_accounts_beside_it_are_full(tmp_path: Path) -> None:
    net, circle = circled()
    database = open_database(f"sqlite://{tmp_path}/relay.db")
    begin(database, net.view, net.net, net.logs[net.net])
    begin(database, net.view, circle, net.logs[circle])
    full = [f"{number:02x}" * 32 for number in range(9)]
    database.charge(*(Charge(device_account(each), 1 << 20, 1 << 20, NOW // (24 * 3600)) for each in full))
    mine, known = net.post(circle, "ada")[0], net.logs[circle][0]
    writing = Writing(database, log_key("keeper"), QUOTAS, lambda: None, lambda: NOW)

    async def run() -> list[Any]:
        folded = Folded(database, net.net)
        await folded.follow()
        appender = Appender(database, folded, log_key("keeper").public, writing, lambda: NOW)
        appender.frozen = None
        puts = [appender.put(Put(circle, (known,), {}, "org:Beacon", each)) for each in full]
        honest = appender.put(Put(circle, (mine,), {}, "org:Aurora", device("ada").public.id))
        serving = asyncio.create_task(appender.run())
        try:
            return await asyncio.gather(*puts, honest, return_exceptions=True)
        finally:
            serving.cancel()

    *refused, taken = asyncio.run(run())
    assert taken[0].position == len(net.logs[circle])
    for id, each in zip(full, refused, strict=True):  # and nobody is told of another's account
        assert (each.status, f"quota of {device_account(id)}" in each.message) == (507, True)
    database.close()
