"""Keys of functions: another key when anything that the function reads has changed, the same one when nothing has."""

import functools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darklantern.models.sameness import Itself, sameness

STRENGTH: Any = 1.0
HELD = [1.0]


def by_a_global(value: Any) -> Any:
    return value * STRENGTH


def by_a_helper(value: Any) -> Any:
    return by_a_global(value) + 1


class Steer:
    def __init__(self) -> None:
        self.strength, self.held = 1.0, {"by": [2.0]}

    def __call__(self, value: Any) -> Any:
        return value * self.strength * self.held["by"][0]

    def method(self, value: Any) -> Any:
        return self(value)


class Slotted:
    __slots__ = ("strength",)

    def __init__(self) -> None:
        self.strength = 1.0

    def __call__(self, value: Any) -> Any:
        return value * self.strength


def closure(held: Any) -> Any:
    return lambda value: value * held[0]


@pytest.mark.parametrize(
    "function",
    [
        by_a_global,
        by_a_helper,
        Steer(),
        Steer().method,
        Slotted(),
        closure([1.0]),
        functools.partial(lambda value, by: value * by["x"], by={"x": 1.0}),
        lambda value: jax.nn.gelu(jax.nn.relu(value)) + jnp.sum(value) + np.float32(1),
        jax.jit(lambda value: value),
        jnp.tanh,
        lambda value: value + np.arange(3.0),
    ],
)
def test_a_function_that_reads_the_same_has_the_same_key(function: Any) -> None:
    assert sameness(function) == sameness(function)
    assert hash(sameness(function)) == hash(sameness(function))


def test_a_global_that_a_function_or_its_helper_names_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sameness(by_a_global), sameness(by_a_helper)
    monkeypatch.setitem(by_a_global.__globals__, "STRENGTH", -0.0)
    middle = sameness(by_a_global), sameness(by_a_helper)
    monkeypatch.setitem(by_a_global.__globals__, "STRENGTH", 0.0)
    after = sameness(by_a_global), sameness(by_a_helper)
    assert len({before, middle, after}) == 3


def changed(function: Any, change: Any) -> bool:
    before = sameness(function)
    change()
    return sameness(function) != before


def test_what_a_function_closes_over_or_holds_is_part_of_the_key() -> None:
    held, array, space = [1.0], np.zeros(3), SimpleNamespace(by=1.0)
    steer, slotted = Steer(), Slotted()
    assert changed(closure(held), lambda: held.__setitem__(0, 2.0))
    assert changed(closure(array), lambda: array.__setitem__(0, 2.0))
    assert changed(lambda value: value * space.by, lambda: setattr(space, "by", 2.0))
    assert changed(steer, lambda: setattr(steer, "strength", 2.0))
    assert changed(steer.method, lambda: steer.held["by"].append(3.0))
    assert changed(slotted, lambda: setattr(slotted, "strength", 2.0))
    assert changed(functools.partial(closure, held), lambda: held.append(0.0))
    assert changed(jnp.tanh, lambda: None) is False


def test_the_same_code_made_again_has_the_same_key() -> None:
    assert sameness(closure([1.0])) == sameness(closure([1.0]))
    assert sameness(closure([1.0])) != sameness(closure([1]))


def test_arrays_of_jax_count_by_identity_and_circles_end() -> None:
    array, circle = jnp.ones(3), []
    circle.append(circle)
    assert sameness(closure(array)) == sameness(closure(array)) != sameness(closure(jnp.ones(3)))
    assert sameness(closure(circle)) == sameness(closure(circle))


def test_what_cannot_be_looked_into_has_another_key_each_time_or_the_one_that_is_asked_for() -> None:
    drawn = np.random.default_rng(0)
    function = lambda value: value + drawn.normal()  # noqa: E731
    assert sameness(function) != sameness(function)
    assert sameness(function, Itself) == sameness(function, Itself)


def test_what_an_object_keeps_for_itself_is_no_change_and_its_fields_are() -> None:
    @dataclass(frozen=True)
    class By:
        number: float

    class Lazy:
        @functools.cached_property
        def length(self) -> int:
            return 3

    lazy, mesh = Lazy(), jax.make_mesh((1,), ("x",))
    assert changed(closure([lazy]), lambda: lazy.length) is False
    assert changed(closure([mesh]), lambda: mesh.shape_tuple) is False
    assert sameness(By(0.0)) != sameness(By(-0.0))
    assert sameness(By(1.0)) == sameness(By(1.0))
