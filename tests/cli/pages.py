"""A page of commands, followed as its readers would: each command on the machine of the person who is named.

    ada$ darklantern thread show ITEM        a command; `echo "…" |` before it, `> FILE` and `&` behind it
    0a1b…  …: what it prints                 compared, where the page shows it; `…` stands for anything

A name such as ITEM is what the page shows in its place where it first stands in what a command prints.
"""

import contextlib
import io
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shown import elided, matches
from typer.testing import CliRunner

from darklantern.cli.app import app

_START_S = 60
_COMMAND = re.compile(r"    (\w+)\$ (.*)")
_PRINTED = "# → "
_NAMES = re.compile(r"\b(ITEM|POST|PHONE)\b")


@dataclass(frozen=True)
class Step:
    """One command of the page, or one block of Python or TOML where nobody is named."""

    line: int
    who: str | None
    text: str
    """where nobody is named: Python, or what somebody fills in"""
    shown: tuple[str, ...] = ()
    """what the page says that it prints; nothing: it does not say"""


def steps(page: Path) -> Iterator[Step]:
    """What the page has its readers do, in its order."""
    lines = page.read_text().split("\n")
    at = 0
    while at < len(lines):
        start, at = at, at + 1
        if command := _COMMAND.fullmatch(lines[start]):
            while at < len(lines) and lines[at].startswith("    ") and not _COMMAND.fullmatch(lines[at]):
                at += 1
            shown = tuple(line.removeprefix("    ") for line in lines[start + 1 : at])
            yield Step(start + 1, command[1], command[2], shown)
        elif lines[start] == "```python":
            at = lines.index("```", start)
            block = lines[start + 1 : at]
            shown = tuple(line.removeprefix(_PRINTED) for line in block if line.startswith(_PRINTED))
            yield Step(start + 1, None, "\n".join(block), shown)
        elif lines[start] == "```toml":
            at = lines.index("```", start)
            yield Step(start + 1, None, "\n".join(lines[start + 1 : at]))


@dataclass
class Follower:
    """Whoever follows a page. The current folder is where files that people send each other lie."""

    folder: Path
    names: dict[str, str] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)
    """prompt → what is typed there, in place of a passphrase"""
    instead: dict[str, str] = field(default_factory=dict)
    """what stands on the page → what is taken in its place: a port that is free here"""
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def follow(self, step: Step) -> str:
        """Do what a step says, and compare. What it printed."""
        if step.who is not None:
            printed = self._command(step.who, self._here(step.text))
        else:
            printed = self._fill_in(step.text) if step.text.startswith("# ") else self._python(step)
        if step.shown:
            found = [line.rstrip() for line in printed.rstrip("\n").split("\n")]
            shown = [self._here(line) for line in step.shown]
            self._learn(shown, found)
            expected = [self._named(line) for line in shown]
            assert matches(expected, found), f"line {step.line}: {step.text}\nprints\n{printed}"
        return printed

    def end(self) -> None:
        """End what runs in the background."""
        for who in list(self.running):
            self._stop(who)

    def _command(self, who: str, text: str) -> str:
        home = self.folder / f"home of {who}"
        text = self._named(text.replace("~", shlex.quote(str(home))))
        if text == "kill %1":
            self._stop(who)
            return ""
        text, background = text.removesuffix(" &"), text.endswith(" &")
        text, _, file = text.partition(" > ")
        said = re.fullmatch(r'echo "(.*)" \| (.*)', text)
        program, *words = shlex.split(said[2] if said else text)
        assert program == "darklantern", f"no command of ours: {text}"
        if background:
            self._start(who, words)
            return ""
        done = CliRunner().invoke(
            app, words, env={"DARKLANTERN_LIBRARY": str(home / "lantern")}, input=said[1] if said else "y\n"
        )
        assert done.exit_code == 0, f"{who}$ {text}\n{done.output}{done.exception!r}"
        if file:
            Path(file).write_text(done.stdout)
        return done.output

    def _python(self, step: Step) -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(step.text, f"line {step.line}", "exec"), {"__name__": "page"})  # noqa: S102 - our own page
        return said.getvalue()

    def _fill_in(self, text: str) -> str:
        """Write each line of a form in place of the empty one: the first says in which file."""
        name, *lines = text.split("\n")
        file = Path(name.removeprefix("# "))
        form = file.read_text().split("\n")
        for line in (line for line in lines if " = " in line):
            form[form.index(f'{line.partition(" = ")[0]} = ""')] = line
        file.write_text("\n".join(form))
        return ""

    def _start(self, who: str, words: list[str]) -> None:
        """A relay, until it answers."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        log = self.folder / f"what {who} runs"
        with log.open("ab") as file:
            self.running[who] = subprocess.Popen(
                [sys.executable, "-m", "darklantern", *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,
            )
        (url,) = re.findall(r'^urls = \["(.*)"\]$', (Path(words[-1]) / "relay.toml").read_text(), re.MULTILINE)
        deadline = time.monotonic() + _START_S
        while not _answers(url):
            assert self.running[who].poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def _stop(self, who: str) -> None:
        process = self.running.pop(who)
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_START_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _here(self, text: str) -> str:
        for theirs, ours in self.instead.items():
            text = text.replace(theirs, ours)
        return text

    def _named(self, text: str) -> str:
        return _NAMES.sub(lambda name: self.names[name[0]], text)

    def _learn(self, shown: list[str], found: list[str]) -> None:
        """What stands where the page shows a name that nothing was yet called."""
        for line in shown:
            for name in {*_NAMES.findall(line)} - self.names.keys():
                before, _, after = line.partition(name)
                pattern = f"{elided(before)}([0-9A-Za-z-]+){elided(after)}"
                fits = [fit[1] for fit in (re.fullmatch(pattern, each) for each in found) if fit]
                if fits:
                    self.names[name] = fits[0]


def _answers(url: str) -> bool:
    """Whether a relay answers there. Only that: its certificate is for those who know its card."""
    try:
        context = ssl._create_unverified_context() if url.startswith("https") else None
        with urllib.request.urlopen(f"{url}/v1/health", timeout=1, context=context) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError):
        return False
