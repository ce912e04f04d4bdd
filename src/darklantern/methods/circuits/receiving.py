"""Edge scores on a way of each receiver's own: its input alone goes from the corrupt run's to the clean one's.

A patched edge changes one receiver's input and nothing else, so that is where its gradient belongs. On the way that
all inputs go together a receiver's gradient is that of a run in which all others have changed as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.circuits.contrasts import Contrast, ends
from darklantern.methods.circuits.reading import Reading, check_linear, ordered, readings
from darklantern.methods.circuits.saying import Scored, products, steps_said
from darklantern.methods.metrics import number
from darklantern.methods.patching.held import Held, held, seen
from darklantern.methods.patching.wiring import PORTS, Part, Wiring
from darklantern.models.edits import put
from darklantern.models.opened import Edits, Model
from darklantern.models.recording import Recording
from darklantern.models.shim import namespace, without_gradients
from darklantern.models.sites import Site


@dataclass(frozen=True)
class Receiving:
    """Scores by gradients, one port of an attention, one MLP, the logits at a time."""

    model: Model
    wiring: Wiring
    readings: dict[int, Reading]
    steps: int
    """points on each way"""
    idle: bool = False
    """whether the model may be without the behaviour"""

    def score(self, contrast: Contrast) -> Scored:
        """Costs `steps` gradients for each port, MLP and the logits, each from its own block on, and a few runs."""
        metric, ways = contrast.bound(self.model), list(self._ways())
        inner = [site for part in self.wiring.parts for site in part.inner]
        with without_gradients():
            clean = self.model.record(contrast.clean, *dict.fromkeys([*seen(self.wiring), *inner]))
            corrupt = self.model.record(contrast.corrupt, *seen(self.wiring))
            on_clean = held(self.model, contrast.clean, self.wiring, len(ways) * self.steps)
            said = steps_said(self.wiring, clean, corrupt)
        high, low = ends(self.model, contrast, corrupt.output, number(metric, clean.output), self.idle)
        columns = [self._along(way, on_clean, metric, clean, corrupt, said) for way in ways]
        return np.concatenate(columns, axis=1), high, low

    def _ways(self) -> Iterator["_Way"]:
        """In the order of the wiring's receivers."""
        for place, part in enumerate(self.wiring.parts):
            for port in PORTS if part.heads else ("",):
                yield _Way(part.entrance, part.before, part, place, port)
        yield _Way(self.wiring.end, len(self.wiring.parts))

    def _along(
        self, way: "_Way", on_clean: Held, metric: Any, clean: Recording, corrupt: Recording, said: Any
    ) -> NDArray[np.float64]:
        """(sender, receiver of this way): the products with the gradient's mean over points of Gauss and Legendre."""
        points, weights = np.polynomial.legendre.leggauss(self.steps)
        here, step = corrupt[way.entrance], clean[way.entrance] - corrupt[way.entrance]
        others: Edits = {site: put(clean[site]) for site in self._others(way)}
        part = way.part or self.wiring.parts[-1]
        summed: Any = 0
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            edits = {**others, way.entrance: put(here + step * float(point))}
            found = on_clean.gradient(part, metric, *self._asked(way), edits=edits)
            with without_gradients():
                summed = summed + float(weight) * self._at_inputs(way, found.gradients, found.values)
        return products(self.wiring, said, summed, way.before)

    def _others(self, way: "_Way") -> list[Site]:
        """What else is made of what goes in at the entrance, which stays as it is in the clean run."""
        sharing = (part for part in self.wiring.parts if part.entrance == way.entrance)
        return [site for part in sharing for site in part.inner if site not in way.heard]

    def _asked(self, way: "_Way") -> list[Site]:
        if not way.port:
            return [way.entrance]
        reading = self.readings[way.place]
        return [site for site in (way.entrance, reading.ports[way.port], reading.scale) if site]

    def _at_inputs(self, way: "_Way", gradients: Recording, values: Recording) -> Any:
        """(batch, pos, receiver, dim): of a port head by head, through its map, which no other goes through."""
        whole = ordered(gradients[way.entrance], "batch", "pos", "dim")
        if not way.port:
            return whole[:, :, None]
        reading = self.readings[way.place]
        stream = ordered(values[way.entrance], "batch", "pos", "dim")
        scale = None if reading.scale is None else ordered(values[reading.scale], "batch", "pos", "dim")
        by_head = reading.port_back(way.port, gradients, stream, scale, frozen=False)
        check_linear(way.entrance, namespace(by_head).sum(by_head, axis=2), whole)
        return by_head


@dataclass(frozen=True)
class _Way:
    """One reader, and where its input is."""

    entrance: Site
    before: int
    part: Part | None = None
    """none for the logits"""
    place: int = 0
    port: str = ""

    @property
    def heard(self) -> tuple[Site, ...]:
        """What is made of the input that moves."""
        if self.part is None:
            return ()
        return (Site(self.part.path, self.port),) if self.port else self.part.inner


@without_gradients()
def receiving(model: Model, contrast: Contrast, wiring: Wiring, steps: int, idle: bool = False) -> Receiving:
    """What scores so. Reads the attentions' maps off in a few runs on `contrast`."""
    return Receiving(model, wiring, readings(model, contrast.clean, wiring), steps, idle)
