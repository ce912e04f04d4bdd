"""Edge scores from a few gradients: all receivers' at once, in the clean run or on the way to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.circuits.contrasts import Contrast, ends
from darklantern.methods.circuits.reading import Reading, check_linear, ordered, readings
from darklantern.methods.circuits.saying import Scored, products, steps_said
from darklantern.methods.linearising import linearise
from darklantern.methods.metrics import number
from darklantern.methods.patching.held import seen
from darklantern.methods.patching.tracing import is_there
from darklantern.methods.patching.wiring import PORTS, Wiring
from darklantern.models.edits import put
from darklantern.models.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.shim import namespace, numbers, without_gradients
from darklantern.models.sites import Site

_FROZEN = ("attention", "norm", "activation")
_OFF = 1e-3
"""share by which a sum over heads may differ from the whole gradient, before the map is said not to be linear"""


@dataclass(frozen=True)
class Attribution:
    """Scores by gradients: in the clean run, or on the way from the corrupt to the clean one."""

    model: Model
    """whose gradients are taken"""
    wiring: Wiring
    readings: dict[int, Reading]
    frozen: bool
    """norms divide by constants"""
    steps: int = 0
    """points on the way; 0 for the clean run alone"""
    stream: Site | None = None
    """where the embedding enters the stream, on which the way is gone"""
    idle: bool = False
    """whether the model may be without the behaviour"""

    def score(self, contrast: Contrast) -> Scored:
        """Costs a run and a gradient; with steps, two runs and as many gradients."""
        metric, ask = contrast.bound(self.model), self._asked
        with without_gradients():
            corrupt = self.model.record(contrast.corrupt, *ask)
        if self.steps:
            with without_gradients():
                clean = self.model.record(contrast.clean, *ask)
            high, low = ends(self.model, contrast, corrupt.output, number(metric, clean.output), self.idle)
            on_way = self._on_way(contrast, clean, corrupt)
        else:
            found = self.model.gradient(contrast.clean, metric, *ask)
            clean = found.values
            high, low = ends(self.model, contrast, corrupt.output, found.metric, self.idle)
            on_way = iter([(1.0, found.gradients, found.values)])
        with without_gradients():
            said = steps_said(self.wiring, clean, corrupt)
        table = np.zeros((len(self.wiring.senders), len(self.wiring.receivers)))
        for weight, gradients, values in on_way:
            table += weight * self._table(said, gradients, values)
        return table, high, low

    @property
    def _asked(self) -> list[Site]:
        inner = [site for each in self.readings.values() for site in (*each.ports.values(), each.scale) if site]
        return list(dict.fromkeys([*seen(self.wiring), *inner, *([self.stream] if self.stream else [])]))

    def _on_way(
        self, contrast: Contrast, clean: Recording, corrupt: Recording
    ) -> Iterator[tuple[float, Recording, Recording]]:
        """Gradients at the points of Gauss and Legendre, each with its weight."""
        assert self.stream is not None  # asked for together with steps
        points, weights = np.polynomial.legendre.leggauss(self.steps)
        here, step = corrupt[self.stream], clean[self.stream] - corrupt[self.stream]
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            edits: dict[str | Site, Any] = {self.stream: put(here + step * float(point))}
            found = self.model.gradient(contrast.clean, contrast.bound(self.model), *self._asked, edits=edits)
            yield float(weight), found.gradients, found.values

    @without_gradients()
    def _table(self, said: Any, gradients: Recording, values: Recording) -> NDArray[np.float64]:
        """(sender, receiver), 0 where the receiver does not read the sender."""
        columns: list[NDArray[np.float64]] = []
        shared: dict[Site, Any] = {}
        for place, part in enumerate(self.wiring.parts):
            whole = ordered(gradients[part.entrance], "batch", "pos", "dim")
            if part.heads:
                at_inputs, summed = self._by_head(place, gradients, values)
                shared[part.entrance] = shared.get(part.entrance, 0) + summed
            else:  # beside an attention that reads at the same place, the rest is the MLP's
                at_inputs = (whole - shared.get(part.entrance, 0))[:, :, None]
            columns.append(products(self.wiring, said, at_inputs, part.before))
        self._check(shared, gradients)
        at_end = ordered(gradients[self.wiring.end], "batch", "pos", "dim")[:, :, None]
        columns.append(products(self.wiring, said, at_end, len(self.wiring.parts)))
        return np.concatenate(columns, axis=1)

    def _by_head(self, place: int, gradients: Recording, values: Recording) -> tuple[Any, Any]:
        """One attention's gradients at the stream by port and head, (batch, pos, receiver, dim), and their sum."""
        reading = self.readings[place]
        stream = ordered(values[self.wiring.parts[place].entrance], "batch", "pos", "dim")
        scale = None if reading.scale is None else ordered(values[reading.scale], "batch", "pos", "dim")
        back = reading.back(gradients, stream, scale, self.frozen)
        xp = namespace(stream)
        every = xp.concat([back[port] for port in PORTS], axis=2)
        return every, xp.sum(every, axis=2)

    def _check(self, shared: dict[Site, Any], gradients: Recording) -> None:
        """Raises MethodError where heads' shares do not add up to the gradient at the stream."""
        beside = {part.entrance for part in self.wiring.parts if not part.heads}
        for site, summed in shared.items():
            if site in beside:
                continue
            check_linear(site, summed, ordered(gradients[site], "batch", "pos", "dim"))


def attribution(
    model: Model, contrast: Contrast, wiring: Wiring, how: str, steps: int, idle: bool = False
) -> Attribution:
    """What scores by `how`: eap, eap-ig or relp. Reads the attentions' maps off in a few runs on `contrast`."""
    with without_gradients():
        maps = readings(model, contrast.clean, wiring)
    if how == "relp":
        return Attribution(linearise(model, _kinds(model)), wiring, maps, frozen=True, idle=idle)
    if how == "eap":
        return Attribution(model, wiring, maps, frozen=False, idle=idle)
    return Attribution(model, wiring, maps, False, steps, _stream(model, contrast, wiring), idle)


def _kinds(model: Model) -> list[str]:
    """What there is to freeze: an attention-only model has no activation, and some have no norm."""
    ports = {site.port for site in model.sites("**:*")}
    needed = {"attention": "pattern", "norm": "scale", "activation": "post"}
    return [kind for kind in _FROZEN if needed[kind] in ports]


@without_gradients()
def _stream(model: Model, contrast: Contrast, wiring: Wiring) -> Site:
    """Where the corrupt run's embedding, put into the clean run, makes it the corrupt one."""
    block = wiring.parts[0].path.rpartition(".")[0]
    tried = [site for site in (Site(block, "in"), Site("embed", "out"), Site("", "in")) if is_there(model, site)]
    other = model.record(contrast.corrupt, *tried, wiring.end)
    for site in tried:
        if "float" not in str(other[site].array.dtype):
            continue
        found = model.record(contrast.clean, wiring.end, edits={site: put(other[site])})[wiring.end]
        off, true = (numbers(each.array) for each in (found - other[wiring.end], other[wiring.end]))
        if _norm(off) <= _OFF * _norm(true):
            return site
    raise MethodError(
        f"no site where the embedding enters the stream; tried {', '.join(map(str, tried)) or 'none'}",
        hint='name it, darklantern.tag("embed:out", x) in JAX code, or score by how="eap"',
    )


def _norm(array: NDArray[Any]) -> float:
    return float(np.linalg.norm(array))
