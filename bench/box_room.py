"""The room `box`: twenty-five attacks, all transcripts of small outlets, and what a box costs a program."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from boxing import trainings
from rich.console import Console
from rich.progress import track

from darklantern.box.attacks.trying import Ground, ground, printed_by, start_printing, walls
from darklantern.box.attacks.whole import whole
from darklantern.box.confine.bubblewrap import INPUTS
from darklantern.box.outlet.channels import Channel
from darklantern.box.outlet.plans import Outlet, prices
from darklantern.box.outlet.pricing import MICRO
from darklantern.box.outlet.transcripts import Place, after, opened, possible
from darklantern.box.running.starting import children, lives

Line = dict[str, Any]
STARTS, TRAININGS, KILLS, TREE = 40, 9, 20, 8
_TREE = """
import os, signal, time
for each in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_IGN)
for _ in range({count}):
    if os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(60)
print("ready", flush=True)
time.sleep(60)
"""


def run() -> list[Line]:
    """All lines; about three minutes."""
    return [*attacks(), *transcripts(), start(), *training("torch"), *training("jax"), kill()]


def line(name: str, value: float, unit: str, bar: str, ok: bool, **detail: Any) -> Line:
    return {"room": "box", "name": name, "value": value, "unit": unit, "peer": None, "peer_version": None, "bar": bar,
            "ok": ok, "detail": detail}  # fmt: skip


def attacks() -> Iterator[Line]:
    """What works inside; and what did not even work outside, so that it shows nothing."""
    found = [*shown(walls("host"), 17, "walls"), *shown(whole("host"), 8, "runs")]
    broken = [each.attack for each in found if each.verdict == "broken"]
    blank = [each.attack for each in found if each.verdict == "not shown"]
    yield line("attacks that work in a box", len(broken), f"of {len(found)}", "0", not broken, which=broken)
    yield line("attacks that do not work without one", len(blank), f"of {len(found)}", "0", not blank, which=blank)


def transcripts() -> Iterator[Line]:
    """Every transcript of small outlets under every budget: more than 2^B, or a Kraft sum above 1, is a violation."""
    violations, counted, largest = 0, 0, 0.0
    for outlet, bits in shown(list(product(_small(), range(0, 26))), None, "outlets"):
        spent = list(_spent(outlet, bits * MICRO))
        kraft = sum(2.0 ** (-each / MICRO) for each in spent)
        counted, largest = counted + len(spent), max(largest, kraft)
        violations += len(spent) > 2**bits or kraft > 1
    yield line("transcripts beyond the budget", violations, "plans", "0", violations == 0, transcripts=counted)
    yield line("Kraft sum, the largest", round(largest, 9), "", "≤ 1", largest <= 1)


def start() -> Line:
    """From starting a program that does nothing until it has ended, beside the same without a box."""
    with ground("host") as at:
        pairs = []
        for _ in shown(range(STARTS), STARTS, "starts"):
            pairs.append((_took(lambda: subprocess.run(["true"], check=True)), _took(lambda: _empty(at))))
    bare, boxed = (statistics.median(each) * 1000 for each in zip(*pairs, strict=True))
    return line("start over bare", round(boxed - bare, 2), "ms", "≤ 10", boxed - bare <= 10, bare_ms=round(bare, 2))


def training(framework: str) -> Iterator[Line]:
    """The loop's processor time and its weights, in a box and outside, in turns."""
    ratios, others = [], 0
    with ground("host") as at:
        shutil.copyfile(trainings.__file__, at.folder / "inputs" / "trainings.py")
        (at.folder / "inputs" / "trainings.py").chmod(0o644)
        roomy = replace(at.confined, allowed=replace(at.confined.allowed, memory=2**33, processes=256, scratch=2**26))
        for _ in shown(range(TRAININGS), TRAININGS, framework):
            bare = subprocess.run(
                [sys.executable, trainings.__file__, framework], capture_output=True, text=True, check=True
            ).stdout.split()
            command = ["python", f"{INPUTS}/trainings.py", framework]
            boxed = printed_by(*start_printing(roomy, command)).splitlines()[-1].split()
            ratios.append(float(boxed[0]) / float(bare[0]))
            others += boxed[1] != bare[1]
    ratio = statistics.median(ratios)
    yield line(f"{framework}: training in a box", round(ratio, 3), "x", "≤ 1.05", ratio <= 1.05, runs=TRAININGS)
    yield line(f"{framework}: other weights than outside", others, f"of {TRAININGS}", "0", others == 0)


def kill() -> Line:
    """From the kill until the last of a tree of daemons is gone."""
    times = []
    with ground("host") as at:
        for _ in shown(range(KILLS), KILLS, "kills"):
            box, reading = start_printing(at.confined, ["python", "-I", "-S", "-c", _TREE.format(count=TREE)])
            with os.fdopen(reading, "rb") as printed:
                printed.readline()
                pids = children(box.first)
                times.append(_took(box.kill))
            assert len(pids) > TREE and not any(map(lives, pids))
    most = max(times) * 1000
    return line("whole tree dead after a kill", round(most, 2), "ms", "≤ 20", most <= 20, processes=TREE, kills=KILLS)


def _small() -> Iterator[Outlet]:
    for sizes in ((2,), (3,), (2, 2)):
        channels = tuple(Channel(name=f"c{i}", low=0.0, high=1.0, symbols=size) for i, size in enumerate(sizes))
        yield from (Outlet(mode="final", channels=channels, epochs=epochs) for epochs in (1, 3))
        for slots in (1, 2, 3, 4):
            yield Outlet(mode="cadence", channels=channels, slots=slots)
            for sends, early in product(range(1, max(slots, 2)), (False, True)):
                yield Outlet(
                    mode="slots", channels=channels, slots=slots, sends=sends if slots > 1 else None, ends_early=early
                )


def _spent(outlet: Outlet, budget: int) -> Iterator[int]:
    price, open_ = prices(outlet), [Place()]
    while open_:
        at = opened(outlet, price, open_.pop(), budget)
        nexts = possible(outlet, price, at)
        if not nexts:
            yield at.spent
        open_ += [after(outlet, price, at, each) for each in nexts]


def _empty(at: Ground) -> None:
    box, reading = start_printing(at.confined, ["true"])
    with os.fdopen(reading, "rb"):
        box.wait()
    box.kill()


def _took(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def shown(items: Any, total: int | None, what: str) -> Any:
    return track(items, what, total=total, console=Console(stderr=True))
