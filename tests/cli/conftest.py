"""Somebody to follow a page of commands."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main

from cli.here import apart, stay_readable
from cli.pages import Follower


@pytest.fixture(autouse=True, scope="session")
def _commands_are_put_together_once() -> Iterator[None]:
    """Typer does so anew at each call: two thirds of the time of one that runs in this process."""
    with pytest.MonkeyPatch.context() as patch:
        once = cache(typer.main.get_command)
        patch.setattr("typer.main.get_command", once)
        patch.setattr("typer.testing._get_command", once)
        yield


@pytest.fixture
def stays_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands may run in this process."""
    stay_readable(monkeypatch)


@pytest.fixture
def in_processes_of_their_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test would run in this process."""
    monkeypatch.setattr(request.module, "ran", apart)


@pytest.fixture
def follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays_readable: None) -> Iterator[Follower]:
    """Somebody who sits at a terminal: types passphrases and what was told to them, and answers yes."""
    made = Follower(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("darklantern.cli.options.has_terminal", lambda: True)
    monkeypatch.setattr("darklantern.cli.library_option.has_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: made.typed.get(prompt) or "a passphrase")
    try:
        yield made
    finally:
        made.end()
