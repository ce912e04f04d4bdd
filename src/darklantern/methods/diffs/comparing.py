"""Run two checkpoints on the same data and compare what they hold."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError, SiteError
from darklantern.methods.diffs.changes import Diff
from darklantern.methods.diffs.holding import Held, Keys
from darklantern.methods.diffs.outputs import Outputs
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site

Floats = NDArray[np.float64]
USUAL = ("layers.*:out", "layers.*.attn:z", "layers.*.attn:pattern", "layers.*.mlp:neurons")
"""what is compared unless sites are given, as far as both models have it"""


def diff(
    before: Model,
    after: Model,
    data: Any,
    sites: Sequence[str | Site] = (),
    rows: int = 2048,
    count: int = 4,
    seed: int = 0,
) -> Diff:
    """What changed inside a model from `before` to `after`, two checkpoints, on the same data.

    `data` are inputs, or an iterable of them, which is streamed. `sites` are those of both; unless given, all blocks'
    outputs, attention's z and patterns, and MLP neurons, as far as they are there. Of each: how far it moved, of its
    size before, by unit too (head, neuron, channel); CKA, which sees no turning and scaling; and the `count`
    directions along which it moved most. Of outputs that are logits: KL and how often both name the same first.

    Drift is exact over all data. CKA and directions are of `rows` positions, drawn at random by `seed`, the same at
    every site and in both models. Costs a forward run of each model for each batch, and memory for a recording of each.

    Raises MethodError where both do not fit together, and where there is nothing to compare.
    """
    for each in (before, after):
        check_opened(each)
    _check_two(before, after)
    asked = sites or _usual(before, after)
    rng = np.random.default_rng(seed)
    with without_gradients(), making("diff", before, seed) as under_way:
        later = after.hash_later()
        held: dict[Site, Held] = {}
        outputs = Outputs()
        for inputs in tracked(_batches(data), "comparing"):
            under_way.saw(inputs)
            one, two = before.record(inputs, *asked), after.record(inputs, *asked)
            _check_alike(one, two)
            keys: Keys = {}
            for site in one.sites:
                held.setdefault(site, Held(site, rows)).add(one[site], two[site], rng, keys)
            outputs.add(inputs, one.output, two.output)
        if not held:
            raise MethodError("there was no data to compare on", hint="a list of at least one batch")
        changes = tuple(each.change(count) for each in held.values())
    sampled = max(len(each.sample.keys) for each in held.values())
    return Diff(changes=changes, rows=sampled, kl=outputs.kl, agreement=outputs.agreement, later=later,
                made=under_way.made())  # fmt: skip


def _check_two(before: Model, after: Model) -> None:
    one, two = (getattr(each, "module", None) for each in (before, after))
    if before.framework == "torch" and one is two and before.standing == after.standing:
        raise MethodError(
            "before and after are one module, with the weights that it has now",
            hint="copy.deepcopy(module) before it is trained on, or load each checkpoint into a module of its own",
        )


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
