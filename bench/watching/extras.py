"""What the room measures besides its five experiments, each by itself, and kept until it is measured again."""

import importlib
import importlib.util
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from watching.experiments import KEPT
from watching.lines import Line, absent, keep, kept


@dataclass(frozen=True)
class Extra:
    """A part that is a module with a function that gives lines."""

    name: str
    module: str
    function: str
    bar: str
    takes_tiny: bool = False
    """whether the function takes `tiny`; without it a tiny setting leaves the part out"""
    needs: tuple[str, ...] = ()

    @property
    def lacking(self) -> str:
        """The first module that is not there; empty where all are."""
        return next((module for module in (self.module, *self.needs) if not _there(module)), "")


EXTRAS = (
    Extra("overhead", "watching.overhead", "lines", "≤ 1 % at 100 steps, ≤ 3 % at 25", takes_tiny=True),
    Extra("tap_self_test", "watching.taps", "lines", "every fault", takes_tiny=True),
    Extra("circuit", "watching.circuit_runs", "run", "≥ 90 % removed, ≤ 10 % at random", needs=("watching.circuits",)),
    Extra("reaction", "watching.reacting", "run", "success ≤ 5 %, task ≤ 1 point, bit-exact"),
    Extra("finetuning", "watching.finetuning", "run", "trait within 10 % of clean, task ≤ 1 point"),
    Extra("rereading", "watching.rereading", "lines", "every run"),
)
NAMES = tuple(extra.name for extra in EXTRAS)


def lines(asked: Iterable[str], tiny: bool) -> list[Line]:
    """The lines of each part: measured now if it was `asked` for, else as they were last. None is silently absent."""
    wanted = set(asked)
    return [line for extra in EXTRAS for line in _of(extra, extra.name in wanted, tiny)]


def _of(extra: Extra, asked: bool, tiny: bool) -> list[Line]:
    path = KEPT / ("tiny-lines" if tiny else "lines") / f"{extra.name}.json"
    if extra.lacking:
        return [absent(extra.name, "", extra.bar, f"there is no {extra.lacking} to measure it")]
    if asked and (extra.takes_tiny or not tiny):
        try:
            function: Callable[..., Iterable[Line]] = getattr(importlib.import_module(extra.module), extra.function)
            return keep(path, [*(function(tiny) if extra.takes_tiny else function())])
        except Exception as error:  # noqa: BLE001 - one part that fails is a result, and the others go on
            traceback.print_exc()
            return [absent(extra.name, "", extra.bar, repr(error))]
    if made := kept(path):
        return made
    why = (
        "a tiny setting leaves it out"
        if tiny and not extra.takes_tiny
        else f"not measured yet: WATCH={extra.name} does"
    )
    return [absent(extra.name, "", extra.bar, why)]


def _there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a room that is not there itself
        return False
