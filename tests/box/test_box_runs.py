"""Whole runs: what is released, what is kept, what a crash and a second run of one project do."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from darklantern.box.folders import Run, runs
from darklantern.box.ledger import HEAD, LEDGER, opened, read
from darklantern.box.outlet.frames import frame, heard
from darklantern.box.outlet.pricing import MICRO
from darklantern.box.outlet.symbols import Invalid, Said
from darklantern.box.running.logs import unpadded
from darklantern.box.running.releasing import Released, read_released
from darklantern.box.runs import run
from darklantern.box.sealed import project_key, unseal_bytes
from darklantern.box.spec import read_spec
from darklantern.box.unsealing import price, unsealed
from darklantern.errors import BoxError, StoreError

from .test_pricing import channel

SPEC = """
command = ["python", "/box/inputs/program.py"]
inputs = {{ "program.py" = "program.py" }}
project = {{ folder = "project", bits = {bits} }}
limits = {{ wall = "{wall}", memory = "1GiB", disk = "8MiB", files = 50 }}
{more}
[outlet]
{outlet}
[[outlet.channels]]
name = "loss"
low = 0.0
high = 1.0
symbols = 4
"""
FINAL = 'mode = "final"'
SLOTS = 'mode = "slots"\nslots = 4\nsends = 2\nends_early = true'


def declared(folder: Path, program: str, *, outlet: str = SLOTS, wall: str = "2s", bits: float = 200.0, more: str = ""):
    (folder / "program.py").write_text("import os, sys, time\nfrom darklantern.box import inside\n" + program)
    (folder / "box.toml").write_text(SPEC.format(bits=bits, wall=wall, outlet=outlet, more=more))
    return read_spec(folder / "box.toml")


def ran(given, resumed: Run | None = None) -> list[Released]:
    seen: list[Released] = []
    run(given, seen.append, resumed=resumed)
    return seen


def test_what_is_sent_is_released_at_ticks_and_costs_what_it_says(tmp_path: Path) -> None:
    given = declared(
        tmp_path,
        "inside.send('loss', 0.3)\ntime.sleep(0.8)\ninside.send('loss', math.nan)\n".replace(
            "math.nan", "float('nan')"
        ),
    )
    seen = ran(given)
    assert [each.what for each in seen] == ["said", "invalid", "ended"] or [each.what for each in seen] == [
        "said",
        "silent",
        "invalid",
        "ended",
    ]
    assert seen[0].symbol == 1 and seen[0].meaning == 0.375 and seen[-1].how == "ok"
    made = runs(given.project)[-1]
    assert read_released(made.released) == tuple(seen)
    _, balance = read(given.project)
    assert balance.settled == sum(each.microbits for each in seen) and balance.reserved == 0
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "log.age", "released.jsonl", "report.json", "spec.json"
    ]  # fmt: skip


def test_in_mode_final_the_last_word_of_each_channel_comes_at_the_deadline(tmp_path: Path) -> None:
    given = declared(tmp_path, "for x in (0.1, 0.9): inside.send('loss', x)\nsys.exit(3)", outlet=FINAL, wall="1s")
    began = time.monotonic()
    seen = ran(given)
    assert time.monotonic() - began >= 1.0
    assert [(each.what, each.symbol, each.how) for each in seen] == [
        ("finished", 0, None), ("said", 3, None), ("ended", None, "failed")
    ]  # fmt: skip


def test_a_run_goes_on_where_another_was_with_the_budget_that_is_left(tmp_path: Path) -> None:
    program = """
n = int(open('n').read()) if os.path.exists('n') else 0
open('n', 'w').write(str(n + 1))
inside.send('loss', 0.1 + 0.25 * n)
"""
    given = declared(tmp_path, program, more="resumable = true")
    first = ran(given)
    again = ran(given, runs(given.project)[-1])
    assert (first[0].symbol, again[0].symbol) == (0, 1)
    assert read(given.project)[1].settled == sum(each.microbits for each in (*first, *again))
    (tmp_path / "box.toml").write_text((tmp_path / "box.toml").read_text().replace('wall = "2s"', 'wall = "3s"'))
    with pytest.raises(BoxError, match="ran another declaration"):
        ran(read_spec(tmp_path / "box.toml"), runs(given.project)[-1])
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(BoxError, match="another project"):
        ran(declared(other, program, more="resumable = true"), runs(given.project)[-1])
    plain = tmp_path / "plain"
    plain.mkdir()
    forgets = declared(plain, program)
    ran(forgets)
    with pytest.raises(BoxError, match="left no /box/work"):
        ran(forgets, runs(forgets.project)[-1])


def test_what_it_printed_is_sealed_and_charged_by_the_byte(tmp_path: Path) -> None:
    given = declared(tmp_path, "print('a secret that was printed')", bits=100.0)
    ran(given)
    made = runs(given.project)[-1]
    assert b"secret" not in (made.folder / "log.age").read_bytes()
    assert unpadded(unseal_bytes(made.folder / "log.age", project_key(given.project))) == b"a secret that was printed\n"
    left = read(given.project)[1].left
    assert unsealed(made, 8) == (b"a secret", price(8, 8))
    assert left - read(given.project)[1].left == price(8, 8) > 64 * MICRO
    with pytest.raises(BoxError, match="are left"):
        unsealed(made, 8)
    assert unsealed(made, 2, last=True)[0] == b"d\n"
    with pytest.raises(BoxError, match="expected 1 to"):
        unsealed(made, 0)


@pytest.mark.parametrize(
    ("program", "limit"),
    [
        ("open('x', 'wb').write(b'x' * (9 << 20))", "disk at once"),
        ("[open(f'f{i}', 'w').close() for i in range(60)]\ntime.sleep(9)", "files"),
        ("while True: pass", "wall"),
    ],
    ids=["disk", "files", "wall"],
)
def test_limits_end_it(tmp_path: Path, program: str, limit: str) -> None:
    seen = ran(declared(tmp_path, program, wall="4s" if limit == "files" else "2s"))
    assert seen[-1].what == "ended" and seen[-1].how in ("limit", "failed")
    assert limit != "wall" or seen[-1].how == "limit"


def test_a_tripwire_ends_it_and_a_monitor_that_is_gone_does_too(tmp_path: Path) -> None:
    (tmp_path / "monitor.py").write_text(
        "import sys\nfrom darklantern.box import inside\n"
        "with inside.told() as told:\n    sys.exit(b'drift' in told.read(5))\n"
    )
    wire = '[tripwire]\ncommand = ["python", "/box/inputs/monitor.py"]\ninputs = { "monitor.py" = "monitor.py" }'
    for words in ("drift", "fine!"):  # at the second word it is content, and ends too early
        folder = tmp_path / words
        folder.mkdir()
        (folder / "monitor.py").write_text((tmp_path / "monitor.py").read_text())
        seen = ran(declared(folder, f"inside.tell(b'{words}')\ntime.sleep(9)", more=wire, wall="4s"))
        assert seen[-1].how == "tripwire"
    last = tmp_path / "last"
    last.mkdir()
    (last / "monitor.py").write_text("from darklantern.box import inside\nwith inside.told() as told: told.read()\n")
    assert ran(declared(last, "inside.tell(b'x' * 100000)", more=wire, wall="4s"))[-1].how == "ok"


def test_a_supervisor_killed_keeps_the_charge_and_the_next_run_goes_on(tmp_path: Path) -> None:
    given = declared(tmp_path, "time.sleep(30)", wall="30s")
    code = """
import sys
from pathlib import Path
from darklantern.box.runs import run
from darklantern.box.spec import read_spec
run(read_spec(Path(sys.argv[1])), lambda step: None, lambda made, held: print('begun', flush=True))
"""
    source = str(Path(__file__).parents[2] / "src")
    child = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "box.toml"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert child.stdout is not None and child.stdout.readline() == b"begun\n"
    with pytest.raises(StoreError, match="held by process"), opened(given.project, given.budget):
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with opened(given.project, given.budget) as ledger:
        ledger.reserve("later", "step", MICRO)
        ledger.settle("later", "step", MICRO)


def test_others_may_look_at_what_is_theirs_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert ran(declared(tmp_path, "open('x', 'w').close()", wall="1s"))[-1].how == "ok"
    finally:
        os.umask(before)


def test_a_ledger_that_was_altered_lets_nothing_run(tmp_path: Path) -> None:
    given = declared(tmp_path, "inside.send('loss', 0.5)")
    ran(given)
    path = given.project / LEDGER
    path.write_text(path.read_text().replace('"microbits":', '"microbits":1', 1))
    with pytest.raises(BoxError, match="was altered"):
        ran(given)
    with pytest.raises(BoxError, match="was altered"):
        unsealed(runs(given.project)[-1], 1)


def test_a_ledger_that_was_removed_or_set_back_lets_nothing_run(tmp_path: Path) -> None:
    given = declared(tmp_path, "inside.send('loss', 0.5)", wall="1s")
    ran(given)
    files = [given.project / name for name in (LEDGER, HEAD)]
    before = [each.read_bytes() for each in files]
    ran(given)
    for file, data in zip(files, before, strict=True):
        file.write_bytes(data)
    with pytest.raises(BoxError, match=r"the report of 2-[0-9a-f]{8} has another line"):
        ran(given)
    for file in files:
        file.unlink()
    with pytest.raises(BoxError, match="there are runs, and no line tells of them"):
        ran(given)


def test_no_project_lies_where_boxes_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(BoxError, match="which every box sees"):
        ran(declared(tmp_path, ""))


@hypothesis.given(strategies.binary(min_size=16, max_size=16))
def test_frames_are_believed_in_nothing(data: bytes) -> None:
    loss = (channel(4),)
    assert heard(frame(0, 0, 0.5), loss) == ("loss", Said("loss", 2))
    name, symbol = heard(data, loss)
    assert (name, symbol) in {
        (None, Invalid()),
        ("loss", Invalid()),
        *(("loss", Said("loss", each)) for each in range(4)),
    }
    assert heard(b"\xff" * 16, loss) == (None, Invalid())
    assert heard(frame(0, 0, math.inf), loss) == ("loss", Invalid())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("bits = 200.0", "bits = -1.0"), "bits above 0"),
        (("bits = 200.0", "bits = nan"), "bits above 0"),
        (('wall = "2s"', 'wall = "soon"'), "expected a time"),
        (('wall = "2s"', 'wall = "0s"'), "expected a time"),
        (('memory = "1GiB"', 'memory = "much"'), "expected a size"),
        (("slots = 4", "slots = 400"), "100 ms at least"),
        (('"program.py" = "program.py"', '"program.py" = "/etc/passwd"'), "beside it"),
        (('"program.py" = "program.py"', '"../x" = "program.py"'), "declares no box"),
        (("symbols = 4", "symbols = 1"), "declares no box"),
        (("[outlet]", "[exit]"), "declares no box"),
        (("[outlet]", "[[["), "declares no box"),
    ],
)
def test_declarations_that_are_none(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    declared(tmp_path, "")
    path = tmp_path / "box.toml"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(BoxError, match=says) as told:
        read_spec(path)
    assert told.value.hint


def test_reports_are_exact_and_say_the_rung(tmp_path: Path) -> None:
    ran(declared(tmp_path, "", outlet=FINAL, wall="1s"))
    told = json.loads(runs(tmp_path / "project")[-1].report.read_bytes())
    assert told["rung"] in ("A", "B") and "no internet" in told["held"] and "watchdog" in told["remarks"][0]
    assert told["lines"] == 7
