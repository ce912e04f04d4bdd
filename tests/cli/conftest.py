"""Somebody to follow a page of commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from library.orgs import CHEAP

from cli.pages import Follower
from darklantern.library import create

READS_SECRETS = ("library_option", "backup_commands", "open_command", "hardening", "relay_commands")
"""Modules whose commands turn off core files and /proc: in this process, for the whole test run."""


@pytest.fixture
def stays_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands may run in this process."""
    for module in READS_SECRETS:
        monkeypatch.setattr(f"darklantern.cli.{module}.keep_secrets_in_memory", lambda: None)
    monkeypatch.setitem(create.__kwdefaults__, "cost", CHEAP)


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
