"""One's own script as reference runs: real processes, small ones."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from watch.loops import TRUSTED, Scripted, parts, rising, run
from watch.runs.workers import worker

from darklantern.errors import StoreError, WatchError
from darklantern.watch import Reaction, Settings, repeating, watch
from darklantern.watch.recording import LOOKS, recorded
from darklantern.watch.repeating import FINISHED, FOLDER, OUTPUT, SEED, asked_for, parse_seeds, repeat
from darklantern.watch.runs.ending import tied

SCRIPT = """
import os
import signal
import sys
from pathlib import Path
from darklantern.watch import Signal
from darklantern.watch.recording import LOOKS, Begun, Look
from darklantern.watch.repeating import asked_for
from darklantern.watch.runs.files import add_line
import time

SIGNAL = Signal("x", "I0", "signal", "", "")

told = asked_for()
seed = int(sys.argv[1])
print("seed", seed, flush=True)
Path("started").open("a").write(f"{seed}\\n")
if seed == 13:
    raise SystemExit("this seed fails")
if seed == 99:
    (told.folder / "waits").touch()
    time.sleep(600)
if seed == 98:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (told.folder / LOOKS).write_text("its own")
    (told.folder / "waits").write_text(str(os.getpid()))
    time.sleep(600)
if seed != 50:
    begun = Begun(seed=told.seed, recipe="", data="", every=5, ranks=1, versions={}, signals=(SIGNAL,), digests={})
    add_line(told.folder / LOOKS, begun, sync=False)
    add_line(told.folder / LOOKS, Look(step=5, looks=1, readings={"x": (float(told.seed), 0.0)}), sync=False)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return f"{sys.executable} train.py {{seed}}"


def started() -> list[int]:
    return sorted(int(line) for line in Path("started").read_text().split())


@pytest.mark.slow
def test_each_seed_is_run_once_in_a_folder_of_its_own_and_not_again(script: str) -> None:
    told: list[tuple[int, int]] = []
    found = repeat(script, (1, 2, 3), Path("runs"), 2, lambda done, of: told.append((done, of)))
    assert [recorded(folder).begun.seed for folder in found] == [1, 2, 3]
    assert (found[0] / OUTPUT).read_text() == "seed 1\n"
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    again = repeat(script, (1, 2, 3, 4), Path("runs"), 1, lambda done, of: None)
    assert again[:3] == found
    assert started() == [1, 2, 3, 4], "what is finished is not run again"
    Path("train.py").write_text(SCRIPT + "\n# another script\n")
    repeat(script, (4,), Path("runs"), 1, lambda done, of: None)
    assert started() == [1, 2, 3, 4, 4], "another script is another recipe"
    assert len((found[0] / LOOKS).read_text().splitlines()) == 2


@pytest.mark.slow
def test_a_run_that_fails_is_told_with_what_it_said_and_what_is_finished_stays(script: str) -> None:
    with pytest.raises(WatchError, match="seed 13 ended with status 1:\nseed 13\nthis seed fails"):
        repeat(script, (1, 13, 2), Path("runs"), 1, lambda done, of: None)
    assert (Path("runs/1") / FINISHED).exists()
    assert not (Path("runs/13") / FINISHED).exists()
    with pytest.raises(WatchError, match="seed 50 ended without a look of a watch"):
        repeat(script, (50,), Path("runs"), 1, lambda done, of: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("was", "made", "said"),
    [
        ("digests={}", 'digests={"x": str(seed)}, settings={"x": {"seed": seed}}', r"of 'x' \(seed 2 and 1\)"),
        ("(float(told.seed), 0.0)", "(7.5, 0.0)", "runs/1 and runs/2 read the same to the last digit"),
    ],
    ids=["a probe's seed", "a seed that reaches nothing"],
)
def test_runs_that_could_not_be_collected_end_with_the_second(script: str, was: str, made: str, said: str) -> None:
    assert was in SCRIPT
    Path("train.py").write_text(SCRIPT.replace(was, made))
    for _ in range(2):
        with pytest.raises(WatchError, match=said):
            repeat(script, (1, 2, 3), Path("runs"), 1, lambda done, of: None)
        (Path("runs/2") / FINISHED).unlink(missing_ok=True)
    assert started() == [1, 2, 2], "also beside one that was finished before"


@pytest.mark.slow
def test_a_failure_ends_the_other_runs(script: str) -> None:
    with pytest.raises(WatchError, match="seed 13"):
        repeat(script, (99, 13), Path("runs"), 2, lambda done, of: None)
    assert not _lives("train.py 99", Path.cwd()), "it would have waited for ten minutes"


@pytest.mark.slow
def test_ctrl_c_ends_what_runs_and_keeps_what_is_finished(script: str) -> None:
    command = [sys.executable, "-m", "darklantern", "watch", "calibrate", "--run", script, "--seeds", "1,99,101-122"]
    process = subprocess.Popen([*command, "--workers", "1", "--runs", "runs"], stderr=subprocess.PIPE, text=True)
    while not Path("runs/99/waits").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert (Path("runs/1") / FINISHED).exists()
    assert started() == [1, 99]
    assert not _lives("train.py 99", Path.cwd())


def _killed(script: str, seed: int) -> None:
    """A calibration of one's own script, killed while the run of `seed` waits."""
    command = [sys.executable, "-m", "darklantern", "watch", "calibrate", "--run", script, "--seeds", f"{seed},101-123"]
    process = subprocess.Popen([*command, "--workers", "1", "--runs", "runs"], stderr=subprocess.PIPE, text=True)
    while not Path(f"runs/{seed}/waits").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can be tied to another")
def test_where_the_calibration_is_killed_its_runs_end_and_the_next_makes_them_again(script: str) -> None:
    _killed(script, 99)
    while _lives("train.py 99", Path.cwd()):
        time.sleep(0.05)
    assert len(repeat(script, (1,), Path("runs"), 1, lambda done, of: None)) == 1


@pytest.mark.slow
def test_a_run_that_outlives_its_killed_calibration_is_noticed_and_nothing_of_it_is_deleted(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _killed(script, 98)
    monkeypatch.setattr(repeating, "_LEFT_S", 0.2)
    with pytest.raises(StoreError, match=r"made in runs by process \d+, or by a run that it started and that goes on"):
        repeat(script, (98,), Path("runs"), 1, lambda done, of: None)
    assert Path("runs/98", LOOKS).read_text() == "its own"
    os.kill(int(Path("runs/98/waits").read_text()), signal.SIGKILL)
    monkeypatch.setattr(repeating, "_LEFT_S", 60)
    assert len(repeat(script, (1,), Path("runs"), 1, lambda done, of: None)) == 1


def test_a_second_calibration_in_one_folder_is_refused_and_told_of_the_first(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeating, "_LEFT_S", 0)
    lock = repeating._lock(Path("runs"))
    with pytest.raises(StoreError, match=f"being made in runs by process {os.getpid()}, or by a run") as caught:
        repeat(script, (1,), Path("runs"), 1, lambda done, of: None)
    assert "fuser runs/calibrate.lock" in caught.value.hint
    assert not Path("runs/1").exists()
    os.close(lock)
    os.close(repeating._lock(Path("runs")))


def test_a_folder_in_which_a_run_goes_on_is_left_alone(script: str) -> None:
    with worker(Path("runs/1"), "heeds") as process:
        Path("runs/1", LOOKS).write_text("its own")
        with pytest.raises(WatchError, match=rf"the run in runs/1 goes on: process {process.pid}"):
            repeat(script, (1,), Path("runs"), 1, lambda done, of: None)
        process.kill()
        process.wait()
    assert Path("runs/1", LOOKS).read_text() == "its own"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sh", "-c", "echo '{seed}' \"$0\" >&2; exit 3", "a b"], (3, "{seed} a b\n")),
        (["sh", "-c", "kill -9 $$"], (-9, "")),
        (["sh", "-c", "kill -PIPE $$; echo not ended >&2"], (-signal.SIGPIPE, "")),
        (["./no-program"], (126, "cannot start './no-program': Permission denied\n")),
    ],
    ids=["its words, output and status", "its end by a signal", "its signals", "what cannot be run"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can be tied to another")
def test_a_tied_command_is_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], said: tuple[int, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("no-program").touch()
    done = subprocess.run(tied(command), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == said


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can be tied to another")
def test_a_command_whose_starter_is_gone_is_not_started() -> None:
    python, *how, file, _ = tied([])
    done = subprocess.run([python, *how, file, "1", "echo", "started"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (126, b"")


def _lives(command: str, where: Path) -> bool:
    for each in Path("/proc").glob("[0-9]*"):
        try:
            line = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if command in line and (each / "cwd").readlink() == where:
                return True
        except OSError:  # it ended meanwhile, or is another's
            continue
    return False


def test_seeds_are_ranges_and_lists() -> None:
    assert parse_seeds("1000-1002") == (1000, 1001, 1002)
    assert parse_seeds("1, 2,5-7,6") == (1, 2, 5, 6, 7)
    for wrong in ("", "a", "5-", "-5", "7-5", "1--2", "1.5", "0-9999999", "9" * 5000, str(2**63)):
        with pytest.raises(WatchError, match=r"expected seeds such as|more than 100,000"):
            parse_seeds(wrong)


def test_too_many_seeds_are_counted_and_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(parse_seeds("0-99999")) == 100_000
    assert parse_seeds(str(2**63 - 1)) == (2**63 - 1,)

    def made(*ends: int) -> range:
        pytest.fail(f"the range {ends} was made")

    monkeypatch.setattr(repeating, "range", made, raising=False)
    for many in ("0-999999999999", "5-100005"):
        with pytest.raises(WatchError, match=r"names more than 100,000 seeds"):
            parse_seeds(many)


def test_files_within_words_of_a_command_count_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("train.py", "small.yaml", "a b.txt")]
    for path in names:
        path.write_text(path.name)
    train, small, spaced = map(str, names)
    sha = {str(path): hashlib.sha256(path.name.encode()).hexdigest() for path in names}
    found = repeating._files(["python", train, f"--config={small}", "--seed={seed}", spaced])
    assert found == sha
    assert repeating._files(["sh", "-c", f"cd /; python {train} --seed {{seed}} >log"]) == {train: sha[train]}
    assert repeating._files([str(tmp_path), "x" * 300, f"{tmp_path}/{{seed}}.yaml", "--config="]) == {}


@pytest.mark.slow
def test_another_text_of_a_file_behind_an_equals_sign_is_another_recipe(script: str) -> None:
    Path("small.yaml").write_text("rate: 1")
    for _ in range(2):
        repeat(f"{script} --config=small.yaml", (1,), Path("runs"), 1, lambda done, of: None)
    assert started() == [1]
    Path("small.yaml").write_text("rate: 2")
    repeat(f"{script} --config=small.yaml", (1,), Path("runs"), 1, lambda done, of: None)
    assert started() == [1, 1]


def test_a_command_without_a_seed_or_that_is_none_is_refused(tmp_path: Path) -> None:
    for command, why in (("python train.py", "has no {seed}"), ("python 'train.py {seed}", "cannot read the command")):
        with pytest.raises(WatchError, match=why):
            repeat(command, (1,), tmp_path, 1, lambda done, of: None)
    with pytest.raises(StoreError, match="cannot start 'no-such-program'"):
        repeat("no-such-program {seed}", (1,), tmp_path, 1, lambda done, of: None)


@pytest.mark.slow
def test_a_watch_that_is_told_so_is_a_reference_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its references need not be there yet, its alarm stops nothing, and its seed is the one that was asked for."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "7"))
    monkeypatch.setenv(SEED, "7")
    model, optimizer, loader = parts()
    given = dict(state=(optimizer, loader), trusted=TRUSTED, signals=[Scripted(rising)], references="not made yet.json")
    with pytest.raises(WatchError, match=r"a reference run looks at steps that are known before"):
        watch(model, **given)
    w = watch(model, **given, settings=Settings(every=5, margin=1), on_alarm=Reaction.STOP, run="elsewhere")
    run(w, (model, optimizer, loader))
    w.close()
    assert w.alarm is not None
    found = recorded(tmp_path / "7")
    assert (found.begun.seed, found.steps[-1]) == (7, 60)


def test_half_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_for() is None
    monkeypatch.setenv(FOLDER, "x")
    with pytest.raises(WatchError, match="expected a folder in DARKLANTERN_REFERENCE_RUN and a number"):
        asked_for()
