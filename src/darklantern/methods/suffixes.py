"""Where a run with one site changed may begin: what comes before the change is the same in all of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from darklantern.models.on_torch.opened import Model
from darklantern.models.on_torch.starting import Start
from darklantern.models.on_torch.structure import alike, tensors
from darklantern.models.recording import Recording
from darklantern.models.sites import Site


class Suffixes:
    """Starts into one model on one input, for sites where something will be changed."""

    def __init__(self, model: Model, inputs: Any, wanted: Sequence[Site]) -> None:
        self._model, self._inputs = model, inputs
        self._after = {site.whole: after for site in wanted if (after := _following(model, site)) is not None}
        blocks = {model.block_of(site) for site in wanted} | {after.path for after in self._after.values()}
        named = sorted(block for block in blocks if block is not None)
        found = dict(zip(named, model.starts(inputs, *named), strict=True)) if named else {}
        # Nothing says that a start gives the full run where the output shows no tensor to compare.
        self._starts = {
            block: each
            for block, each in found.items()
            if isinstance(each, Start) and any(True for _ in tensors(each.output))
        }
        self._shortcuts: dict[Site, Site] | None = None

    @property
    def besides(self) -> list[Site]:
        """What to record besides: the entrance of the block after each block whose output is wanted."""
        return list(self._after.values())

    def start(self, site: Site, recording: Recording) -> tuple[Any, Site]:
        """What to run in place of the inputs, and the site that stands for `site` then.

        A block's output is the next one's input, where that was tried out. A model that cannot start at a block is run
        whole.
        """
        if self._shortcuts is None:
            self._shortcuts = self._found(recording)
        after = self._shortcuts.get(site.whole)
        if after is not None:
            return self._starts[after.path], replace(after, select=site.select)
        return self._starts.get(self._model.block_of(site) or "", self._inputs), site

    def _found(self, recording: Recording) -> dict[Site, Site]:
        """The blocks' outputs for which the next block's input stands."""
        same = {
            site: after
            for site, after in self._after.items()
            if after.path in self._starts and alike(recording[site].array, recording[after].array)
        }
        return same if same and self._read_by_the_next_block_alone(same) else {}

    def _read_by_the_next_block_alone(self, pairs: dict[Site, Site]) -> bool:
        """Whether a change of blocks' outputs does what the same change of the next blocks' inputs does, to the bit.

        It does not where others read an output too, as skip connections and feature layers do. All blocks are tried out
        together, in two runs. Each value is changed, not replaced: a replaced one would hide what a block after a
        reader makes of it.
        """
        try:
            return alike(self._under_changes(pairs.keys()), self._under_changes(pairs.values()))
        except Exception:  # noqa: BLE001 - whatever a model raises on values not its own: then no shortcut is known
            return False

    def _under_changes(self, places: Iterable[Site]) -> Any:
        changes: dict[str | Site, Callable[[Any], Any]]
        changes = {place: partial(_changed, seed=number) for number, place in enumerate(places)}
        return self._model.run(self._inputs, changes)


def _changed(value: Any, seed: int) -> Any:
    """Each dimension of `value` stretched and moved by numbers of its own, about as large as the value is."""
    random, size = np.random.default_rng(seed), value.abs().mean()
    factor, shift = (value.new_tensor(random.uniform(low, low + 1, value.shape[-1])) for low in (0.5, -0.5))
    return value * factor + shift * (size + (size == 0))


def _following(model: Model, site: Site) -> Site | None:
    """The entrance of the next block, for a block's output."""
    block = model.block_of(site)
    # Another member, or one of several calls, is not what the next block is given.
    if block is None or block != site.path or site.port != "out" or site.member or site.call is not None:
        return None
    stack, _, number = block.rpartition(".")
    following = f"{stack}.{int(number) + 1}"
    return Site(following, "in") if model.has(following) else None
