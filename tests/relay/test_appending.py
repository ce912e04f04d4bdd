"""Requests that wait together: what enters its log is written together, and what does not holds none of it up."""

import asyncio
import os
from pathlib import Path

from network.world import NOW, circled, device, log_key

from darklantern.relay.appending import Appender
from darklantern.relay.charging import Quotas
from darklantern.relay.folded import Folded
from darklantern.relay.judging import Put
from darklantern.relay.stores import open_database
from darklantern.relay.writing import Draft, Writing

from .test_needs import begin


class Counting(Writing):
    """The real one, which remembers how large its groups were."""

    groups: tuple[int, ...] = ()

    def commit(self, draft: Draft) -> None:
        self.groups = (*self.groups, len(draft.judged))
        super().commit(draft)


def test_what_enters_is_one_group_whatever_waits_beside_it(tmp_path: Path) -> None:
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
    writing = Counting(database, log_key("keeper"), Quotas(1 << 30, 1 << 30, lambda: NOW), lambda: None, lambda: NOW)

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
    assert writing.groups == (10, 10)
    assert database.sizes()[circle] == first + 10
    database.close()
