"""Directions followed: both checkpoints run on the examples, the fit repeated, its change held against its noise."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.batches import batches
from darklantern.methods.diffs.followed import DirectionDiff, Followed
from darklantern.methods.diffs.redrawing import between, floor, turned
from darklantern.methods.directions import Direction
from darklantern.methods.directions.gathering import Rows, checked, rows
from darklantern.methods.directions.transfers import fit_of, refitted
from darklantern.methods.making import Making
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model
from darklantern.models.sites import Site

_NEAR = 1e-2
"""of the activations' size: half-precision kernels give that for batches of another size"""
Values = NDArray[Any]


def followed(
    before: Model, after: Model, asked: Followed | Sequence[Followed], seed: int, under_way: Making
) -> tuple[DirectionDiff, ...]:
    """See `diff`. Raises MethodError for a direction that was not found in `before` on these inputs."""
    every = _checked(asked)
    return tuple(
        _one(before, after, each, np.random.default_rng((seed, number)), under_way)
        for number, each in enumerate(every, 1)
    )


def _checked(asked: Any) -> list[Followed]:
    every: list[Any] = [asked] if isinstance(asked, Followed | Direction) else list(asked)
    for each in every:
        if not isinstance(each, Followed):
            raise MethodError(
                f"expected directions with the inputs that they were found on, got {type(each).__name__}",
                hint="directions=[darklantern.Followed(direction, positive, negative)]",
            )
        if each.draws < 1:
            raise MethodError(f"{each.draws} draws of examples", hint="draws=200")
    names = [each.called for each in every]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise MethodError(f"two directions are called {twice}", hint='Followed(..., name="truth")')
    return every


def _one(before: Model, after: Model, asked: Followed, rng: np.random.Generator, under_way: Making) -> DirectionDiff:
    # 1. Both checkpoints on the same examples.
    direction, fit = asked.direction, fit_of(asked.direction)
    under_way.saw(direction.vector)
    here, there = _recorded(before, after, asked, under_way)
    _check_found(direction, here, there)
    # 2. The direction frozen and refitted, held against examples that no fit saw.
    made = replace(under_way.made(), method="diff: direction", model=after.hash_later())
    transfer = refitted(direction, there, made)
    # 3. How far it turned, and how far it turns by itself.
    values, labels = direction.examples.seen
    later = transfer.refit.examples.seen[0]
    noise = between(*(floor(fit, each, labels, asked.draws, rng) for each in (values, later)))
    return DirectionDiff(asked.called, transfer, turned(fit, values, later, labels, asked.draws, rng), noise)


def _recorded(before: Model, after: Model, asked: Followed, under_way: Making) -> tuple[Values, Values]:
    """Of both models (example, dim), or of pairs (pair, 2, dim)."""
    found = asked.direction
    sets = [each for each in (asked.positive, asked.negative) if each is not None]
    kept = [_read(before, after, found.site, each, asked.at_once, under_way) for each in sets]
    here, there = (_joined([each[model] for each in kept], found.examples.pairs) for model in (0, 1))
    for values in (here, there):
        checked({found.site: Rows(values, found.axis)})
    return here, there


def _read(
    before: Model, after: Model, site: Site, inputs: Any, at_once: int, under_way: Making
) -> tuple[Values, Values]:
    """(example, dim) of both models, from one pass over the inputs."""
    kept: tuple[list[Values], list[Values]] = ([], [])
    for batch in tracked(batches(inputs, at_once), "following"):
        under_way.saw(batch)
        for model, mine in zip((before, after), kept, strict=True):
            mine.append(rows(model.record(batch, site, stop=True)[site]))
    return np.concatenate(kept[0]), np.concatenate(kept[1])


def _joined(sets: Sequence[Values], pairs: bool) -> Values:
    if not pairs:
        return np.concatenate(sets)
    lengths = [len(each) for each in sets]
    if len(lengths) != 2 or lengths[0] != lengths[1]:
        raise MethodError(
            f"halves of pairs of {' and '.join(map(str, lengths))} examples",
            hint="the direction was found on pairs: Followed(direction, first_halves, second_halves)",
        )
    return np.stack(sets, axis=1)


def _check_found(direction: Direction, here: Values, there: Values) -> None:
    found = direction.examples.values
    if here.shape[-1] != found.shape[-1]:
        raise MethodError(
            f"the direction has {found.shape[-1]} dimensions, and {direction.site} {here.shape[-1]}",
            hint="a direction that was found in the earlier of the two checkpoints",
        )
    if there.shape != here.shape:
        raise MethodError(
            f"{direction.site} has {here.shape[-1]} dimensions before and {there.shape[-1]} after",
            hint="two checkpoints of one model",
        )
    if here.shape != found.shape:
        raise MethodError(
            f"{len(here)} examples, and the direction was found on {len(found)}",
            hint="the very inputs that direction(...) was given, in the same order; direction.on(...) takes others",
        )
    off = np.linalg.norm(here.astype(np.float64) - found) / np.linalg.norm(found.astype(np.float64))
    if not off <= _NEAR:
        raise MethodError(
            f"{direction.site} differs by {off:.1%} from what the direction was found on",
            hint="a direction of the earlier checkpoint, and the very inputs that direction(...) was given; "
            "direction.on(...) takes others",
        )
