"""Commands in this process: a new one for each costs half a second, most of it for loading the same modules again.

In: what somebody types. Out: what `main` printed and its exit status, as from a process. What a process alone can show
(its start, its pipes, signals, a terminal) is tested with one; and a story of each group of commands is.
"""

import io
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from library.orgs import CHEAP

from darklantern.cli import main
from darklantern.cli.hardening import keep_secrets_in_memory
from darklantern.library import create

ASKS = ("options", "library_option")
"""Modules that look for a terminal."""


def stay_readable(patch: pytest.MonkeyPatch) -> None:
    """Commands may run in this process, and passphrases of new libraries are quickly tried."""
    # Many modules hold it by its name: its code is replaced, or it would turn off core files and /proc for all tests.
    patch.setattr(keep_secrets_in_memory, "__code__", (lambda: None).__code__)
    cheaply(patch)


def cheaply(patch: pytest.MonkeyPatch) -> None:
    """A guess at the passphrase of a new library costs nothing: what opens such libraries is as quick."""
    patch.setitem(create.__kwdefaults__, "cost", CHEAP)


@contextmanager
def cheap() -> Iterator[None]:
    """`cheaply`, for fixtures of a module."""
    with pytest.MonkeyPatch.context() as patch:
        cheaply(patch)
        yield


def ran(
    *words: str | Path, given: str = "", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`darklantern WORDS…` as in a session without a terminal."""
    line = ["darklantern", *map(str, words)]
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        stay_readable(patch)
        for module in ASKS:
            patch.setattr(f"darklantern.cli.{module}.has_terminal", lambda: False)
        stdin = io.TextIOWrapper(io.BytesIO(given.encode()), encoding="utf-8")
        out, err = (stack.enter_context(_file()) for _ in range(2))
        for name, value in (("argv", line), ("stdin", stdin), ("stdout", out), ("stderr", err)):
            patch.setattr(sys, name, value)
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        stack.callback(logging.captureWarnings, False)
        status = _status()
        return subprocess.CompletedProcess(line, status, _held(out), _held(err))


def apart(
    *words: str | Path, given: str = "", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, and in a session of its own, which has no terminal."""
    line = [sys.executable, "-m", "darklantern", *map(str, words)]
    around = os.environ | (env or {})
    return subprocess.run(
        line, input=given, capture_output=True, text=True, check=False, start_new_session=True, cwd=cwd, env=around
    )


def _file() -> io.TextIOWrapper:
    # A true file: where a stream takes no more, its number is pointed elsewhere.
    return io.TextIOWrapper(tempfile.TemporaryFile(), encoding="utf-8")


def _held(file: io.TextIOWrapper) -> str:
    file.flush()
    file.seek(0)
    return file.read()


def _status() -> int:
    """0 unless `main` says otherwise."""
    try:
        main()
    except SystemExit as ended:
        assert ended.code is None or isinstance(ended.code, int)
        return ended.code or os.EX_OK
    return os.EX_OK
