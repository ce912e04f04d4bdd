"""Somebody to follow a page of commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from library.orgs import CHEAP

from cli.pages import Follower
from darklantern.library import create


@pytest.fixture
def follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Follower]:
    """Somebody who sits at a terminal: types passphrases and what was told to them, and answers yes."""
    made = Follower(tmp_path)
    monkeypatch.chdir(tmp_path)
    for module in ("library_option", "backup_commands", "open_command", "hardening", "relay_commands"):
        monkeypatch.setattr(f"darklantern.cli.{module}.keep_secrets_in_memory", lambda: None)
    monkeypatch.setitem(create.__kwdefaults__, "cost", CHEAP)
    monkeypatch.setattr("darklantern.cli.options.has_terminal", lambda: True)
    monkeypatch.setattr("darklantern.cli.library_option.has_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: made.typed.get(prompt) or "a passphrase")
    try:
        yield made
    finally:
        made.end()
