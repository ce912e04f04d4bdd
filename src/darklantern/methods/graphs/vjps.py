"""Effects on targets by the model's own backward pass: right for whatever model can be frozen, and slow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from darklantern.methods.graphs.nodes import Ints, Numbers
from darklantern.methods.graphs.prompts import Prompt
from darklantern.methods.graphs.replacing import Replacement, ordered
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site, parse

EMBEDDING = "layers.0:in"


@dataclass(frozen=True, eq=False)
class Targets:
    """Numbers that stand at one site: inner products of what is there at a position with a vector."""

    site: str
    layer: int
    """how many layers write before it"""
    positions: Ints
    """(target,)"""
    vectors: Numbers
    """(target, …) of the site's axes but batch and pos"""


Gradient = tuple[int, Numbers]
"""a layer, -1 for the embedding, and the targets' gradient where its MLP writes: (pos, target, dim)"""


class Way(Protocol):
    """How targets' gradients are found."""

    @property
    def says(self) -> str:
        """It in a few words."""
        ...

    def gradients(self, targets: Targets) -> Iterator[Gradient]:
        """From the last layer that writes before the targets down to the embedding.

        Positions may end at the last that counts.
        """
        ...


@dataclass(frozen=True, eq=False)
class ByVjp:
    """One backward pass for `at_once` targets, each in a copy of the prompt."""

    replacement: Replacement
    at_once: int = 32
    says: str = "by backward passes"

    def gradients(self, targets: Targets) -> Iterator[Gradient]:
        """See `Way`. A skip connection costs another pass for each layer that has one."""
        return self.together([targets])

    def together(self, several: Sequence[Targets]) -> Iterator[Gradient]:
        """The same of targets at different sites, one after the other."""
        one, last = self.replacement, max(each.layer for each in several)
        sites = {layer: EMBEDDING if layer < 0 else one.write(layer) for layer in range(-1, last)}
        found = self._back([{each.site: cotangents(one, each)} for each in several], sites)
        for layer in range(last - 1, -2, -1):
            yield layer, np.moveaxis(found[layer], 0, 1)
            skip = one.transcoders[layer].W_skip if layer in one.transcoders else None
            if skip is not None:
                below = {lower: site for lower, site in sites.items() if lower < layer}
                for lower, more in self._back([{one.read(layer): found[layer] @ skip}], below).items():
                    found[lower] = found[lower] + more

    def _back(self, given: Sequence[Mapping[str, Numbers]], sites: Mapping[int, str]) -> dict[int, Numbers]:
        """Of several (target, pos, …) at some sites, the gradients of all targets at `sites`, (target, pos, dim)."""
        one = self.replacement
        probes = [Probe(rows, tuple(sites.values())) for rows in given]
        found = carried(one.frozen, one.prompt, probes, self.at_once)
        return {layer: np.concatenate([each[name] for each in found]) for layer, name in sites.items()}


def cotangents(replacement: Replacement, targets: Targets) -> Numbers:
    """Each target's vector at its position, (target, pos, …)."""
    count, trailing = len(targets.positions), targets.vectors.shape[1:]
    made = np.zeros((count, replacement.positions, *trailing), replacement.embedding.dtype)
    made[np.arange(count), targets.positions] = targets.vectors
    return made


@dataclass(frozen=True, eq=False)
class Probe:
    """Cotangents in rows of their own, and the sites that they are carried back to."""

    rows: Mapping[str, Numbers]
    """by site, (row, pos, …), as many rows at each"""
    before: Sequence[str]

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))


def carried(model: Model, prompt: Prompt, probes: Sequence[Probe], at_once: int) -> list[dict[str, Numbers]]:
    """What each probe's rows become at each of its sites, (row, pos, dim), with `at_once` rows in a batch.

    All batches have one size, so that JAX compiles no more often than there are kinds of them.
    """
    total = sum(map(len, probes))
    size = min(at_once, total)
    inputs = prompt.tiled(size)
    made: list[dict[str, list[Numbers]]] = [{name: [] for name in each.before} for each in probes]
    for start in range(0, total, size):
        given: dict[str, Numbers] = {}
        within = list(_within(probes, start, size))
        for number, own, there in within:
            for site, rows in probes[number].rows.items():
                given.setdefault(site, np.zeros((size, *rows.shape[1:]), rows.dtype))[there] = rows[own]
        asked = dict.fromkeys(name for number, _, _ in within for name in probes[number].before)
        named: dict[str | Site, Any] = {site: _named(site, rows) for site, rows in given.items()}
        gradients = model.vjp(inputs, named, *asked).gradients
        for number, _, there in within:
            for name, parts in made[number].items():
                parts.append(_flat(gradients, name)[there].copy())
    return [{name: np.concatenate(parts) for name, parts in each.items()} for each in made]


def _within(probes: Sequence[Probe], start: int, size: int) -> Iterator[tuple[int, slice, slice]]:
    """The probes that have rows in a batch: their numbers, which rows, and where those stand in the batch."""
    first = 0
    for number, each in enumerate(probes):
        low, high = max(start, first), min(start + size, first + len(each))
        if low < high:
            yield number, slice(low - first, high - first), slice(low - start, high - start)
        first += len(each)


def _named(site: str, rows: Numbers) -> Value:
    """With the names of its axes, by which an engine that has them in another order puts them."""
    return Value(parse(site), rows, axes_of(rows.ndim))


def _flat(gradients: Recording, site: str) -> Numbers:
    """(example, pos, head and dim as one)."""
    value = gradients[site]
    rows = ordered(value, *axes_of(len(value.axes)))
    return rows.reshape(*rows.shape[:2], -1)


def axes_of(count: int) -> tuple[str, ...]:
    """The axes of a value of so many, in the order in which they are kept here."""
    return ("batch", "pos", "dim") if count == 3 else ("batch", "pos", "head", "dim")
