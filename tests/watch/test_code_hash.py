"""Same code and values, same hash, in any process; another value anywhere that counts, another hash."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darklantern.watch.code_hash import code_hash

MODULE = """
import numpy as np
from dataclasses import dataclass

FACTOR = {factor}
WORDS = {words}
TABLE = {{"a": [1, 2], "b": np.arange({numbers})}}

def helper(x):
    return deeper(x) * FACTOR

def deeper(x):
    return x + {deep} if x else helper(x - 1)

def unused(x):
    return {unused}

def make(closed, *, known={known}):
    def measure(seen, power={power}):
        inner = lambda each: each in closed
        return helper(seen.output.mean() ** power) + sum(map(inner, WORDS)) + TABLE["a"][0] + known, {{1, 2, 3}}
    return measure

measure = make({closed})
"""
PLAIN = {
    "factor": "2.0",
    "words": "{'one', 'two', 'three'}",
    "numbers": "4",
    "deep": "1",
    "unused": "0",
    "known": "7",
    "power": "2",
    "closed": "frozenset('abcdef')",
}


def hashed(**changes: str) -> str:
    made: dict = {"__name__": "theirs"}
    exec(MODULE.format(**{**PLAIN, **changes}), made)  # noqa: S102 - a module of the text above
    return code_hash(made["measure"]).sha256


@pytest.mark.parametrize(
    "change",
    [
        {"factor": "3.0"},
        {"factor": "2"},
        {"words": "{'one', 'two'}"},
        {"numbers": "5"},
        {"deep": "2"},
        {"known": "8"},
        {"power": "3"},
        {"closed": "frozenset('abcde')"},
        {"closed": "'abcdef'"},
    ],
    ids=str,
)
def test_whatever_the_function_uses_changes_the_hash(change: dict[str, str]) -> None:
    assert hashed(**change) != hashed()


def test_what_it_does_not_use_changes_nothing() -> None:
    assert hashed(unused="1") == hashed()
    assert hashed(words="{'three', 'two', 'one'}") == hashed()


@pytest.mark.slow
def test_another_process_with_another_order_of_sets_finds_the_same(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(MODULE.format(**PLAIN))
    code = "import theirs; from darklantern.watch.code_hash import code_hash; print(code_hash(theirs.measure).sha256)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert found == {hashed()}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-2, 2)
    | st.text("ab", max_size=2)
    | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text("ab"), inner, max_size=2)
    ),
    max_leaves=6,
)


def closing_over(value):
    def measure(seen):
        return value

    return measure


@given(VALUES, VALUES)
def test_two_values_are_told_apart_exactly_when_they_are_written_apart(one, other) -> None:
    def canonical(value) -> str:
        if isinstance(value, dict):
            return repr(sorted((repr(k), canonical(v)) for k, v in value.items())) + "d"
        if isinstance(value, list | tuple):
            return type(value).__name__ + repr([canonical(each) for each in value])
        return type(value).__name__ + repr(value)

    same = code_hash(closing_over(one)) == code_hash(closing_over(other))
    assert same == (canonical(one) == canonical(other))


@dataclass(frozen=True)
class Scale:
    by: float
    words: frozenset[str] = frozenset("xyz")


class Loud:
    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, seen):
        return seen.output[self.at]


def test_arrays_tensors_records_partials_and_callable_objects_count_by_what_they_hold() -> None:
    makers = [
        lambda n: closing_over(np.arange(3) + n),
        lambda n: closing_over(torch.arange(3) + n),
        lambda n: closing_over(Scale(n)),
        lambda n: partial(closing_over(1), n),
        lambda n: Loud(n),
        lambda n: Loud(n).__call__,
        lambda n: closing_over(closing_over(n)),
    ]
    for make in makers:
        assert code_hash(make(1)) == code_hash(make(1))
        assert code_hash(make(1)) != code_hash(make(2))
        assert code_hash(make(1)).unknown == ()


CLASSES = """
from functools import partial

class Base:
    def __call__(self, seen):
        return seen.output.mean() + {base} * self.doubled

class Loud(Base):
    @staticmethod
    def twice(x):
        return {static} * x

    @classmethod
    def of(cls, x):
        return {cls} * x

    @property
    def doubled(self):
        return self.twice({prop})

def free(seen, k):
    return seen.output.mean() * {free} + k

loud = Loud()
part = partial(free, k=3)
"""
PARTS = {"base": "1", "static": "2", "cls": "3", "prop": "4", "free": "5"}


@pytest.mark.parametrize("part", PARTS)
def test_bases_static_methods_properties_and_what_a_partial_calls_count(part: str) -> None:
    def made(name: str, **changes: str) -> str:
        module: dict = {"__name__": "theirs"}
        exec(CLASSES.format(**PARTS | changes), module)  # noqa: S102 - a module of the text above
        return code_hash(module[name]).sha256

    name = "part" if part == "free" else "loud"
    assert made(name) == made(name)
    assert made(name) != made(name, **{part: "9"})


def test_what_no_hash_can_speak_for_is_named() -> None:
    model = torch.nn.Linear(1, 1)
    assert code_hash(closing_over(model)).unknown == ("value (Linear)",)
    assert code_hash(closing_over({"net": model})).unknown == ("value['net'] (Linear)",)
    assert code_hash(closing_over(SimpleNamespace(x=1))).unknown == ("value (SimpleNamespace)",)


def test_what_names_itself_has_an_end() -> None:
    ring: list = [1]
    ring.append(ring)
    assert code_hash(closing_over(ring)) == code_hash(closing_over(ring))
