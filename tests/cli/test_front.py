"""The front page, and what people type who guess."""

import os
import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from cli.test_cli import commands
from darklantern.cli.app import app
from darklantern.cli.front import GUESSES, SECTIONS

TOP = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("group", SECTIONS)
def test_every_command_stands_in_a_section_and_nothing_else_does(group: str | None) -> None:
    sections, words = SECTIONS[group], [group] if group else []
    shown = [name for names in sections.values() for name in names]
    assert sorted(shown) == sorted(TOP[group].commands if group else TOP)
    page = CliRunner().invoke(app, [*words, "--help"]).output
    assert [title for title in sections if f"\n{title}:\n" in page] == list(sections) and "Other:" not in page


def test_no_guess_is_a_command_and_each_leads_to_one() -> None:
    known = set(commands())
    assert not {guess for guess in GUESSES if guess in known | TOP.keys()}
    assert set(GUESSES.values()) <= known


@pytest.mark.parametrize(
    ("typed", "meant"), [("push", "sync"), ("circle create", "circle found"), ("gc", "library compact")]
)
def test_a_guess_is_answered_not_obeyed(typed: str, meant: str) -> None:
    done = CliRunner().invoke(app, typed.split())
    assert done.exit_code == 2 and f"`darklantern {meant}` does that" in done.output


def test_help_and_version_are_where_everybody_looks() -> None:
    assert CliRunner().invoke(app, ["circle", "-h"]).output == CliRunner().invoke(app, ["circle", "--help"]).output
    assert CliRunner().invoke(app, ["--version"]).output == CliRunner().invoke(app, ["version"]).output


def test_a_shell_completes_commands() -> None:
    asked = {"_DARKLANTERN_COMPLETE": "complete_bash", "COMP_WORDS": "darklantern circle re", "COMP_CWORD": "2"}
    code = "from darklantern.cli.app import app; app(prog_name='darklantern')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["remove", "restore"], done.stderr
