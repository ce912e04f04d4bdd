"""A sender that works with its observer: by value, silence, time, order, exit code and duration it tells no more bits.

Each strategy goes through the real supervisor, pipe, outlet and ledger, on a clock of its own; only the processes are
scripted. What an observer has is the transcript, and when it was over.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest

from darklantern.box.ledger import opened
from darklantern.box.outlet.frames import frame
from darklantern.box.outlet.plans import Outlet
from darklantern.box.outlet.pricing import MICRO
from darklantern.box.running.hearing import Hearing
from darklantern.box.running.logs import Printed
from darklantern.box.running.releasing import Releasing
from darklantern.box.running.supervising import Supervised, supervise
from darklantern.box.running.watchdog import Looking, Together

from .test_pricing import channel

WALL_S = 1.0
TIMES = (0.1, 0.45, 0.6, 0.95)
VALUES = (0.2, 0.8, float("nan"))
CODES = (0, 1, 255)
MOST = Together(memory=2**40, cpu_s=1e9, disk=2**40, files=100)


@dataclass
class Strategy:
    """What a program does at which second, on a clock that only moves when somebody waits."""

    sends: Sequence[tuple[float, int, float]]
    """(second, channel, number)"""
    ends: float | None
    code: int
    to: int
    now: float = 0.0
    done: int = 0
    first: int = 2**22 + 1  # no process
    killed: bool = field(default=False)

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-6)
        while self.done < len(self.sends) and self.sends[self.done][0] <= self.now and not self.over():
            _, number, value = self.sends[self.done]
            os.write(self.to, frame(number, self.done, value))
            self.done += 1

    def over(self) -> bool:
        return self.killed or (self.ends is not None and self.now >= self.ends)

    def ended(self) -> int | None:
        return self.code if self.over() else None

    def strike(self) -> None:
        self.killed = True


def seen(outlet: Outlet, bits: int, folder: Path, strategy: Strategy, said: int) -> object:
    """What an observer of one run has, and that it cost no more than the budget."""
    printed, print_ = os.pipe()
    os.close(print_)
    folder.mkdir()
    steps: list[object] = []
    with opened(folder, bits * MICRO) as ledger:
        releasing = Releasing(outlet, ledger, "run", folder / "released.jsonl", steps.append)
        hearing, log = Hearing(said, outlet.channels), Printed(printed, 100)
        watchdog = Looking(strategy.first, folder, MOST)  # never started: it has its own clock, and its own tests
        held = Supervised(strategy, hearing, log, watchdog, clock=lambda: strategy.now, sleep=strategy.sleep)
        supervise(held, outlet, WALL_S, releasing)
        assert ledger.balance.settled <= bits * MICRO and ledger.balance.reserved == 0
    log.close()
    return tuple(map(repr, steps)), round(strategy.now, 3)


def strategies(channels: int) -> list[tuple[tuple[tuple[float, int, float], ...], float | None, int]]:
    one = [((at, number, value),) for at in TIMES for number in range(channels) for value in VALUES]
    two = [(first[0], second[0]) for first in one for second in one if first[0][0] < second[0][0]]
    ways = [(), *one, *two]
    return [(way, ends, code) for way in ways for ends, code in [(None, 0), *product((0.3, 0.7), CODES)]]


@pytest.mark.slow
@pytest.mark.parametrize("bits", [0, 2, 4, 6, 9])
@pytest.mark.parametrize(
    "outlet",
    [
        Outlet(mode="slots", channels=(channel(2),), slots=2, sends=1),
        Outlet(mode="slots", channels=(channel(2),), slots=2, sends=1, ends_early=True),
        Outlet(mode="cadence", channels=(channel(2),), slots=2),
        Outlet(mode="final", channels=(channel(2),), epochs=2),
        Outlet(mode="final", channels=(channel(2, "a"), channel(2, "b"))),
    ],
    ids=["slots", "slots that end early", "cadence", "epochs", "final"],
)
def test_no_way_of_sending_tells_more_than_the_budget(outlet: Outlet, bits: int, tmp_path: Path) -> None:
    told = set()
    for i, (sends, ends, code) in enumerate(strategies(1)):
        said, to = os.pipe()
        try:
            told.add(seen(outlet, bits, tmp_path / str(i), Strategy(sends, ends, code, to), said))
        finally:
            os.close(said)
            os.close(to)
    assert len(told) <= 2**bits
    assert bits < 9 or len(told) > 4, "with room, strategies do differ"
