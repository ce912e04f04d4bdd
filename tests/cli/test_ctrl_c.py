"""Ctrl-C, wherever it comes: status 130 (0 for the page), no traceback, and nothing left running."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from darklantern.demo import founding

ON_A_TERMINAL = """
import os, pty, signal, sys
pid, terminal = pty.fork()
if not pid:
    os.execv(sys.executable, [sys.executable, "-m", "darklantern", *sys.argv[1:]])
seen = b""
while b"passphrase:" not in seen:
    seen += os.read(terminal, 100)
os.write(terminal, b"\\x03")
try:
    while more := os.read(terminal, 1000):
        seen += more
except OSError:
    pass
print(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def interrupted(
    command: list[str], when: str, ready: Callable[[str], object] = bool
) -> subprocess.CompletedProcess[str]:
    """`command` with Ctrl-C for its whole group once `when` stands on its stdout and `ready` returns."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        seen = ""
        while when not in seen:
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            seen += line
        ready(seen)
        os.killpg(process.pid, signal.SIGINT)
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # or leaving the `with` waits for what does not end
            raise
    return subprocess.CompletedProcess(command, process.returncode, seen + out, err)


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-u", "-c", code, "darklantern", *words]


def test_while_modules_load() -> None:
    code = (
        "import builtins; load = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'typer': raise KeyboardInterrupt\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = slow\n"
        "from darklantern.cli import main; main()"
    )
    done = subprocess.run(python(code), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_page(tmp_path: Path) -> None:
    founding.found(tmp_path).close()
    held = ["--library", str(tmp_path / "aurora"), "--passphrase-file", str(tmp_path / "passphrases" / "aurora")]

    def answers(link: str) -> None:
        with pytest.raises(HTTPError, match="403"):
            urlopen(urlsplit(link.strip())._replace(query="").geturl(), timeout=10)

    done = interrupted([sys.executable, "-m", "darklantern", "page", *held], "http://127.0.0.1:", answers)
    assert (done.returncode, done.stderr) == (0, ""), "Ctrl-C is how a page ends"


HELD = """
import sys, time
import darklantern.WHERE as room
def long(*given, **named):
    print("begun")
    time.sleep(60)
room.WHAT = long
sys.argv[1:] = sys.argv[2:]
from darklantern.cli import main
main()
"""
COMMANDS = {
    "findings": ("library.library", "Library.open", ["finding", "list", "--library", "FOLDER"]),
    "rerun": ("library.library", "Library.open", ["rerun", "1", "--library", "FOLDER"]),
    "demo": ("demo.race", "run", ["demo", "--out", "OUT"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_in_the_middle_of(command: str, tmp_path: Path) -> None:
    where, what, words = COMMANDS[command]
    (tmp_path / "pass").write_text("x")
    names = {"FOLDER": tmp_path, "OUT": tmp_path / "out"}
    given = [str(names.get(word, word)) for word in words]
    given += [] if command == "demo" else ["--passphrase-file", str(tmp_path / "pass")]
    done = interrupted(python(HELD.replace("WHERE", where).replace("WHAT", what), *given), "begun")
    assert done.returncode == 130 and "Traceback" not in done.stderr


def test_where_a_passphrase_is_asked_for(tmp_path: Path) -> None:
    founding.found(tmp_path).close()
    command = [sys.executable, "-c", ON_A_TERMINAL, "finding", "list", "--library", str(tmp_path / "aurora")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 130 and "Traceback" not in done.stdout


def test_reference_runs_end_at_once_with_their_workers(tmp_path: Path) -> None:
    """Leaving a pool waits for all that it was given, which would be an hour."""
    code = (
        "import multiprocessing\n"
        "from darklantern.demo import reference_runs\n"
        "from pathlib import Path\n"
        "wait = reference_runs.wait_for\n"
        "def begun(given, **how):\n"
        "    reference_runs.wait_for = wait\n"
        "    print('begun')\n"
        "    return wait(given, **how)\n"
        "if __name__ == '__main__':\n"
        "    reference_runs.wait_for = begun\n"
        "    try:\n"
        f"        reference_runs.collect(range(59), Path({str(tmp_path)!r}), 2)\n"
        "    except KeyboardInterrupt:\n"
        "        print(len(multiprocessing.active_children()), 'left')\n"
    )
    (tmp_path / "calibrating.py").write_text(code)
    done = interrupted([sys.executable, "-u", str(tmp_path / "calibrating.py")], "begun")
    assert done.stdout == "begun\n0 left\n" and done.stderr == ""
