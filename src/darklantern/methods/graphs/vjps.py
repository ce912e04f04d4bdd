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
        given = stacked({each.site: cotangents(one, each) for each in several})
        found = self._back(given, sites)
        for layer in range(last - 1, -2, -1):
            yield layer, np.moveaxis(found[layer], 0, 1)
            skip = one.transcoders[layer].W_skip if layer in one.transcoders else None
            if skip is not None:
                below = {lower: site for lower, site in sites.items() if lower < layer}
                for lower, more in self._back({one.read(layer): found[layer] @ skip}, below).items():
                    found[lower] = found[lower] + more

    def _back(self, given: Mapping[str, Numbers], sites: Mapping[int, str]) -> dict[int, Numbers]:
        """Of (target, pos, …) at some sites, the gradients (target, pos, dim) at `sites`."""
        one = self.replacement
        found = pulled(one.frozen, one.prompt, given, tuple(sites.values()), self.at_once)
        return {layer: found[name] for layer, name in sites.items()}


def cotangents(replacement: Replacement, targets: Targets) -> Numbers:
    """Each target's vector at its position, (target, pos, …)."""
    count, trailing = len(targets.positions), targets.vectors.shape[1:]
    made = np.zeros((count, replacement.positions, *trailing), replacement.embedding.dtype)
    made[np.arange(count), targets.positions] = targets.vectors
    return made


def stacked(given: Mapping[str, Numbers]) -> dict[str, Numbers]:
    """Cotangents of several sites as rows of one batch: at each site zeros in the rows of the others."""
    count, first, made = sum(map(len, given.values())), 0, {}
    for site, rows in given.items():
        made[site] = np.zeros((count, *rows.shape[1:]), rows.dtype)
        made[site][first : first + len(rows)] = rows
        first += len(rows)
    return made


def pulled(
    model: Model, prompt: Prompt, given: Mapping[str, Numbers], sites: Sequence[str], at_once: int
) -> dict[str, Numbers]:
    """Cotangents (example, pos, …) at some sites carried back to `sites`: (example, pos, …), in batches of `at_once`.

    All batches have one size, the last one filled with zeros: JAX compiles once.
    """
    count = len(next(iter(given.values())))
    size = min(at_once, count)
    inputs = prompt.tiled(size)
    parts: dict[str, list[Numbers]] = {site: [] for site in sites}
    for first in range(0, count, size):
        rows: dict[str | Site, Any] = {
            site: _named(site, _filled(each[first : first + size], size)) for site, each in given.items()
        }
        gradients = model.vjp(inputs, rows, *sites).gradients
        for site in sites:
            parts[site].append(_flat(gradients, site)[: count - first])
    return {site: np.concatenate(each) for site, each in parts.items()}


def _filled(rows: Numbers, size: int) -> Numbers:
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])


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
