"""Both engines' models and starts fit the protocol that methods are written against, word for word."""

import ast
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from darklantern import methods
from darklantern.models import opened


def words(kind: Any) -> dict[str, Any]:
    return {name: each for name, each in vars(kind).items() if not name.startswith("_")}


@pytest.mark.parametrize("room", ["on_torch", "on_jax"])
@pytest.mark.parametrize(
    ("protocol", "module", "name"),
    [(opened.Model, "opened", "Model"), (opened.Patches, "patches", "Patches"), (opened.Start, "starting", "Start")],
    ids=["Model", "Patches", "Start"],
)
def test_an_engine_takes_what_the_protocol_says(room: str, protocol: Any, module: str, name: str) -> None:
    engine = getattr(import_module(f"darklantern.models.{room}.{module}"), name)
    for word, asked in words(protocol).items():
        if not inspect.isfunction(asked):
            assert hasattr(engine, word) or word in inspect.get_annotations(engine), word
            continue
        theirs = inspect.signature(getattr(engine, word)).parameters
        for parameter in inspect.signature(asked).parameters.values():
            found = theirs[parameter.name]
            assert found.kind == parameter.kind, f"{word}: {parameter}"
            assert (found.default is parameter.empty) == (parameter.default is parameter.empty), f"{word}: {parameter}"


def test_methods_use_nothing_of_a_model_that_the_protocol_does_not_have() -> None:
    known = words(opened.Model).keys()
    for path in Path(methods.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("model", "self._model"):
                assert node.attr in known, f"{path.name}: {ast.unparse(node)}"
