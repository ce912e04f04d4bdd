"""A training run from outside, from the command line: real processes that heed, are deaf, or hang."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from watch.runs.workers import QUICK, until, worker

from darklantern.cli import run_commands
from darklantern.cli.app import app
from darklantern.errors import WatchError
from darklantern.watch.runs import asking


def watch(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["watch", *map(str, words)])


def paused(folder: Path) -> None:
    until(lambda: (beat := asking.find(folder).heartbeat()) and beat.pause)


def test_a_loop_that_heeds_is_paused_let_go_on_rolled_back_and_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    with worker(folder, "heeds") as process:
        assert watch("pause", folder, "--why", "to look").stdout.endswith(": paused\n")
        paused(folder)
        shown = watch("status", folder).stdout
        assert "paused" in shown and "waits for approval: " in shown and "last alarm: induction at 7.1" in shown
        done = watch("go-on", folder, "--json")
        assert json.loads(done.stdout).items() >= {"do": "go on", "outcome": "goes on"}.items()
        assert "rolled back to step 0" in watch("roll-back", folder).stdout
        done = watch("stop", folder, "--grace", "60")
        assert done.exit_code == 0 and done.stdout.startswith("the loop stopped at step "), done.output
        assert process.wait(60) == 0
    (over,) = json.loads(watch("status", folder, "--json").stdout)
    assert over["life"] == "ended" and over["what"] == "closed" and over["waiting"] == ""
    assert isinstance(watch("stop", folder).exception, WatchError)


def test_a_loop_that_does_not_heed_is_ended_by_force_and_that_is_another_status(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    with worker(folder, "stubborn", **QUICK) as process:
        done = watch("stop", folder, "--grace", "0.1", "--json")
        assert done.exit_code == run_commands.FORCED == 3
        assert json.loads(done.stdout).items() >= {"how": "killed", "step": 1}.items()
        assert (
            "SIGTERM" in done.stderr
            and "SIGKILL" in json.loads(done.stdout)["text"]
            and "has not heeded within 0.1 s" in done.stderr
        )
        assert process.wait(60) == -signal.SIGKILL


def test_a_loop_that_is_deaf_is_ended_by_sigterm(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "deaf") as process:
        done = watch("stop", tmp_path / "x", "--grace", "0.1")
        assert done.exit_code == 3 and "was ended by SIGTERM" in done.stdout
        assert process.wait(60) == -signal.SIGTERM


def test_what_is_not_answered_or_not_done_is_an_error(tmp_path: Path) -> None:
    with worker(tmp_path / "deaf", "deaf") as process:
        said = watch("pause", tmp_path / "deaf", "--wait", "0.1").exception
        assert isinstance(said, WatchError) and "not answered within 0.1 s" in said.message
        said = watch("go-on", tmp_path / "deaf").exception
        assert isinstance(said, WatchError) and "waits for no approval" in said.message
        process.kill()
        process.wait()
        said = watch("roll-back", tmp_path / "deaf").exception
        assert isinstance(said, WatchError) and "is over" in said.message
    with worker(tmp_path / "x", "heeds"):
        watch("pause", tmp_path / "x")
        paused(tmp_path / "x")
        said = watch("pause", tmp_path / "x").exception
        assert isinstance(said, WatchError) and "it is paused already" in said.message
        assert watch("stop", tmp_path / "x", "--grace", "60").exit_code == 0


@pytest.mark.slow
def test_runs_are_found_by_name_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert "no runs here" in watch("status").stdout
    assert json.loads(watch("status", "--json").stdout) == []
    runs = tmp_path / "state" / "darklantern" / "runs"
    with worker(runs / "first", "heeds", **QUICK), worker(runs / "second", "deaf") as second:
        second.kill()
        second.wait()
        table = watch("status").stdout.splitlines()
        assert table[0].split() == ["run", "process", "step", "beat", "state"]
        assert table[1].startswith("first") and table[1].endswith("training")
        assert table[-1].startswith("second") and table[-1].endswith("killed")
        assert [each["name"] for each in json.loads(watch("status", runs, "--json").stdout)] == ["first", "second"]
        (runs / "second" / "run.json").write_text("{}")
        done = watch("status", "--json")
        assert done.exit_code == 1 and "second" in done.stderr and len(json.loads(done.stdout)) == 1
        assert watch("stop", "first", "--grace", "60").exit_code == 0
    assert "no watchdog" not in table[1]


def test_a_run_without_a_watchdog_says_so(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "deaf"):
        assert watch("status", tmp_path / "x").stdout.splitlines()[-1].endswith("training, no watchdog")


@pytest.mark.parametrize("name", ["nothing", "./nothing", "", "a/b", "a b"])
def test_a_run_that_is_not_there_is_an_error_with_a_hint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for command in ("stop", "pause", "go-on", "roll-back"):
        said = watch(command, name).exception
        assert isinstance(said, WatchError) and said.hint


@pytest.mark.slow
def test_ctrl_c_while_a_stop_is_awaited_leaves_it_to_the_watchdog(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    with worker(folder, "stubborn", **QUICK) as process:
        words = [sys.executable, "-m", "darklantern", "watch", "stop", str(folder), "--grace", "1"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as stopping:
            until(lambda: list((folder / "asked").glob("*.json")))
            os.killpg(stopping.pid, signal.SIGINT)
            assert stopping.stderr is not None
            assert "Traceback" not in stopping.stderr.read()
            assert stopping.wait(60) == 130
        assert process.wait(60) == -signal.SIGKILL


def test_a_span_is_shown_in_the_largest_unit_that_counts_two() -> None:
    shown = [run_commands._span(seconds) for seconds in (0, 119, 120, 7_199, 7_200, 172_800)]
    assert shown == ["0 s", "119 s", "2 min", "120 min", "2 h", "2 d"]
