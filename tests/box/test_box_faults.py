"""Full disks, clocks that jump, supervisors that are killed: a box ends whole, and no bit is told for nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from darklantern.box.folders import runs
from darklantern.box.ledger import read
from darklantern.box.running.releasing import Released, read_released
from darklantern.box.running.starting import children
from darklantern.box.runs import run
from darklantern.errors import StoreError

from .test_box_runs import declared, ran

pytestmark = pytest.mark.slow
SOURCE = Path(__file__).parents[2] / "src"
CODE = """
import sys
from pathlib import Path
from darklantern.box.runs import run
from darklantern.box.spec import read_spec
run(read_spec(Path(sys.argv[1])), lambda step: print(step.step, flush=True), lambda *_: print('begun', flush=True))
"""
# libfaketime cannot tell one clock from the other here: it breaks sleeping
JUMPS = """
import itertools, time
real, jumps = time.time, itertools.cycle((864_000, -864_000))
time.time = lambda: real() + next(jumps)
time.time_ns = lambda: int(time.time() * 1e9)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "dl-full", folder], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def begun(folder: Path, before: str = "") -> "subprocess.Popen[bytes]":
    """A supervisor in a process of its own, whose box runs."""
    child = subprocess.Popen(
        [sys.executable, "-c", before + CODE, folder / "box.toml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert child.stdout is not None and child.stdout.readline() == b"begun\n"
    return child


def test_a_full_disk_ends_the_run_and_what_was_shown_is_paid_for(disk: Path) -> None:
    given = declared(disk, "while True:\n    inside.send('loss', 0.3)\n    time.sleep(0.1)", wall="3s")
    seen: list[Released] = []

    def show(step: Released) -> None:
        seen.append(step)
        with (disk / "fill").open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(512))
            except OSError:
                return

    with pytest.raises(StoreError, match="No space left"):
        run(given, show)
    assert len(seen) in (1, 2) and children(os.getpid()) == [os.getpid()]
    _, balance = read(given.project)
    assert balance.settled + balance.reserved >= sum(each.microbits for each in seen)
    (made,) = runs(given.project)
    assert not (made.folder / "volume").exists() and not (made.folder / "inputs").exists()
    (disk / "fill").unlink()
    assert ran(given)[-1].what == "ended"


def test_a_clock_that_jumps_moves_no_tick(tmp_path: Path) -> None:
    given = declared(tmp_path, "for _ in range(9): inside.send('loss', 0.3)\ntime.sleep(60)", wall="2s")
    child = begun(tmp_path, JUMPS)
    began = time.monotonic()
    child.communicate(timeout=30)
    assert 1.5 < time.monotonic() - began < 20
    steps = read_released(runs(given.project)[-1].released)
    assert [each.what for each in steps] == ["said"] * 4 + ["ended"] and steps[-1].how == "limit"


def test_what_a_killed_supervisor_left_in_the_clear_is_put_away_by_the_next_run(tmp_path: Path) -> None:
    given = declared(
        tmp_path,
        "n = os.path.exists('mark')\nopen('mark', 'w').close()\ninside.send('loss', 0.9 * n)\ntime.sleep(60)",
        more="resumable = true",
    )
    child = begun(tmp_path)
    (first,) = runs(given.project)
    while not (first.volume / "mark").exists():
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert (first.volume / "mark").exists() and not first.report.exists()
    seen = ran(given)
    assert not first.volume.exists() and not (first.folder / "inputs").exists()
    assert seen[0].symbol == 0 and ran(given, first)[0].symbol == 3, "what it had written is there to go on with"


@pytest.mark.parametrize("wait_s", [0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.3, 0.6])
def test_a_supervisor_killed_at_any_moment_leaves_no_box_and_a_ledger_that_goes_on(
    tmp_path: Path, wait_s: float
) -> None:
    given = declared(tmp_path, "while True: inside.send('loss', 0.3)", wall="3s")
    child = subprocess.Popen(
        [sys.executable, "-c", CODE, tmp_path / "box.toml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    while not (given.project / "runs").exists():
        time.sleep(0.001)
    time.sleep(wait_s)
    tree = children(child.pid)
    child.send_signal(signal.SIGKILL)
    shown = child.communicate()[0].count(b"\n") - 1
    deadline = time.monotonic() + 5
    while any(alive(each) for each in tree):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert read(given.project)[1].left < given.budget or shown <= 0
    assert ran(given)[-1].what in ("ended", "closed")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
