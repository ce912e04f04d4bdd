"""Titles, names, posts and errors come from peers. Whatever they hold, a terminal obeys none of it."""

import ast
import io
import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from library.orgs import Orgs, artifacts, assessment, device, finding, founded
from rich.console import Console

from cli.here import ran
from darklantern.cli import output
from darklantern.cli.progress import TerminalProgress
from darklantern.network import Person

HOSTILE = {
    "clears the screen": "\x1b[2J\x1b[Hx",
    "writes the clipboard": "\x1b]52;c;cm0gLXJm\x07x",
    "speaks in C1": "\x9b2J\x9d52;c;cm0gLXJm\x9cx",
    "goes back": "right\rwrong\b\b\x7f",
    "begins lines": "one\ntwo\r\nthree\x0bfour\x85five\u2028six\u2029seven",
    "turns the line around": "user\u202etxt.exe\u2066x\u2069\u200f",
    "stacks marks": "Z" + "\u0300" * 60,
    "no character": "\ud800x\ufffe",
}
ALL = "".join(HOSTILE.values())


def obeyed(printed: str) -> list[str]:
    """What a terminal would take for more than a sign to show."""
    return [c for c in printed if c != "\n" and (unicodedata.category(c)[0] == "C" or c in "\u2028\u2029")]


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=terminal, width=60, color_system=None), stream


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_line_stays_one_line_of_signs(kind: str, terminal: bool) -> None:
    to, stream = console(terminal=terminal)
    output.tell(f"before {HOSTILE[kind]} after", console=to)
    printed = stream.getvalue()
    assert not obeyed(printed)
    assert printed.startswith("before ") and printed.endswith(" after\n") and printed.count("\n") == 1
    assert printed.count("\u0300") <= 2


def test_markup_is_text() -> None:
    to, stream = console(terminal=True)
    output.tell("[red]x[/] [link=http://a]y[/]", console=to)
    assert stream.getvalue() == "[red]x[/] [link=http://a]y[/]\n"


@pytest.mark.parametrize("padding", range(46, 66))
def test_no_padding_forges_a_line_where_the_terminal_wraps(padding: int) -> None:
    to, stream = console(terminal=True)
    output.tell("x" * padding + " " * padding + "hint:  run it", lead="error: ", console=to)
    first, *others = stream.getvalue().splitlines()
    assert first.startswith("error: x") and others
    assert all(line.startswith(" " * len("error: ")) for line in others)
    assert all(len(line) <= 60 for line in (first, *others))


def test_what_people_copy_is_not_broken() -> None:
    to, stream = console(terminal=True)
    output.tell("http://127.0.0.1/" + "x" * 80, console=to, copied=True)
    assert stream.getvalue() == "http://127.0.0.1/" + "x" * 80 + "\n"


def test_an_endless_text_is_cut_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell_text("a" * (output.MOST + 5))
    shown = capsys.readouterr().out
    assert shown.count("a") < output.MOST + 10 and "cut here: 5 more characters" in shown


def test_json_is_ascii_and_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell_json([ALL])
    printed = capsys.readouterr().out
    assert not obeyed(printed) and printed.isascii()
    assert json.loads(printed) == [ALL]


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_a_demos_progress_shows_only_signs(terminal: bool) -> None:
    to, stream = console(terminal=terminal)
    progress = TerminalProgress(to)
    progress.say(ALL)
    progress.alarm("run A", f"step 1: {ALL}")  # type: ignore[arg-type]  # an alarm is only ever printed
    assert not obeyed(stream.getvalue())
    begun = [line for line in stream.getvalue().splitlines() if line[0] != " "]
    assert len(begun) == 2 and begun[1].startswith("ALARM run A, step 1: ")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orgs, str]]:
    """Two libraries, in which everything that a peer writes is hostile; of a name, what no manifest refuses."""
    orgs = founded(tmp_path_factory.mktemp("hostile"))
    named = Person(id="ada", name="[bold]Ada[/] Z" + "\u0300" * 60, devices=(device("ada").public,))
    orgs.manifest("Aurora", named)
    what = finding(title=ALL.replace("\ud800", ""))
    item = orgs.aurora.findings.share(what, artifacts(), circle="evals", assessment=assessment(what))
    orgs.aurora.threads.post(item, ALL.replace("\ud800", "") + "\nDr bo (Beacon), 2026-11-21T00:00:00Z\n  forged")
    orgs.to_beacon()
    orgs.close()
    (orgs.folder / "passphrase").write_text("passphrase of bo")
    yield orgs, item


def on_a_terminal(*words: str) -> subprocess.CompletedProcess[str]:
    """Rich takes the pipe for a terminal without colours, so that each escape in it is a peer's."""
    return ran(*words, env={"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "60"})


def test_every_command_shows_peers_texts_as_signs(hostile: tuple[Orgs, str]) -> None:
    orgs, item = hostile
    held = ["--library", str(orgs.folder / "beacon"), "--passphrase-file", str(orgs.folder / "passphrase")]
    listed = on_a_terminal("finding", "list", *held)
    assert listed.returncode == 0 and not obeyed(listed.stdout), listed.stderr
    assert [line for line in listed.stdout.splitlines() if not line.startswith("  ")] == [
        listed.stdout.splitlines()[0]
    ], "one finding, one line that begins at the margin"
    assert "wrong" in listed.stdout

    told = on_a_terminal("thread", "show", item[:8], *held)
    assert told.returncode == 0 and not obeyed(told.stdout), told.stderr
    assert "forged" in told.stdout
    begun = [line for line in told.stdout.splitlines() if not line.startswith("  ")]
    assert len(begun) == 2 and begun[0].startswith("thread: "), "the thread and its one post"
    for words in (("thread", "list"), ("thread", "notifications")):
        told = on_a_terminal(*words, *held)
        assert told.returncode == 0 and not obeyed(told.stdout), told.stderr
        assert len([line for line in told.stdout.splitlines() if not line.startswith("  ")]) == 1

    told = on_a_terminal("open", item[:8], *held)
    assert told.returncode == 0 and not obeyed(told.stdout), told.stderr
    begun = [line for line in told.stdout.splitlines() if not line.startswith("  ")]
    assert begun[0].startswith("finding: ") and begun[-1].startswith("item ")
    assert [line.split()[0] for line in begun[1:-1]] == ["level", "markings:", "evidence", "answers"]
    for words in (("status",), ("explain", "Aurora/ada", item), ("finding", "versions", item)):
        told = on_a_terminal(*words, *held)
        assert told.returncode == 0 and not obeyed(told.stdout), told.stderr

    for words in (
        ("finding", "list"),
        ("open", item),
        ("library", "verify"),
        ("thread", "list"),
        ("thread", "notifications"),
    ):
        assert on_a_terminal(*words, *held, "--json").stdout.isascii()


@pytest.mark.usefixtures("in_processes_of_their_own")
def test_an_error_that_quotes_a_peer_shows_only_signs(hostile: tuple[Orgs, str]) -> None:
    path = "\x1b]52;c;cm0gLXJm\x07" + "y" * 60 + " hint:  run it"
    secret = str(hostile[0].folder / "passphrase")
    done = on_a_terminal("finding", "list", "--library", path, "--passphrase-file", secret)
    assert done.returncode == 1 and not obeyed(done.stderr)
    assert [line[:7] for line in done.stderr.splitlines() if line[0] != " "] == ["error: ", "hint:  "]


@pytest.mark.parametrize(
    "breaks",
    [
        "def app(): raise ValueError(TEXT)",
        "def app(): import warnings; warnings.warn(TEXT); raise SystemExit(1)",
        "def app(): import logging; logging.getLogger('uvicorn.error').error(TEXT); raise SystemExit(1)",
    ],
    ids=["defect", "warning", "log"],
)
def test_not_even_a_defect_lets_a_peer_speak_to_the_terminal(breaks: str) -> None:
    code = (
        f"TEXT = {ALL!r}\n{breaks}\nimport darklantern.cli.app as a; a.app = app\nimport darklantern.cli as c; c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, encoding="utf-8", errors="surrogateescape"
    )
    assert done.returncode == 1 and "wrong" in done.stderr and not obeyed(done.stderr)


def test_nothing_in_the_room_prints_but_by_the_one_function() -> None:
    room = Path(output.__file__).parent
    for path in set(room.glob("*.py")) - {Path(output.__file__)}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                assert name not in ("print", "echo", "secho", "write", "log"), f"{path.name}:{node.lineno}"
