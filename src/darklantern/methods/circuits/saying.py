"""What senders say differently in the clean run, and what gradients at receivers make of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.circuits.reading import ordered
from darklantern.methods.patching.wiring import Wiring
from darklantern.models.recording import Recording
from darklantern.models.shim import backend_of, namespace, numbers

Scored = tuple[NDArray[np.float64], float, float]
"""scores (sender, receiver), the clean metric, the corrupt one"""


def steps_said(wiring: Wiring, clean: Recording, corrupt: Recording) -> Any:
    """From the corrupt run to the clean one, what each sender adds to the stream: (batch, pos, sender, dim)."""
    steps = [ordered(clean[wiring.start] - corrupt[wiring.start], "batch", "pos", "dim")[:, :, None]]
    for part in wiring.parts:
        step = clean[part.writes] - corrupt[part.writes]
        axes = ("batch", "pos", "head", "dim") if part.heads else ("batch", "pos", "dim")
        steps.append(ordered(step, *axes) if part.heads else ordered(step, *axes)[:, :, None])
    return namespace(steps[0]).concat(steps, axis=2)


def products(wiring: Wiring, said: Any, at_inputs: Any, before: int) -> NDArray[np.float64]:
    """(sender, receiver): of all pairs, step · gradient at the input (batch, pos, receiver, dim), summed over both.

    0 for senders that come after the first `before` parts.
    """
    here = [row for row, sender in enumerate(wiring.senders) if sender.part < before]
    made = np.zeros((len(wiring.senders), at_inputs.shape[2]))
    found = backend_of(said).einsum("bpsd,bprd->sr", said[:, :, : len(here)], at_inputs)
    made[: len(here)] = numbers(found)
    return made
