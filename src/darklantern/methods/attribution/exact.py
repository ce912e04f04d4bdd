"""What a change of one part really does: a run with it, from the part's own block on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.metrics import Metric, bound, number
from darklantern.methods.patching.suffixes import Suffixes
from darklantern.methods.progress import tracked
from darklantern.models.edits import take, zero
from darklantern.models.opened import Model
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site


@dataclass(frozen=True)
class Exact:
    """The inputs of an attribution, to patch one part after the other on."""

    model: Model = field(repr=False)
    clean: Any
    corrupt: Any
    """None where parts were held against 0"""
    metric: Metric

    def effects(self, parts: Sequence[Site]) -> NDArray[np.float64]:
        """What the metric gains by each: from the corrupt inputs by the part of the clean ones, or from it ablated."""
        base = self.clean if self.corrupt is None else self.corrupt
        metric = bound(self.metric, self.model, base)
        wholes = tuple(dict.fromkeys(part.whole for part in parts))
        with without_gradients():
            suffixes = Suffixes(self.model, base, wholes)
            recorded = dict.fromkeys([*wholes, *suffixes.besides])
            source = self.model.record(self.clean, *recorded)
            before = number(metric, source.output if self.corrupt is None else self.model.run(base))
            found = []
            for part in tracked(parts, "exact patches", len(parts)):
                start, place = suffixes.start(part, source)
                edit = zero() if self.corrupt is None else take(source)
                after = number(metric, self.model.run(start, {place: edit}))
                found.append(before - after if self.corrupt is None else after - before)
        return np.array(found)
