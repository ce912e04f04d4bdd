"""Desks at which people of three orgs sit, each with a library of their own; between them only files travel."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from darklantern.cli.app import app
from darklantern.errors import DarkLanternError


@dataclass(frozen=True)
class Desk:
    """One person's commands, run in this process."""

    who: str
    folder: Path
    """where all files of the story lie"""

    @property
    def library(self) -> Path:
        return self.folder / "libraries" / self.who

    @property
    def passphrase(self) -> Path:
        path = self.folder / f"passphrase of {self.who}"
        path.write_text(f"passphrase of {self.who}")
        return path

    def __call__(self, *words: str | Path) -> Any:
        """What the command says as JSON. Fails where the command does."""
        result = self._run(*words, "--json")
        if result.exception:
            raise result.exception
        return json.loads(result.stdout)

    def says(self, *words: str | Path, given: str | None = None) -> str:
        """What the command says to people, on both streams."""
        result = self._run(*words, given=given)
        if result.exception:
            raise result.exception
        return result.output

    def refuses(self, *words: str | Path) -> DarkLanternError:
        """The error, which has a hint."""
        with pytest.raises(DarkLanternError) as caught:
            self(*words)
        assert caught.value.hint
        return caught.value

    def _run(self, *words: str | Path, given: str | None = None):
        held = ["--library", str(self.library), "--passphrase-file", str(self.passphrase)]
        return CliRunner().invoke(app, [*map(str, words), *held], input=given)


def seated(folder: Path, **people: str) -> tuple[Desk, ...]:
    """A desk for each person, at the library that lies in `folder` under their org's name."""
    (folder / "libraries").mkdir(exist_ok=True)
    for who, org in people.items():
        (folder / "libraries" / who).symlink_to(folder / org)
    return tuple(Desk(who, folder) for who in people)


def carry(sender: Desk, *receivers: Desk) -> None:
    """A bundle from one desk to others."""
    bundle = sender.folder / "a.bundle"
    sender("bundle", "export", bundle)
    for receiver in receivers:
        receiver("bundle", "import", bundle)


def signed(draft: Path, *signers: Desk) -> Path:
    """The draft, passed from desk to desk."""
    for signer in signers:
        signer("draft", "sign", draft, "--yes")
    return draft
