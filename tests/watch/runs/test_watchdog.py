"""A watchdog beside real processes that hang, refuse, die and are interrupted; and its decisions against a clock."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch.runs.workers import QUICK, happened, has_ended, is_reaped, until, worker

from darklantern.errors import WatchError
from darklantern.watch.runs import asking, begin_watchdog
from darklantern.watch.runs.files import HUNG, WATCHDOG, Command, Guard, Hung, get, new_nonce, now
from darklantern.watch.runs.guarding import Act, Judge, Look
from darklantern.watch.runs.notifying import Webhook
from darklantern.watch.runs.run import Run

OURS = frozenset((os.geteuid(),))


def dog_of(folder: Path) -> int:
    guard = get(folder / WATCHDOG, Guard, OURS)
    assert guard
    return guard.process.pid


def test_it_loads_of_its_room_what_it_needs_and_no_arrays() -> None:
    """It stays in memory beside the training; without orders it ends at once."""
    command = [sys.executable, "-X", "importtime", "-P", begin_watchdog.__file__]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "darklantern.watch.runs.watchdog" in loaded
    assert not loaded & {"numpy", "torch", "darklantern.models", "darklantern.watch.watching"}


def test_an_unheeded_stop_becomes_sigterm_and_then_sigkill(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    with worker(folder, "stubborn", **QUICK) as process:
        dog = dog_of(folder)
        command = asking.ask(asking.find(folder), "stop", grace_s=0.1)
        assert process.wait(60) == -signal.SIGKILL
        until(lambda: has_ended(dog))
    for what, sent in (("terminate", "SIGTERM sent"), ("kill", "SIGKILL sent")):
        entry = happened(folder, what)
        assert entry and entry.nonce == command.nonce and entry.text.endswith(sent), what
    assert (last := happened(folder, "watchdog ends")) and last.text == "the process ended"


def test_sigterm_is_enough_for_a_loop_that_only_hangs(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "hangs", **QUICK | {"kill_after": 60}) as process:
        asking.ask(asking.find(tmp_path / "x"), "stop", grace_s=0.1)
        assert process.wait(60) == -signal.SIGTERM
        until(lambda: happened(tmp_path / "x", "watchdog ends"))
    assert happened(tmp_path / "x", "kill") is None


def test_a_loop_that_heeds_is_left_alone_and_its_watchdog_ends_with_the_run(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "heeds", **QUICK) as process:
        dog = dog_of(tmp_path / "x")
        found = asking.find(tmp_path / "x")
        answer = asking.answer_to(found, asking.ask(found, "stop", grace_s=60), 60)
        assert answer and answer.done and process.wait(60) == 0
        assert is_reaped(dog), "reaped by the run when it was closed"
    assert happened(tmp_path / "x", "terminate") is None


def test_a_hang_is_noted_told_and_over_when_the_loop_beats_again(tmp_path: Path) -> None:
    folder, told = tmp_path / "x", tmp_path / "told.jsonl"
    script = tmp_path / "places.py"
    script.write_text(
        "import sys, time; from pathlib import Path\n"
        "from darklantern.watch.runs.notifying import Desktop, File\nfrom darklantern.watch.runs.run import Run\n"
        "run = Run.open(Path(sys.argv[1]))\n"
        "run.guard(0.5, tell=[File(sys.argv[2]), Desktop()], look_every=0.05)\n"
        "run.beat(3); print('ready', flush=True); sys.stdin.readline()\n"
        "run.beat(4); run.beat(4, 'outside the loop'); print('beat', flush=True); sys.stdin.readline(); run.close()\n"
    )
    words = [sys.executable, str(script), str(folder), str(told)]
    environment = os.environ | {"PATH": str(tmp_path)}  # where there is no notify-send
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=environment, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        until((folder / HUNG).exists)
        hung = get(folder / HUNG, Hung, OURS)
        assert hung and hung.silent_s > 0.5 and hung.then == "notify"
        assert asking.standing(asking.find(folder)).hung
        assert (hang := until(lambda: happened(folder, "hung"))) and "0.5 s are allowed" in hang.text
        assert (lacks := until(lambda: happened(folder, "not told"))) and "no notify-send" in lacks.text
        until(told.exists)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "beat\n"
        until(lambda: happened(folder, "beats again"))
        until(lambda: not (folder / HUNG).exists())
        assert process.poll() is None, "it was to be told, and no more"
        process.communicate("\n", timeout=60)
    assert '"step":3' in told.read_text() and told.read_text().count("\n") == 1


def test_a_hang_ends_the_process_when_that_was_chosen(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "stubborn", hang_after=0.3, then="stop", **QUICK) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert (entry := happened(tmp_path / "x", "terminate")) and "no beat for" in entry.text and entry.nonce is None


def test_a_process_that_somebody_suspended_does_not_hang(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "heeds", hang_after=0.8, then="stop", **QUICK) as process:
        process.send_signal(signal.SIGSTOP)
        until(lambda: happened(tmp_path / "x", "suspended"))
        dog = Path(f"/proc/{dog_of(tmp_path / 'x')}/schedstat")
        looks = int(dog.read_text().split()[2])
        until(lambda: int(dog.read_text().split()[2]) > looks + 25)  # more than a second's looks
        assert happened(tmp_path / "x", "hung") is None
        process.send_signal(signal.SIGCONT)
        assert asking.stop(asking.find(tmp_path / "x"), 60).how == "heeded"


def test_a_watchdog_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "deaf", **QUICK) as process:
        dog = dog_of(tmp_path / "x")
        assert not has_ended(dog)
        process.kill()
        process.wait()
        until(lambda: has_ended(dog))
    assert (last := happened(tmp_path / "x", "watchdog ends")) and last.text == "the process ended"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_a_terminal_or_a_scheduler_sends_to_all_does_not_end_the_watchdog_first(
    number: signal.Signals, tmp_path: Path
) -> None:
    with worker(tmp_path / "x", "stubborn", **QUICK) as process:
        dog = dog_of(tmp_path / "x")
        assert os.getsid(dog) == dog != os.getsid(process.pid)
        os.kill(dog, number)
        asking.ask(asking.find(tmp_path / "x"), "stop", grace_s=0)
        assert process.wait(60) == -signal.SIGKILL


def test_a_watchdog_that_was_killed_is_missed(tmp_path: Path) -> None:
    with Run.open(tmp_path / "x") as run:
        run.guard(look_every=0.05)
        with pytest.raises(WatchError, match="has a watchdog already"):
            run.guard()
        dog = dog_of(tmp_path / "x")
        os.kill(dog, signal.SIGKILL)
        until(lambda: not run.guarded)
        run.beat(1, "looking")
        assert "ended with status -9" in run.unsaid()[0] and is_reaped(dog)
        assert not asking.standing(asking.find(tmp_path / "x")).guarded
        run.guard()
        assert run.guarded and dog_of(tmp_path / "x") != dog


@pytest.mark.slow
def test_a_folder_that_vanished_is_no_hang(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    with worker(folder, "heeds", hang_after=1.0, then="stop", **QUICK) as process:
        moved = folder.rename(tmp_path / "moved")
        dog = Path(f"/proc/{dog_of(moved)}/schedstat")
        looks = int(dog.read_text().split()[2])
        until(lambda: int(dog.read_text().split()[2]) > looks + 40)  # two seconds' looks
        assert process.poll() is None
        moved.rename(folder)
        found = asking.find(folder)
        assert asking.stop(found, 60).how == "heeded", "and it is heard again when it is back"


def test_a_watchdog_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.open(tmp_path / "x") as run:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(WatchError, match="did not start: it ended with status 1") as caught:
            run.guard()
        assert "watchdog.log" in caught.value.hint
        monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
        with pytest.raises(WatchError, match="No such file"):
            run.guard()
        with pytest.raises(WatchError, match="hang_after > 0"):
            run.guard(0)


def test_a_webhook_s_address_stands_neither_in_arguments_nor_in_the_environment_nor_in_the_folder(
    tmp_path: Path,
) -> None:
    with Run.open(tmp_path / "x") as run:
        run.guard(60, tell=[Webhook("https://hooks.example.org/hunter2")])
        dog = Path(f"/proc/{dog_of(tmp_path / 'x')}")
        assert b"watchdog" in (dog / "cmdline").read_bytes()
        places = [dog / "cmdline", dog / "environ", *(path for path in (tmp_path / "x").iterdir() if path.is_file())]
        assert not [path for path in places if b"hunter2" in path.read_bytes()]


# --- stopping from outside


def test_without_a_watchdog_whoever_stops_a_run_sends_the_signals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "KILL_AFTER_S", 0.3)
    said: list[str] = []
    with worker(tmp_path / "x", "stubborn"):
        done = asking.stop(asking.find(tmp_path / "x"), 0.1, say=said.append)
    assert done.how == "killed" and done.step == 1
    assert [line.split(":")[0] for line in said] == [
        "the loop has not heeded within 0.1 s",
        "SIGTERM sent",
        "SIGKILL sent",
    ]
    assert (entry := happened(tmp_path / "x", "kill")) and entry.by == "asker"


def test_with_a_watchdog_it_sends_them(tmp_path: Path) -> None:
    said: list[str] = []
    with worker(tmp_path / "x", "hangs", **QUICK):
        done = asking.stop(asking.find(tmp_path / "x"), 0.1, say=said.append)
    assert done.how == "terminated"
    assert said[1:] in ([], ["the watchdog sent SIGTERM"]), "none where it had done so before anybody looked"
    assert (entry := happened(tmp_path / "x", "terminate")) and entry.by == "watchdog"


def test_a_run_that_ended_is_not_stopped_and_its_pid_is_nobody_s(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    with worker(folder, "deaf") as process:
        process.kill()
        process.wait()
    found = asking.find(folder)
    with pytest.raises(WatchError, match=f"is over since step .*: process {process.pid} has ended"):
        asking.stop(found, 0)
    with subprocess.Popen(["sleep", "1000"]) as other:  # the run's pid is given to somebody else
        reused = msgspec.structs.replace(found.about.process, pid=other.pid)
        about = msgspec.structs.replace(found.about, process=reused)
        with pytest.raises(WatchError, match="is over"):
            asking.stop(asking.Asked(folder, about), 0)
        assert other.poll() is None
        other.kill()


def test_a_run_elsewhere_is_asked_and_not_signalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "KILL_AFTER_S", 0.1)
    monkeypatch.setattr(asking, "_WATCHDOG_S", 0.1)
    with worker(tmp_path / "x", "deaf") as process:
        monkeypatch.setattr("darklantern.watch.runs.processes.machine", lambda: "another")
        done = asking.stop(asking.find(tmp_path / "x"), 0.1)
        assert done.how == "goes on" and "no signal from here reaches it" in done.text
        assert process.poll() is None


# --- its decisions


def stop(grace_s: float) -> Command:
    ids = {"nonce": new_nonce(), "run": new_nonce(), "pause": None}
    return Command(**ids, do="stop", grace_s=grace_s, why="", user="ada", uid=0, time=now())  # type: ignore[arg-type]


def looked(judge: Judge, awake_s: float, pulses: int = 0, **other: Any) -> tuple[Judge, list[str]]:
    fields: dict[str, Any] = {"elsewhere": False, "suspended": False, "stops": ()} | other
    judge, acts = judge.look(Look(awake_s=awake_s, pulses=pulses, **fields))
    return judge, [act.do for act in acts]


def test_each_deadline_against_a_clock() -> None:
    judge = Judge(hang_after_s=None, then="notify", kill_after_s=5)
    asked = (stop(30.0),)
    said = {}
    for second in range(60):
        judge, acts = looked(judge, second, pulses=second, stops=asked if second >= 10 else ())
        said |= {second: acts} if acts else {}
    assert said == {41: ["terminate"], 47: ["kill"], 53: ["cannot be killed"]}


def test_a_stop_that_is_answered_after_sigterm_is_not_followed_by_sigkill() -> None:
    judge, asked = Judge(hang_after_s=None, then="notify", kill_after_s=5), (stop(1.0),)
    judge, _ = looked(judge, 0, stops=asked)
    judge, acts = looked(judge, 2, stops=asked)
    assert acts == ["terminate"]
    for second in range(3, 30):
        judge, acts = looked(judge, second)
        assert acts == []


@given(st.lists(st.booleans(), min_size=1, max_size=80), st.integers(1, 10))
def test_a_hang_is_said_exactly_when_no_beat_came_for_longer_than_allowed(beats: list[bool], allowed: int) -> None:
    judge = Judge(hang_after_s=allowed, then="notify", kill_after_s=5)
    pulses, silent, hung = 0, 0, False
    for second, beat in enumerate(beats, start=1):
        pulses, silent = pulses + beat, 0 if beat else silent + 1
        judge, acts = looked(judge, second, pulses)
        expected = ["beats again"] if hung and beat else ["hung"] if not hung and silent > allowed else []
        assert acts == expected
        hung = silent > allowed


@pytest.mark.parametrize("what", ["elsewhere", "suspended"])
def test_outside_the_loop_and_in_a_debugger_time_does_not_count(what: str) -> None:
    judge = Judge(hang_after_s=3, then="stop", kill_after_s=5)
    said = []
    for second in range(100):
        judge, acts = looked(judge, second, **{what: True})
        said += acts
    assert said == (["suspended"] if what == "suspended" else [])
    judge, acts = looked(judge, 102)
    assert acts == []
    judge, acts = looked(judge, 103)
    assert acts == ["hung", "terminate"]


def test_a_loop_that_beats_again_after_sigterm_is_not_killed() -> None:
    judge = Judge(hang_after_s=3, then="stop", kill_after_s=5)
    judge, acts = looked(judge, 4)
    assert acts == ["hung", "terminate"]
    judge, acts = looked(judge, 6, pulses=1)
    assert acts == ["beats again"]
    for second in range(7, 40):
        judge, acts = looked(judge, second, pulses=second)
        assert acts == []


def test_an_act_says_why() -> None:
    judge = Judge(hang_after_s=3, then="notify", kill_after_s=5)
    assert judge.look(Look(4.0, 0, False, False))[1] == (Act("hung", "no beat for 4.0 s, 3 s are allowed"),)
