"""Docs cannot lie: fenced examples run, commands exist, links lead somewhere, the map names every room."""

import ast
import contextlib
import io
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
from shown import matches

import darklantern
from darklantern import methods
from darklantern.assess.protocols import PROTOCOLS
from darklantern.cli.app import app
from darklantern.library.threads.notifications import KINDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text()


BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", range(4))
def test_each_piece_of_the_readmes_python_runs_on_its_own(block: int) -> None:
    assert len(BLOCKS) == 4
    exec(BLOCKS[block], {})  # noqa: S102 - our own README


@pytest.mark.slow
def test_the_readmes_python_for_jax_runs_where_torch_is_not_installed() -> None:
    (block,) = (block for block in BLOCKS if "import jax" in block)
    code = f"import sys\nsys.modules['torch'] = None\n{block}"
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # compiled as readers have it
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("watch at step 40, 4 looks, no alarm")


PRINTED = "# →"


def python_of(page: str) -> str:
    """A page's blocks as one program; a line of it stands where it stands on the page."""
    kept, inside = [], False
    for line in (ROOT / "docs" / page).read_text().split("\n"):
        fence = line.startswith("```")
        kept.append(line if inside and not fence else "")
        inside = line == "```python" or (inside and not fence)
    return "\n".join(kept)


def run_page(page: str) -> dict[str, object]:
    """Run a page, statement by statement, and compare what each prints with the arrows below it."""
    source = python_of(page)
    lines = source.split("\n")
    space: dict[str, object] = {"__name__": page}
    for statement in ast.parse(source).body:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(ast.Module([statement], []), page, "exec"), space)  # noqa: S102 - our own page
        below = itertools.takewhile(lambda line: line.startswith(PRINTED), lines[statement.end_lineno :])
        expected = [line.removeprefix(PRINTED).removeprefix(" ") for line in below]
        found = [line.rstrip() for line in said.getvalue().rstrip("\n").split("\n")]
        if expected:
            assert matches(expected, found), f"{page}:{statement.lineno} prints\n" + "\n".join(found)
    return space


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own; the pages turn gradients off, and they come back on here."""
    monkeypatch.chdir(tmp_path)
    with torch.no_grad():
        yield
    torch.set_grad_enabled(True)


@pytest.mark.usefixtures("away")
def test_the_recipes_run_and_print_what_they_say() -> None:
    assert len(run_page("recipes.md")) > 20


@pytest.mark.usefixtures("away")
def test_the_tutorial_and_each_entry_of_its_table_of_idioms_run() -> None:
    names = run_page("looking.md")
    found = [entry for entry in entries() if entry != "nn.Module"]
    assert len(found) > 40
    for entry in found:
        if "(" in entry or "rec[" in entry:
            assert eval(entry, names) is not None, entry  # noqa: S307 - our own page
        elif "#" in entry:
            assert darklantern.open(Twice()).record(torch.ones(1, 3), entry), entry
        else:
            assert names["m"].record(names["x"], entry), entry


@pytest.mark.usefixtures("away")
def test_the_page_about_threads_runs_and_its_table_names_every_kind_of_notification() -> None:
    assert len(run_page("threads.md")) > 5
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs/threads.md").read_text(), re.M)
    assert [kind for row in rows for kind in re.findall(r"`(\w+)`", row)] == list(KINDS)


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_the_page_about_methods_runs_and_its_table_names_each_of_them() -> None:
    with torch.enable_grad():
        assert len(run_page("methods.md")) > 20
    page = (ROOT / "docs/methods.md").read_text()
    table = "".join(line for line in page.split("\n") if line.startswith("| "))
    missing = {name for name in methods.__all__ if name.islower() and not re.search(rf"[`.]{name}`", table)}
    assert missing == {"load_circuit", "pair_spans", "trigger_circuit"}  # said below it, or of the watch


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_the_page_about_a_patch_in_a_cnn_runs_and_finds_what_sees_it() -> None:
    with torch.enable_grad():
        assert len(run_page("patch-in-a-cnn.md")) > 20


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_the_page_about_induction_runs_and_finds_the_circuit() -> None:
    with torch.enable_grad():
        assert len(run_page("induction.md")) > 20


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_the_page_about_grammatical_number_runs_on_a_pretrained_encoder() -> None:
    assert len(run_page("grammatical-number.md")) > 20


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_the_page_about_watching_runs_from_the_attached_watch_to_a_signal_of_ones_own() -> None:
    with torch.enable_grad():
        w = run_page("watching.md")["w"]
    assert w.overhead > 0


TWICE = (ROOT / "docs/two-frameworks.md").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_the_page_for_two_frameworks_runs_and_prints_the_same_for_both() -> None:
    assert len(run_page("two-frameworks.md")) > 20
    theirs, ours = (re.search(rf"^look\({call}\)\n((?:# → .*\n)+)", TWICE, re.M) for call in ("m,.*", "j,.*"))
    assert theirs and ours and theirs[1] == ours[1]


def test_what_the_page_says_is_not_there_on_jax_is_all_that_is_not_there() -> None:
    theirs, ours = (
        {name for name in dir(import_module(f"darklantern.models.{room}.opened").Model) if not name.startswith("_")}
        for room in ("on_torch", "on_jax")
    )
    row = next(line for line in TWICE.split("\n") if line.startswith("| not there yet"))
    assert theirs - ours == {*re.findall(r"`(\w+)`", row), "eager"}  # which is of what torch compiled


def test_the_internals_of_jax_that_the_page_lists_are_those_of_the_one_file_that_touches_them() -> None:
    def listed(text: str) -> list[str]:
        return re.findall(r"^- (?:.|\n  )*", text, re.M)

    room = ROOT / "src/darklantern/models/on_jax"
    ours = listed((room / "internals.py").read_text().split('"""')[1])
    assert len(ours) > 4
    assert listed(TWICE.partition("## What JAX does not promise")[2]) == ours
    told = "".join(ours)
    for path in (ROOT / "src/darklantern").rglob("*.py"):
        name, text = path.relative_to(room.parent.parent).as_posix(), path.read_text()
        if path != room / "internals.py":
            assert name in told or not re.search(INTERNAL, text), path
            # Marks are primitives of our own, so what they hold is no internal of JAX's.
            assert path in (room / "marks.py", room / "outline.py") or not re.search(PARAMETERS, text), path


INTERNAL = r"jax\.(core|extend|interpreters|_src)\b|from jax import .*\b(core|extend|interpreters)\b"
PARAMETERS = r"(eqn|op|product)\.params\b|\.params(\[|\.get\()"


@pytest.mark.parametrize(
    "line",
    ["import jax.core", "from jax.extend import core", "from jax import lax, core", "jax._src.x", "jax.core.Tracer"],
)
def test_a_line_that_touches_an_internal_of_jax_is_noticed(line: str) -> None:
    assert re.search(INTERNAL, line)
    assert re.search(PARAMETERS, 'a = eqn.params["axes"]') and re.search(PARAMETERS, 'eqn.params.get("name")')
    assert not re.search(PARAMETERS, 'state["params"] if isinstance(state, Mapping) else state.params')


def test_output_that_differs_from_the_page_is_noticed() -> None:
    assert matches(["a …", "…", "z"], ["a 1.25", "b", "c", "z"])
    assert matches(["a", "…", "z"], ["a", "z"])
    assert not matches(["a …", "z"], ["a 1.25", "b", "z"])
    assert not matches(["a"], ["ab"])


class Twice(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = torch.nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.block(x))


def entries() -> list[str]:
    """Everything in code in the last column of the tutorial's table of idioms."""
    table = (ROOT / "docs/looking.md").read_text().partition("## How do I")[2]
    rows = [line for line in table.split("\n") if line.startswith("| ")]
    return [entry for row in rows[1:] for entry in re.findall(r"`([^`]+)`", row.split("|")[-2])]


def test_the_table_of_idioms_has_four_columns() -> None:
    table = (ROOT / "docs/looking.md").read_text().partition("## How do I")[2]
    assert {line.count("|") for line in table.split("\n") if line.startswith("|")} == {5}


def commands(group: object, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found = {}
    for name, command in getattr(group, "commands", {}).items():
        found[(*prefix, name)] = command
        found |= commands(command, (*prefix, name))
    return found


@cache
def known_commands() -> dict[tuple[str, ...], Any]:
    """All of ours; for each page anew it would take longer than the page."""
    return commands(typer.main.get_command(app))


TOLD = [page for page in PAGES if page.parent.name != "spec"]  # formats hold labels that read like commands
TOLD += sorted((ROOT / "src/darklantern").rglob("*.py"))  # hints, help, and what the page tells people to type
TOLD.append(ROOT / "Makefile")


@pytest.mark.parametrize("page", TOLD, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    known = known_commands()
    for line in re.findall(r"(?:^    |`|\"|bin/)darklantern ([a-z][^`\"\n#]*)", page.read_text(), re.MULTILINE):
        words = tuple(line.replace("…", "").replace("'", "").split())
        if re.search(r" v\d", line):  # a format's label
            continue
        name = next((words[:n] for n in (3, 2, 1) if words[:n] in known), None)
        assert name, f"{page.name}: darklantern {line}"
        behind = words[len(name) : len(name) + 1]
        assert not hasattr(known[name], "commands") or not behind or behind[0] == "--help", f"{page.name}: {line}"
        options = {option for each in known[name].params for option in each.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, f"{page.name}: darklantern {line}"


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


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_the_page_about_assessing_runs_and_names_every_protocol() -> None:
    assert len(run_page("assessing.md")) > 10
    page = (ROOT / "docs/assessing.md").read_text()
    table = re.findall(r"^\| ([A-Z]) \|", page, re.M)
    assert sorted(table) == sorted(protocol.criterion for protocol in PROTOCOLS)
