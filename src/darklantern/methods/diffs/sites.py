"""Two checkpoints run on the same data, and what they hold at each site compared."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from darklantern.errors import MethodError, SiteError
from darklantern.methods.diffs.changes import SiteDiff
from darklantern.methods.diffs.holding import Held, Keys
from darklantern.methods.diffs.outputs import Outputs
from darklantern.methods.making import Making
from darklantern.methods.progress import tracked
from darklantern.methods.repeating import check_repeats
from darklantern.models.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.sites import Site

USUAL = ("layers.*:out", "layers.*.attn:z", "layers.*.attn:pattern", "layers.*.mlp:neurons")
"""what is compared unless sites are given, as far as both models have it"""


class Sites(NamedTuple):
    """What was found at the sites, and of the outputs."""

    changes: tuple[SiteDiff, ...]
    rows: int
    """sampled at each site"""
    outputs: Outputs


def compared(
    before: Model,
    after: Model,
    data: Any,
    asked: Sequence[str | Site],
    rows: int,
    count: int,
    seed: int,
    under_way: Making,
) -> Sites:
    """See `diff`, which says what is promised."""
    asked = asked or _usual(before, after)
    rng = np.random.default_rng(seed)
    held: dict[Site, Held] = {}
    outputs = Outputs()
    for inputs in tracked(_batches(data), "comparing"):
        under_way.saw(inputs)
        one, two = before.record(inputs, *asked), after.record(inputs, *asked)
        _check_alike(one, two)
        if not held:
            for model, recording in ((before, one), (after, two)):
                check_repeats(model, inputs, recording.output)
        keys: Keys = {}
        for site in one.sites:
            held.setdefault(site, Held(site, rows)).add(one[site], two[site], rng, keys)
        outputs.add(inputs, one.output, two.output)
    if not held:
        raise MethodError("there was no data to compare on", hint="a list of at least one batch")
    sampled = max(len(each.sample.keys) for each in held.values())
    return Sites(tuple(each.change(count) for each in held.values()), sampled, outputs)


def _batches(data: Any) -> Iterable[Any]:
    """Inputs as one batch of a stream; an iterator, or a list of what are no texts and numbers, as it is."""
    if isinstance(data, Iterator):
        return data
    if isinstance(data, list) and data and not isinstance(data[0], str | int | float):
        return data
    return [data]


def _usual(before: Model, after: Model) -> list[str]:
    found = [pattern for pattern in USUAL if all(_has(each, pattern) for each in (before, after))]
    if not found:
        raise MethodError(
            "neither blocks nor attention are known in both models, so which sites?",
            hint='sites=["**:out"]; model.tree() shows what there is',
        )
    return found


def _has(model: Model, pattern: str) -> bool:
    try:
        return bool(model.sites(pattern))
    except SiteError:
        return False


def _check_alike(before: Recording, after: Recording) -> None:
    if before.sites != after.sites:
        odd = next(iter(set(before.sites) ^ set(after.sites)))
        raise MethodError(
            f"{odd} is in one of both models alone", hint="two checkpoints of one model, or sites of both"
        )
    for site in before.sites:
        if before[site].shape != after[site].shape:
            raise MethodError(
                f"{site} has shape {before[site].shape} before and {after[site].shape} after",
                hint="two checkpoints of one model",
            )
