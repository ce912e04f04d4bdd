"""The source that a run's readings come of: which files, and one hash over them. Reads files, runs nothing."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import darklantern
from darklantern.organisms import text
from watching.experiments import Experiment

PACKAGE = Path(darklantern.__file__).parent
BENCH = ("experiments.py", "monitors.py", "running.py")
"""of this folder, what makes a run"""


@cache
def organisms(module: str) -> tuple[Path, ...]:
    """The files of `darklantern.organisms` that one of its modules comes to, itself among them, by name."""
    folder = PACKAGE / "organisms"
    found: set[Path] = set()
    left = [module.removeprefix("darklantern.organisms.")]
    while left:
        path = folder / f"{left.pop()}.py"
        if path.exists() and path not in found:
            found.add(path)
            left += _imported(path)
    return tuple(sorted(found))


def files(experiment: Experiment) -> tuple[Path, ...]:
    """The organism's own, the watch, and how the bench puts a run together."""
    here = Path(__file__).parent
    made = [*organisms(_module(experiment)), *sorted((PACKAGE / "watch").rglob("*.py"))]
    return (*made, *(here / name for name in BENCH))


def source(experiment: Experiment) -> str:
    """SHA-256 over `files`, names and contents."""
    return hashed(files(experiment))


@cache
def hashed(paths: tuple[Path, ...]) -> str:
    """SHA-256 over files, names and contents. Read once in a process: what runs is what was loaded at its start."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.parent.name}/{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def corpus(experiment: Experiment) -> str:
    """SHA-256 of the text that the organism is made of; empty where it is made of none."""
    return text.standard_library().sha256 if "text.py" in _names(organisms(_module(experiment))) else ""


def packages(experiment: Experiment) -> tuple[str, ...]:
    """What decides a run's numbers besides Python."""
    uses = any("sklearn" in path.read_text() for path in organisms(_module(experiment)))
    return ("torch", "numpy", *(("scikit-learn",) if uses else ()))


def _module(experiment: Experiment) -> str:
    return type(experiment.recipe).__module__


def _names(paths: Iterable[Path]) -> list[str]:
    return [path.name for path in paths]


def _imported(path: Path) -> list[str]:
    """Modules of `darklantern.organisms` that a file imports, by their last name."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("darklantern.organisms"):
            inner = (node.module or "").removeprefix("darklantern.organisms").removeprefix(".")
            found += [inner] if inner else [alias.name for alias in node.names]
    return found
