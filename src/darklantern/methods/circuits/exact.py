"""Edge scores by doing it: what the metric loses where one receiver hears one sender as in the corrupt run."""

import numpy as np

from darklantern.methods.circuits.contrasts import Contrast, ends
from darklantern.methods.circuits.saying import Scored
from darklantern.methods.metrics import number
from darklantern.methods.patching.held import held, seen
from darklantern.methods.patching.naming import Pinned
from darklantern.methods.patching.paths import heard_from
from darklantern.methods.patching.wiring import Wiring
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model
from darklantern.models.shim import without_gradients


def patched(model: Model, wiring: Wiring, contrast: Contrast, idle: bool = False) -> Scored:
    """Of all edges, each in a run of its own, and a partial run for each sender and part besides."""
    with without_gradients():
        table = np.zeros((len(wiring.senders), len(wiring.receivers)))
        here, other = held(model, contrast.clean, wiring, table.size), model.record(contrast.corrupt, *seen(wiring))
        metric = contrast.bound(model)
        high, low = ends(model, contrast, other.output, number(metric, here.plain.output), idle)
        for row, sender in enumerate(tracked(wiring.senders, "senders", len(wiring.senders))):
            reads = [column for column, each in enumerate(wiring.receivers) if sender in wiring.upstream(each)]
            outputs = heard_from(here, other, Pinned(sender), [Pinned(wiring.receivers[column]) for column in reads])
            for column, output in zip(reads, outputs, strict=True):
                table[row, column] = high - number(metric, output)
    return table, high, low
