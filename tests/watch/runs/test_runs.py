"""A run's folder, as the training process holds it and as others use it."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch.runs.workers import until, worker

from darklantern.errors import StoreError, WatchError
from darklantern.files import partial_of
from darklantern.records.exact import encode
from darklantern.watch.runs import asking
from darklantern.watch.runs import files as run_files
from darklantern.watch.runs.files import (
    ASKED,
    MOST,
    SHORT,
    Command,
    Heartbeat,
    add_line,
    entries,
    folder_of,
    get,
    new_nonce,
    now,
    put_over,
    short,
)
from darklantern.watch.runs.processes import Process, Sent, life, machine, send, this_process
from darklantern.watch.runs.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.open(tmp_path / "x") as made:
        yield made


def asked_of(run: Run, /, do: str = "stop", **other: object) -> Command:
    fields = {
        "nonce": new_nonce(),
        "run": run.about.run,
        "do": do,
        "pause": None,
        "grace_s": 1.0,
        "why": "",
        "user": "ada",
        "uid": os.geteuid(),
        "time": now(),
    }
    return Command(**(fields | other))  # type: ignore[arg-type]


def left(run: Run, data: bytes, name: str) -> Path:
    path = run.folder / ASKED / name
    path.write_bytes(data)
    return path


# --- whose folder it is


def test_a_run_says_who_it_is(run: Run) -> None:
    assert run.about.process == this_process() and run.about.uid == os.geteuid()
    assert run.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in run.folder.iterdir()} == {0}


def test_no_argument_of_its_program_stands_in_a_run_s_folder(tmp_path: Path) -> None:
    code = "import sys; from darklantern.watch.runs.run import Run; Run.open(sys.argv[1]).close()"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x"), "--token=hunter2"], check=True)
    assert all(b"hunter2" not in path.read_bytes() for path in (tmp_path / "x").iterdir() if path.is_file())


def test_a_name_is_in_the_state_folder_and_a_path_is_where_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert folder_of("x") == Path("/state/darklantern/runs/x")
    assert folder_of("./x") == Path.cwd() / "x" and folder_of(Path("x")) == Path.cwd() / "x"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # to be ignored, says the XDG specification
    monkeypatch.setenv("HOME", "/home/ada")
    assert folder_of("x") == Path("/home/ada/.local/state/darklantern/runs/x")
    assert folder_of("~/x") == Path("/home/ada/x")


@pytest.mark.parametrize("name", ["", "-x", ".x", "a b", "x\n", "x" * 65, "é"])
def test_a_word_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(WatchError, match="expected the name of a run"):
        folder_of(name)


def test_a_folder_of_a_live_run_is_refused_and_the_run_is_named(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "heeds") as process:
        with pytest.raises(WatchError, match=rf"process {process.pid} \(run_worker\.py\) of ") as caught:
            Run.open(tmp_path / "x")
        assert "watch stop" in caught.value.hint
        process.kill()
        process.wait()
        with Run.open(tmp_path / "x") as run:
            assert f"takes over from process {process.pid}" in entries(run.folder)[-1].text


def test_of_two_that_open_one_folder_at_once_one_gets_it(tmp_path: Path) -> None:
    code = (
        "import sys; from darklantern.watch.runs.run import Run\n"
        "from darklantern.errors import DarkLanternError\n"
        "sys.stdin.readline()\n"
        "try: run = Run.open(sys.argv[1])\n"
        "except DarkLanternError as error: print(f'refused: {error}', flush=True)\n"
        "else: print('open', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "x")], **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.stdout.readline() for process in both)
    for process in both:
        process.communicate("\n")
    assert said[0] == "open\n" and said[1].startswith("refused: the run in"), said


def test_a_run_that_was_closed_is_no_hindrance_though_its_process_lives(tmp_path: Path) -> None:
    code = (
        "import sys; from darklantern.watch.runs.run import Run\n"
        "Run.open(sys.argv[1]).close(); print('closed', flush=True); sys.stdin.readline()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "x")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "closed\n"
        Run.open(tmp_path / "x").close()
        process.communicate("\n")


def test_the_same_process_takes_over_and_its_earlier_run_says_so(tmp_path: Path) -> None:
    first, second = Run.open(tmp_path / "x"), Run.open(tmp_path / "x")
    first.beat(5)
    second.beat(7)
    assert first.asked() == [] and "another run has taken over" in first.unsaid()[0]
    assert ["takes over" in said for said in second.unsaid()] == [True]
    assert Run.open(tmp_path / "y").unsaid() == []
    assert (found := asking.find(tmp_path / "x").heartbeat()) and found.step == 7
    first.close()
    second.close()


def test_a_run_of_another_machine_is_dead_only_when_it_was_silent_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(tmp_path / "x")
    monkeypatch.setattr("darklantern.watch.runs.processes.machine", lambda: "another")
    with pytest.raises(WatchError, match="goes on"):
        Run.open(tmp_path / "x")
    put_over(run.folder / "heartbeat.json", _beat(run, "2026-01-01T00:00:00Z"))
    Run.open(tmp_path / "x").close()


def _beat(run: Run, time: str) -> Heartbeat:
    return Heartbeat(run=run.about.run, step=1, what="training", time=time, pause=None, waiting="", alarm="")


@pytest.mark.parametrize("name", ["run.json", "heartbeat.json"])
@pytest.mark.parametrize("left", [b"", bytes(4096)], ids=["empty", "zeros"])
def test_a_file_that_a_power_cut_left_blank_is_no_hindrance(tmp_path: Path, name: str, left: bytes) -> None:
    folder = tmp_path / "x"
    with worker(folder, "heeds") as process:
        process.kill()
        process.wait()
    (folder / name).write_bytes(left)
    if name == "heartbeat.json":
        assert asking.find(folder).heartbeat() is None
    else:
        with pytest.raises(WatchError, match="there is no run in"):
            asking.find(folder)
    with Run.open(folder) as run:
        assert asking.find(folder).about == run.about


def test_a_file_that_is_half_there_is_still_refused(tmp_path: Path) -> None:
    Run.open(tmp_path / "x").close()
    (tmp_path / "x" / "run.json").write_bytes(b'{"format":"run 1"')
    with pytest.raises(WatchError, match=r"expected a folder of a run, or one without a run\.json"):
        Run.open(tmp_path / "x")


def test_what_a_killed_process_was_writing_goes_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    Run.open(folder).close()
    (folder / "checkpoints").mkdir()
    whole = folder / "checkpoints" / "00000040-clean-00000020.safetensors"
    partials = [partial_of(path) for path in (whole, folder / "heartbeat.json", folder / "answered" / "a.json")]
    for path in (whole, *partials):
        path.touch()
    others = tmp_path / "elsewhere" / ".a.partial"
    others.parent.mkdir()
    others.touch()
    (folder / "checkpoints" / ".b.partial").symlink_to(others)
    Run.open(folder).close()
    assert not any(path.exists() for path in partials)
    assert whole.exists() and others.exists()
    (tmp_path / "y").mkdir(mode=0o700)
    (tmp_path / "y" / "checkpoints").symlink_to(others.parent)
    Run.open(tmp_path / "y").close()
    assert others.exists(), "a folder that several may share"


def test_folders_that_others_may_use_or_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o777)
    open_to_all.chmod(0o750)
    with pytest.raises(WatchError, match="mode 750") as caught:
        Run.open(open_to_all)
    assert "chmod 700" in caught.value.hint
    (tmp_path / "file").touch()
    with pytest.raises(WatchError, match="got a file"):
        Run.open(tmp_path / "file")
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    (mine / "run.json").write_text('{"lr": 1}')
    with pytest.raises(WatchError, match="expected a folder of a run"):
        Run.open(mine)
    assert (mine / "run.json").read_text() == '{"lr": 1}'


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder to another user")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir(mode=0o700)
    os.chown(tmp_path / "x", 1234, -1)
    with pytest.raises(WatchError, match="belongs to 1234"):
        Run.open(tmp_path / "x")


# --- beats


def test_a_heartbeat_is_written_at_once_when_something_changes_and_rarely_when_only_the_step_does(run: Run) -> None:
    seen = asking.Asked(run.folder, run.about)
    run.beat(1)
    for step in range(2, 500):
        run.beat(step)
    assert (beat := seen.heartbeat()) and beat.step < 499
    run.beat(500, "looking", alarm="induction\x1b[2J " + "x" * 1000)
    assert (beat := seen.heartbeat()) and (beat.step, beat.what) == (500, "looking")
    assert beat.alarm.startswith("induction") and "\x1b" not in beat.alarm and len(beat.alarm) == SHORT
    assert run.unsaid() == []


@given(st.text(max_size=3 * SHORT), st.text(max_size=3 * SHORT))
def test_any_text_fits_in_the_one_page_of_a_heartbeat(waiting: str, alarm: str) -> None:
    beat = Heartbeat(
        run=new_nonce(), step=2**60, what="outside the loop", time=now(), pause=new_nonce(),
        waiting=short(waiting), alarm=short(alarm),
    )  # fmt: skip
    assert len(encode(beat)) <= run_files._PAGE


@pytest.mark.parametrize("sign", ['"', "\\", "\U0001f600", "\u0301", "é"])
def test_the_longest_texts_fit_too(sign: str) -> None:
    test_any_text_fits_in_the_one_page_of_a_heartbeat.hypothesis.inner_test(sign * 3 * SHORT, sign * 3 * SHORT)  # type: ignore[attr-defined]


def test_who_reads_while_another_writes_never_sees_a_half_of_it(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "heeds"):
        found = asking.find(tmp_path / "x")
        assert all(found.heartbeat() for _ in range(300))


def test_a_step_that_no_heartbeat_can_hold_is_told_and_not_raised(run: Run) -> None:
    run.beat(-1)
    assert len(run.unsaid()) == 1
    run.beat(3, alarm="\ud800 half of a pair")
    assert run.unsaid() == [] and asking.find(run.folder).heartbeat()


def test_a_folder_that_vanished_is_told_once(run: Run) -> None:
    for name in ("answered", "asked"):
        (run.folder / name).rmdir()
    run.asked()
    for path in run.folder.iterdir():
        path.unlink()
    run.folder.rmdir()
    for step in range(3):
        run.beat(step, alarm=str(step))
        run.asked()
        run.answer(asked_of(run), step, "done")
    said = run.unsaid()
    assert "cannot look for commands" in said[0] and "cannot be reached" in said[1] and run.unsaid() == []


DISK = 65_536


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk with no byte left but what a run took before: in a process of its own, or root's tmpfs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root that may mount, for a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_on_a_full_disk_the_heart_beats_on_and_what_failed_is_told(full: Path) -> None:
    run = Run.open(full / "x")
    with (full / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left") as caught:
        while True:
            file.write(bytes(4096))
    assert caught.value.errno == errno.ENOSPC
    run.beat(1)
    run.beat(9, "looking")
    assert (beat := asking.find(run.folder).heartbeat()) and beat.step == 9
    with pytest.raises(StoreError, match="cannot write"):
        asking.ask(asking.find(run.folder), "stop")
    assert not list((run.folder / ASKED).iterdir()), "nothing half is left"
    assert run.unsaid() == [] and run.asked() == []
    run.answer(asked_of(run), 9, "stopped")
    assert any("No space left" in text for text in run.unsaid())
    (full / "filler").unlink()
    run.answer(command := asked_of(run), 9, "stopped")
    assert (run.folder / "answered" / f"{command.nonce}.json").exists()
    run.close()


def test_where_no_file_may_grow_training_goes_on(tmp_path: Path) -> None:
    """The same for who is not root: a limit for the process stands for the disk."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from darklantern.watch.runs.run import Run\n"
        "run = Run.open(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "run.beat(1); run.beat(2, 'looking'); run.asked(); run.close()\n"
        "print(run.unsaid())"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "x")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE) != (0, 0)


def test_a_forked_worker_does_not_beat_for_its_parent(run: Run) -> None:
    run.beat(1)
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        run.beat(99, "looking")
        os.write(writing, json.dumps(run.unsaid()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert "may beat" in json.loads(said.read())[0]
    assert (beat := asking.find(run.folder).heartbeat()) and beat.step == 1


# --- commands


def test_commands_are_heard_once_in_order_and_answered(run: Run) -> None:
    found = asking.find(run.folder)
    asked = [asking.ask(found, do, why="for a test") for do in ("pause", "roll back", "stop")]  # type: ignore[arg-type]
    for i, command in enumerate(asked):  # files of the same moment have no order
        os.utime(run.folder / ASKED / f"{command.nonce}.json", ns=(i, i))
    assert run.asked() == asked and run.asked() == []
    run.answer(asked[2], 40, "stopped")
    answer = asking.answer_to(found, asked[2], 0)
    assert answer and (answer.done, answer.step, answer.outcome) == (True, 40, "stopped")
    assert asking.answer_to(found, asked[0], 0) is None
    assert sorted(path.stem for path in (run.folder / ASKED).iterdir()) == sorted(each.nonce for each in asked[:2])
    assert run.unsaid() == []


def test_what_is_no_command_is_named_answered_and_not_heeded(run: Run, tmp_path: Path) -> None:
    fits = asked_of(run)
    (tmp_path / "elsewhere").write_bytes(encode(fits))
    wrong = {
        "garbage": left(run, b"\x00\xff{", f"{new_nonce()}.json"),
        "huge": left(run, b" " * (MOST + 1), f"{new_nonce()}.json"),
        "unknown field": left(run, encode(fits)[:-1] + b',"sudo":true}', f"{fits.nonce}.json"),
        "another name": left(run, encode(asked_of(run)), f"{new_nonce()}.json"),
        "another run": left(run, encode(asked := asked_of(run, run=new_nonce())), f"{asked.nonce}.json"),
        "another user": left(run, encode(asked := asked_of(run, uid=4321)), f"{asked.nonce}.json"),
        "unknown wish": left(run, encode(fits).replace(b'"stop"', b'"nuke"'), f"{new_nonce()}.json"),
        "symlink": run.folder / ASKED / f"{new_nonce()}.json",
        "pipe": run.folder / ASKED / f"{new_nonce()}.json",
        "folder": run.folder / ASKED / f"{new_nonce()}.json",
    }
    wrong["symlink"].symlink_to(tmp_path / "elsewhere")
    os.mkfifo(wrong["pipe"])
    wrong["folder"].mkdir()
    assert run.asked() == []
    said = run.unsaid()
    assert len(said) == len(wrong)
    for what, path in wrong.items():
        assert any(str(path) in text for text in said), (what, said)
        assert json.loads((run.folder / "answered" / path.name).read_text())["done"] is False
    assert any("a symlink" in text for text in said) and any(f"{MOST:,} bytes" in text for text in said)
    assert run.asked() == [] and run.unsaid() == [], "each is named once"
    with Run.open(run.folder) as following:
        assert following.asked() == []
        (said,) = (text for text in following.unsaid() if "takes over" not in text)
        assert str(wrong["folder"]) in said, "only the folder is left"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file to another user")
def test_a_command_of_another_user_is_refused_and_root_s_is_heeded(run: Run) -> None:
    command = asked_of(run, uid=1234)
    os.chown(left(run, encode(command), f"{command.nonce}.json"), 1234, -1)
    assert run.asked() == [] and "belongs to 1234" in run.unsaid()[0]
    run._owners = frozenset((1234, 0))  # as if 1234 trained here
    root = asked_of(run)
    left(run, encode(root), f"{root.nonce}.json")
    assert run.asked() == [root]


def test_what_was_asked_of_a_dead_run_is_not_heeded_by_the_next(tmp_path: Path) -> None:
    first = Run.open(tmp_path / "x")
    stop = asking.ask(asking.find(tmp_path / "x"), "stop")
    second = Run.open(tmp_path / "x")
    assert second.asked() == []
    assert "1 command never heard" in entries(second.folder)[-1].text
    left(second, encode(stop), f"{stop.nonce}.json")
    assert second.asked() == [] and "for another run" in second.unsaid()[-1]
    first.close()
    second.close()


def test_an_answered_command_that_is_left_again_is_not_heeded_again(run: Run) -> None:
    command = asking.ask(asking.find(run.folder), "roll back")
    assert run.asked() == [command]
    run.answer(command, 3, "rolled back")
    assert run.asked() == []
    left(run, encode(command), f"{command.nonce}.json")
    assert run.asked() == [] and "answered before" in run.unsaid()[0]
    assert (answer := asking.answer_to(asking.find(run.folder), command, 0)) and answer.done


def test_more_files_than_anybody_leaves_are_told_and_do_not_hold_the_loop(run: Run) -> None:
    for _ in range(300):
        left(run, b"", f"{new_nonce()}.json")
    assert run.asked() == []
    said = run.unsaid()
    assert any("256 files or more" in text for text in said) and said[-1] == "more went wrong than is told here"


def test_a_pause_is_approved_only_by_who_has_seen_it(tmp_path: Path) -> None:
    with worker(tmp_path / "x", "heeds") as process:
        found = asking.find(tmp_path / "x")
        with pytest.raises(WatchError, match="waits for no approval"):
            asking.ask(found, "go on")
        paused = asking.ask(found, "pause", why="for a test")
        assert (answer := asking.answer_to(found, paused, 60)) and answer.done
        first = until(lambda: (beat := found.heartbeat()) and beat.pause)
        assert "waits" not in asking.standing(found).waiting and asking.standing(found).what == "paused"

        again = asking.ask(found, "pause")
        assert (answer := asking.answer_to(found, again, 60)) and not answer.done, "it is paused already"
        go_on = asking.ask(found, "go on")
        assert (answer := asking.answer_to(found, go_on, 60)) and answer.done and answer.outcome == "goes on"

        until(lambda: (beat := found.heartbeat()) and beat.what == "training")
        asking.answer_to(found, asking.ask(found, "pause"), 60)
        second = until(lambda: (beat := found.heartbeat()) and beat.pause)
        assert second != first
        late = go_on_for(found, first)
        assert (answer := asking.answer_to(found, late, 60)) and not answer.done
        assert (beat := found.heartbeat()) and beat.pause == second, "it waits on"
        assert asking.stop(found, 60).how == "heeded"
        assert process.wait(60) == 0


def go_on_for(found: asking.Asked, pause: str) -> Command:
    command = Command(
        nonce=new_nonce(), run=found.about.run, do="go on", pause=pause, grace_s=0.0, why="", user="ada",
        uid=os.geteuid(), time=now(),
    )  # fmt: skip
    (found.folder / ASKED / f".{command.nonce}.partial").write_bytes(encode(command))
    (found.folder / ASKED / f".{command.nonce}.partial").rename(found.folder / ASKED / f"{command.nonce}.json")
    return command


def test_what_stands_in_the_folder_of_another_user_is_not_believed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a folder in /tmp could have anybody's process stopped by whom it invites."""
    monkeypatch.setattr(asking.os, "geteuid", lambda: 4321)
    with pytest.raises(WatchError, match=r"is .*'s"):
        asking.find(run.folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to whom another user's folder is shown")
@pytest.mark.parametrize("claims", [0, 1234])
def test_root_does_not_end_its_own_process_for_the_owner_of_a_folder(
    claims: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "KILL_AFTER_S", 0.05)
    with subprocess.Popen(["sleep", "1000"]) as process:
        victim = until(lambda: asking_process(process.pid))
        about = msgspec.structs.replace(run.about, process=victim, uid=claims)
        run_files.put(run.folder / "run.json", about)
        for path in (run.folder, *run.folder.iterdir()):
            os.chown(path, 1234, -1)
        if claims == 0:
            with pytest.raises(WatchError, match="says that it is root's"):
                asking.find(run.folder)
        else:
            said: list[str] = []
            assert asking.stop(asking.find(run.folder), 0, say=said.append).how == "goes on"
            assert said[1:] == [f"{name} not sent: the process is another user's" for name in ("SIGTERM", "SIGKILL")]
        assert process.poll() is None
        process.kill()
    for path in (run.folder, *run.folder.iterdir()):
        os.chown(path, 0, -1)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with Run.open(tmp_path_factory.mktemp("runs") / "x") as made:
        yield made


@given(data=st.binary(max_size=300), name=st.sampled_from(["{}.json", "{}", "{}.JSON", " {}.json"]))
def test_no_bytes_that_anybody_leaves_reach_the_loop_as_an_error_or_a_command(
    lasting: Run, data: bytes, name: str
) -> None:
    path = left(lasting, data, name.format(new_nonce()))
    assert lasting.asked() == []
    path.unlink()


# --- processes


def test_a_process_is_its_start_too(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        seen = until(lambda: asking_process(process.pid))
        assert life(seen) == "running"
        reused = Process(pid=seen.pid, started=str(int(seen.started) - 1), machine=seen.machine)
        elsewhere = Process(pid=seen.pid, started=seen.started, machine="another")
        assert life(reused) == "ended" and life(elsewhere) == "elsewhere"
        assert send(reused, signal.SIGKILL, os.geteuid()) is Sent.ENDED
        assert send(elsewhere, signal.SIGKILL, os.geteuid()) is Sent.ELSEWHERE
        assert send(seen, signal.SIGKILL, os.geteuid() + 1) is Sent.REFUSED
        assert process.poll() is None, "none of these reached it"
        assert send(seen, signal.SIGSTOP, os.geteuid()) is Sent.SENT
        until(lambda: life(seen) == "suspended")
        assert send(seen, signal.SIGKILL, os.geteuid()) is Sent.SENT
        until(lambda: life(seen) == "ended")  # though nobody has reaped it
        assert send(seen, signal.SIGKILL, os.geteuid()) is Sent.ENDED
    assert life(seen) == "ended"


def asking_process(pid: int) -> Process | None:
    from darklantern.watch.runs import processes

    seen = processes._see(pid)
    return Process(pid=pid, started=seen.started, machine=machine()) if seen else None


@pytest.mark.parametrize("missing", [True, False], ids=["without pidfds", "with pidfds"])
def test_signals_with_and_without_handles_on_processes(missing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing:
        monkeypatch.delattr(os, "pidfd_open")
    with subprocess.Popen(["sleep", "1000"]) as process:
        seen = until(lambda: asking_process(process.pid))
        assert send(seen, signal.SIGTERM, os.geteuid()) is Sent.SENT
        assert process.wait() == -signal.SIGTERM
    assert send(seen, signal.SIGTERM, os.geteuid()) is Sent.ENDED


def test_ps_tells_the_same_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    from darklantern.watch.runs import processes

    seen = processes._see_by_ps(os.getpid())
    assert seen and seen.uid == os.geteuid() and seen.state[0] in "RS" and seen.started.split()[-1].startswith("20")
    assert processes._see_by_ps(2**22 + 1) is None


# --- files


def test_a_line_is_added_after_one_that_a_full_disk_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"time":"2026')
    entry = run_files.Entry(time=now(), by="run", what="opened", run=new_nonce())
    for _ in range(2):
        add_line(path, entry, sync=True)
    assert entries(tmp_path) == [entry, entry]
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(StoreError, match="symbolic links"):
        add_line(tmp_path / "link", entry, sync=False)


def test_a_file_that_is_not_there_is_nothing_and_one_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    owners = frozenset((os.geteuid(),))
    assert get(tmp_path / "x", Heartbeat, owners) is None
    (tmp_path / "x").write_bytes(b"{}")
    with pytest.raises(WatchError, match="exact bytes of one Heartbeat"):
        get(tmp_path / "x", Heartbeat, owners, in_place=True)


LOOP = """
import os, sys, signal
from darklantern.watch.runs.run import Run
run = Run.open(sys.argv[1])
def loop():
    run.beat(1)
    if how == "fails": raise KeyError("a text of the data")
    if how == "is killed": os.kill(os.getpid(), signal.SIGKILL)
    if how == "exits": sys.exit(0)
    run.beat(2, "outside the loop")
how = sys.argv[2]
if how == "fails, and closes":
    how = "fails"
    try: loop()
    finally: run.close()
elif how == "is closed":
    loop(); run.close()
else: loop()
"""


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("finishes", "finished"),
        ("is closed", "closed"),
        ("fails", "failed: KeyError"),
        ("fails, and closes", "failed: KeyError"),
        ("is killed", "killed"),
        ("exits", "ended"),
    ],
)
def test_how_a_run_ended_is_known_as_far_as_it_can_be(tmp_path: Path, how: str, end: str) -> None:
    with Run.open(tmp_path) as lives:
        assert asking.standing(asking.find(lives.folder)).end == ""
    subprocess.run([sys.executable, "-c", LOOP, str(tmp_path / "x"), how], check=False, capture_output=True)
    found = asking.standing(asking.find(tmp_path / "x"))
    assert (found.life, found.end) == ("ended", end)
    assert "a text of the data" not in (tmp_path / "x" / "events.jsonl").read_text()


def test_a_folder_that_is_there_comes_before_a_run_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Run.open(tmp_path / "x" / "one").close()
    assert asking.place_of("x") == tmp_path / "x"
    with pytest.raises(WatchError, match="is a folder of runs"):
        asking.find("x")
    assert asking.place_of("one") != tmp_path / "x" / "one"
    monkeypatch.chdir(tmp_path / "x")
    assert asking.find("one").folder == tmp_path / "x" / "one"
    (tmp_path / "x" / "empty").mkdir()
    assert asking.place_of("empty") == folder_of("empty")


def test_who_asks_without_a_reason_is_not_quoted_with_an_empty_one(run: Run) -> None:
    found = asking.find(run.folder)
    plain, why = (asking.ask(found, "pause", each) for each in ("", "to look"))
    assert plain.said("asked for a pause") == f"{plain.user} asked for a pause"
    assert why.said("asked for a pause") == f"{plain.user} asked for a pause: to look"
