"""What an attribution estimates, found by running: each cell changed by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.aligned import is_stream, pairs
from darklantern.methods.attribution.asking import examples
from darklantern.methods.making import Making
from darklantern.methods.metrics import bound, number
from darklantern.methods.patching.suffixes import Suffixes
from darklantern.methods.progress import tracked
from darklantern.models.edits import take, zero
from darklantern.models.opened import Model
from darklantern.models.sites import Site


@dataclass(frozen=True, eq=False)
class Question:
    """What was asked: of which model, on which inputs, by which metric."""

    model: Model
    clean: Any
    corrupt: Any
    metric: Any

    def effects(self, cells: Sequence[Site], under_way: Making) -> NDArray[np.float64]:
        """What the clean value at each cell adds to the metric, over the corrupt one or over zero.

        A run for each cell and batch, from its own block on where the model can start there.
        """
        if is_stream(self.clean) and iter(self.clean) is self.clean:
            raise MethodError("the inputs were an iterator, which is used up", hint="hand a list of batches")
        total, count = np.zeros(len(cells)), 0
        for clean, corrupt in pairs(self.model, self.clean, self.corrupt):
            under_way.saw(clean, *([] if corrupt is None else [corrupt]))
            changes, size = self._changes(clean, corrupt, cells)
            total, count = total + changes * size, count + size
        return total / count

    def _changes(self, clean: Any, corrupt: Any, cells: Sequence[Site]) -> tuple[NDArray[np.float64], int]:
        """Of one batch; and how many examples it has."""
        base = clean if corrupt is None else corrupt
        wholes = tuple(dict.fromkeys(cell.whole for cell in cells))
        suffixes = Suffixes(self.model, base, wholes)
        source = self.model.record(clean, *dict.fromkeys([*wholes, *suffixes.besides]))
        measured = bound(self.metric, self.model, base)
        before = number(measured, source.output if corrupt is None else self.model.run(base))
        after = []
        for cell in tracked(cells, "patching", len(cells)):
            start, place = suffixes.start(cell, source)
            edit = zero() if corrupt is None else take(source)
            after.append(number(measured, self.model.run(start, {place: edit})))
        changes = np.array(after) - before
        return (-changes if corrupt is None else changes), examples(source)
