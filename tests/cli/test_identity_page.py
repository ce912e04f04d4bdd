"""docs/identity.md as its readers would follow it: each command on the machine of the person who is named."""

import re
import shlex
from pathlib import Path

import pytest
from library.orgs import CHEAP
from typer.testing import CliRunner

from darklantern.cli.app import app
from darklantern.library import create

PAGE = Path(__file__).parent.parent.parent / "docs/identity.md"
COMMANDS = re.findall(r"^    (\w+)\$ darklantern (.*)$", PAGE.read_text(), re.MULTILINE)


def test_every_command_of_the_page_runs_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(COMMANDS) > 60
    monkeypatch.chdir(tmp_path)
    (tmp_path / "promise.txt").write_text("I will not push the capabilities frontier with what I read here.")
    for module in ("library_option", "hardening"):
        monkeypatch.setattr(f"darklantern.cli.{module}.keep_secrets_in_memory", lambda: None)
    monkeypatch.setitem(create.__kwdefaults__, "cost", CHEAP)
    # Somebody sits at a terminal: types passphrases and the code that was told to them, and answers yes.
    typed = {"code of the invitation: ": ""}
    monkeypatch.setattr("darklantern.cli.options.has_terminal", lambda: True)
    monkeypatch.setattr("darklantern.cli.library_option.has_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: typed.get(prompt) or "a passphrase")
    phone = ""
    for who, line in COMMANDS:
        home = tmp_path / f"home of {who}"
        words = [word.replace("~", str(home)).replace("PHONE", phone) for word in shlex.split(line)]
        done = CliRunner().invoke(app, words, env={"DARKLANTERN_LIBRARY": str(home / "lantern")}, input="y\n")
        assert done.exit_code == 0, f"{who}$ {line}\n{done.output}{done.exception!r}"
        if words[:2] == ["member", "invite"]:
            typed["code of the invitation: "] = done.output.strip().split("\n")[-1]
        if who == "phone" and words[:2] == ["device", "new"]:
            phone = re.findall(r"with the device ([A-Z2-7-]+)", done.output)[0]
