"""Whatever stands behind a command, it ends with a result or with an error that has a hint: never with a defect."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from library.orgs import founded, share
from typer.testing import CliRunner

from cli.desks import seated
from cli.test_cli import commands
from darklantern.cli.app import app
from darklantern.errors import DarkLanternError

pytestmark = pytest.mark.usefixtures("stays_readable")
SERVING = {"page", "relay serve", "demo", "watch calibrate", "rerun"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    orgs = founded(tmp_path_factory.mktemp("orgs"))
    (orgs.folder / "item").write_text(share(orgs))
    orgs.close()
    return orgs.folder


def arguments(command: Any, path: Path, word: str, *, options: bool) -> Iterator[str]:
    """Each argument of the command, and what it cannot do without, or all that it takes."""
    for param in command.params:
        is_argument = param.param_type_name == "argument"
        if not is_argument and not param.required and not options:
            continue
        if {"--library", "--passphrase-file", "--json", "--help", "--yes", "-h"} & {*param.opts}:
            continue
        wanted = param.type_descriptor.annotation
        if get_origin(wanted) is Literal:
            value = get_args(wanted)[0]
        else:
            value = str(path) if "Path" in str(wanted) else "1" if wanted is int else word
        if getattr(param, "is_flag", False):
            yield param.opts[0]
        else:
            yield from (value,) if is_argument else (param.opts[0], value)


@pytest.mark.parametrize("name", sorted(set(commands()) - SERVING))
def test_nothing_that_a_user_types_is_a_defect(
    name: str, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where drafts go that nobody named
    (tmp_path / "folder").mkdir()
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    (tmp_path / "json").write_text('{"v":1}')
    shutil.copytree(template / "aurora", tmp_path / "aurora")
    (ada,) = seated(tmp_path, ada="aurora")
    held = ["--library", str(ada.library), "--passphrase-file", str(ada.passphrase)]
    command = commands()[name]
    takes_library = any("--library" in param.opts for param in command.params)
    item = (template / "item").read_text()
    words_and_options = itertools.product(("x", "", "evals", "Beacon/bo", item, "2026-11-21"), (False, True))
    for place, (word, options) in zip(itertools.cycle(("folder", "noise", "json", "none/x", "new")), words_and_options):
        words = list(arguments(command, tmp_path / place, word, options=options))
        done = CliRunner().invoke(app, [*name.split(), *words, *(held if takes_library else [])], input="noise\n")
        error = done.exception
        assert error is None or isinstance(error, DarkLanternError | SystemExit), (words, error)
        if isinstance(error, DarkLanternError):
            assert error.message and error.hint, words
        if done.exit_code == 2:
            assert "Error: " in done.output, done.output
