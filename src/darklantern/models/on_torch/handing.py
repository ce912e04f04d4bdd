"""Whether a block's output is the next block's input and nothing else's, so that a change of one changes the other."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from darklantern.models.edits import Edit, add, scale
from darklantern.models.on_torch.structure import alike
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site

if TYPE_CHECKING:
    from darklantern.models.on_torch.opened import Model


def handed_on(model: "Model", inputs: Any, recording: Recording, pairs: Mapping[Site, Site]) -> dict[Site, Site]:
    """Those of `pairs` that hold the same bits, if a change of all outputs does what one of all entrances does.

    It does not where others read an output too, as skip connections and feature layers do. All blocks are tried out
    together, in two runs. Each value is changed, not replaced: a replaced one would hide what a block after a reader
    makes of it.
    """
    same = {site: after for site, after in pairs.items() if alike(recording[site].array, recording[after].array)}
    if not same:
        return same
    changes = [_change(recording[site], number) for number, site in enumerate(same)]
    try:
        one, other = (_under(model, inputs, places, changes) for places in (same.keys(), same.values()))
        return same if alike(one, other) else {}
    except Exception:  # noqa: BLE001 - whatever a model raises on values not its own: then no shortcut is known
        return {}


def _under(model: "Model", inputs: Any, places: Iterable[Site], changes: Iterable[list[Edit]]) -> Any:
    return model.run(inputs, dict(zip(places, changes, strict=True)))


def _change(value: Value, seed: int) -> list[Edit]:
    """Each dimension of a value stretched and moved by numbers of its own, about as large as the value is."""
    random, size = np.random.default_rng(seed), float(value.array.abs().mean())
    factor, shift = (random.uniform(low, low + 1, value.shape[-1]) for low in (0.5, -0.5))
    return [scale(factor), add(shift * (size or 1.0))]
