"""How attentions make queries, keys and values of the stream: a norm, and a linear map that a few runs show.

A gradient at the stream is a sum over all that reads there. To tell one head's keys from the rest, the gradient at its
keys is carried back through that map alone. The map is read off once for a model, so that scores cost no more passes
than attribution patching does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.patching.tracing import is_there, rounding
from darklantern.methods.patching.wiring import PORTS, Part, Wiring
from darklantern.models.arithmetic import by_name
from darklantern.models.edits import put
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import backend_of, namespace
from darklantern.models.sites import Site

_OFF = 1e-3
"""share by which a sum over heads may differ from the whole gradient, before the map is said not to be linear"""


@dataclass(frozen=True)
class Reading:
    """One attention's: port = matrix · (stream, centred or not) / scale + bias."""

    ports: Mapping[str, Site]
    """where the map's values are: before rotation, where there is one"""
    matrices: Mapping[str, Any]
    """(dim, head, wide)"""
    scale: Site | None
    """what the norm divides by; None without a norm"""
    centred: bool

    def back(self, gradients: Recording, stream: Any, scale: Any, frozen: bool) -> dict[str, Any]:
        """Of each port, the gradient at the stream by each head alone, (batch, pos, head, dim).

        `stream` and `scale` are those of the run, (batch, pos, dim); `frozen` takes the scale for constant.
        """
        return {port: self.port_back(port, gradients, stream, scale, frozen) for port in self.ports}

    def port_back(self, port: str, gradients: Recording, stream: Any, scale: Any, frozen: bool) -> Any:
        """As `back`, of one port."""
        at_port = ordered(gradients[self.ports[port]], "batch", "pos", "head", "dim")
        return self._through(at_port, self.matrices[port], stream, scale, frozen)

    def _through(self, at_port: Any, matrix: Any, stream: Any, scale: Any, frozen: bool) -> Any:
        back = backend_of(at_port).einsum("bphe,dhe->bphd", at_port, matrix)
        if scale is None:
            return back
        scale = namespace(stream).astype(scale, stream.dtype)  # norms may compute it in float32
        back = back / scale[:, :, None]
        if frozen:
            return back
        # The scale is the root of a mean of squares, so its own gradient is the centred stream over dim times scale.
        xp = namespace(stream)
        off = stream - xp.mean(stream, axis=-1, keepdims=True) if self.centred else stream
        along = xp.sum(back * stream[:, :, None], axis=-1, keepdims=True) / scale[:, :, None]
        return back - along * (off / (stream.shape[-1] * scale))[:, :, None]


def readings(model: Model, inputs: Any, wiring: Wiring) -> dict[int, Reading]:
    """Those of all attentions, by their place among the parts.

    Costs a run on `inputs`, and as many runs as it takes for dim + 1 positions, of all examples together.
    """
    attentions = {number: part for number, part in enumerate(wiring.parts) if part.heads}
    if not attentions:
        return {}
    ports = {number: _ports(model, part) for number, part in attentions.items()}
    scales = {number: _scale(model, part) for number, part in attentions.items()}
    asked = [site for each in ports.values() for site in each.values()]
    matrices = _read_off(model, inputs, attentions, scales, asked)
    return {
        number: Reading(
            ports[number],
            {port: matrices[site] for port, site in ports[number].items()},
            scales[number],
            all(_ignores_mean(matrices[site]) for site in ports[number].values()),
        )
        for number in attentions
    }


def _read_off(
    model: Model, inputs: Any, attentions: Mapping[int, Part], scales: Mapping[int, Site | None], asked: Sequence[Site]
) -> dict[Site, Any]:
    """Each map as a matrix: what it makes of each unit vector, without what it makes of nothing."""
    plain = model.record(inputs, *(part.entrance for part in attentions.values()), stop=True)
    value = plain[next(iter(attentions.values())).entrance]
    batch, pos, dim = (value.shape[value.axes.index(axis)] for axis in ("batch", "pos", "dim"))
    cells, rows = batch * pos, dict[Site, list[Any]]({site: [] for site in asked})
    for first in range(0, dim + 1, cells):
        units = np.eye(cells, dim, first - 1).reshape(batch, pos, dim)  # the row before the first unit is 0
        edits = _probing(attentions, scales, plain, units)
        found = model.record(inputs, *asked, edits=edits, stop=True)
        for site in asked:
            shown = ordered(found[site], "batch", "pos", "head", "dim")
            rows[site].append(shown.reshape(cells, *shown.shape[2:]))
    return {site: _matrix(each, dim) for site, each in rows.items()}


def ordered(value: Value, *axes: str) -> Any:
    """Its array, with axes in this order."""
    return by_name(value.array, value.axes, axes)


def check_linear(site: Site, shares: Any, whole: Any) -> None:
    """Raises MethodError where the gradients that maps give at `site` do not add up to the `whole` one there."""
    xp = namespace(whole)
    off, size = (float(xp.sum(each * each)) ** 0.5 for each in (shares - whole, whole))
    if off > max(_OFF, rounding(whole)) * max(size, 1e-12):
        raise MethodError(
            f"queries, keys and values behind {site} are not a norm and a linear map of the stream",
            hint='as where q and k have norms of their own; how="exact" asks nothing of them',
        )


def _matrix(rows: Sequence[Any], dim: int) -> Any:
    xp = namespace(rows[0])
    every = xp.concat(list(rows), axis=0)
    return every[1 : dim + 1] - every[:1]


def _ignores_mean(matrix: Any) -> bool:
    xp = namespace(matrix)
    summed, size = (float(xp.sum(each * each)) ** 0.5 for each in (xp.sum(matrix, axis=0), matrix))
    return summed <= 1e-3 * size


def _probing(
    attentions: Mapping[int, Part], scales: Mapping[int, Site | None], plain: Recording, units: Any
) -> dict[str | Site, Any]:
    edits: dict[str | Site, Any] = {}
    for number, part in attentions.items():
        whole = plain[part.entrance]
        like = backend_of(whole.array).like(namespace(whole.array).asarray(units), whole.array)
        edits[part.entrance] = put(Value(part.entrance, by_name(like, ("batch", "pos", "dim"), whole.axes), whole.axes))
        scale = scales[number]
        if scale is not None:
            edits[scale] = put(1.0)
    return edits


def _ports(model: Model, part: Part) -> dict[str, Site]:
    """Where queries, keys and values are a linear map's: before rotary embedding."""
    made = {}
    for port in PORTS:
        tried = (Site(part.path, f"{port}_pre"), Site(part.path, port))
        made[port] = next(site for site in tried if is_there(model, site))
    return made


def _scale(model: Model, part: Part) -> Site | None:
    site = Site(part.entrance.path, "scale")
    return site if part.entrance.path != part.path and is_there(model, site) else None
