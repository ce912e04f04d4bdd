"""Docs cannot lie: fenced examples run, commands exist, links lead somewhere, the map names every room."""

import re
import shlex
from pathlib import Path

import pytest
import torch
import typer.main

from darklantern.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text()


BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", range(3))
def test_each_piece_of_the_readmes_python_runs_on_its_own(block: int) -> None:
    assert len(BLOCKS) == 3
    exec(BLOCKS[block], {})  # noqa: S102 - our own README


def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/looking.md").read_text(), re.DOTALL)
    assert len(blocks) >= 9
    space: dict[str, object] = {}
    with torch.no_grad():  # the tutorial turns gradients off, and they come back on here
        for block in blocks:
            exec(block, space)  # noqa: S102 - our own page
    torch.set_grad_enabled(True)


def commands(group: object, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    found = {}
    for name, command in getattr(group, "commands", {}).items():
        found[(*prefix, name)] = command
        found |= commands(command, (*prefix, name))
    return found


TOLD = [page for page in PAGES if page.parent.name != "spec"]  # formats hold labels that read like commands
TOLD.append(ROOT / "src/darklantern/page/commands.py")


@pytest.mark.parametrize("page", TOLD, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    known = commands(typer.main.get_command(app))
    for line in re.findall(r"(?:^    |`|\")darklantern ([a-z][^`\"\n#]*)", page.read_text(), re.MULTILINE):
        words = tuple(word for word in shlex.split(line, posix=False) if re.fullmatch(r"[a-z-]+", word))
        assert any(words[: len(name)] == name for name in known), f"{page.name}: darklantern {line}"


def test_what_the_readme_says_that_no_command_does_no_command_does() -> None:
    assert "No command founds a network, makes a library, pledges or seals a finding" in README
    named = {word for name in commands(typer.main.get_command(app)) for word in name}
    assert not named & {"found", "create", "new", "join", "pledge", "seal", "share"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_map_names_every_room() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = {path.name for path in (ROOT / "src/darklantern").iterdir() if (path / "__init__.py").exists()}
    assert not [room for room in rooms if f"`{room}/`" not in text]


def test_every_room_says_what_it_never_does_or_takes() -> None:
    for path in (ROOT / "src/darklantern").glob("*/__init__.py"):
        docstring = path.read_text().split('"""')[1]
        assert len(docstring.split("\n")) >= 3, f"{path.parent.name}: what comes in, what goes out, what it never does"


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
