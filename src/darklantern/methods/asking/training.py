"""A small network that answers questions about vectors: trained by the backend's Adam, the same from the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.asking.fits import Numbers
from darklantern.methods.progress import tracked
from darklantern.models.shim import backend, convert, namespace, numbers

Whole = NDArray[np.int64]
HIDDEN = 32
STEPS = 400
_RATE = 1e-2
_DECAY = 1e-3
_AT_ONCE = 2048
"""examples of a step"""


@dataclass(frozen=True, eq=False)
class Net:
    """score = relu(x·inner + question) · outer + x·straight[question] + offset, of a standardised vector x."""

    inner: Numbers
    question: Numbers
    outer: Numbers
    straight: Numbers
    offset: Numbers
    centre: Numbers
    scale: Numbers

    def __call__(self, values: Numbers, questions: Whole) -> Numbers:
        """Log-odds of answer 1, of each value (example, dim)."""
        inputs = (values - self.centre) / self.scale
        hidden = np.maximum(inputs @ self.inner + self.question[questions], 0)
        scores: Numbers = (
            (hidden * self.outer[questions]).sum(1)
            + (inputs * self.straight[questions]).sum(1)
            + self.offset[questions]
        )
        return scores

    def direction(self, values: Numbers, question: int) -> Numbers:
        """The mean gradient of a question's score over `values`: along it, the answer changes most."""
        inputs = (values - self.centre) / self.scale
        open_ = (inputs @ self.inner + self.question[question] > 0) * self.outer[question]
        found: Numbers = (open_.mean(0) @ self.inner.T + self.straight[question]) / self.scale
        return found


def trained(
    framework: str,
    values: Numbers,
    questions: Whole,
    labels: Numbers,
    kinds: int,
    hidden: int = HIDDEN,
    steps: int = STEPS,
    seed: int = 0,
) -> Net:
    """The network after `steps` of Adam on the cross-entropy of `labels`, with weight decay, in batches by `seed`."""
    here = backend(framework)
    rng = np.random.default_rng(seed)
    centre, scale = values.mean(0), values.std(0) + 1e-6
    start = _start(values.shape[1], hidden, kinds, rng)
    params = {name: convert(array.astype(np.float32), framework) for name, array in start.items()}
    inputs, asked = ((values - centre) / scale).astype(np.float32), np.eye(kinds, dtype=np.float32)[questions]
    targets = labels.astype(np.float32)

    def loss(params: Any, x: Any, q: Any, y: Any) -> Any:
        xp = namespace(x)
        active = here.relu(x @ params["inner"] + q @ params["question"])
        score = (active * (q @ params["outer"])).sum(-1) + (x * (q @ params["straight"])).sum(-1) + q @ params["offset"]
        # log(1 + exp(−|s|)) + max(s, 0) − s·y: the cross-entropy without overflow.
        cross = xp.log1p(xp.exp(-xp.abs(score))) + here.relu(score) - score * y
        size = sum((params[name] ** 2).sum() for name in ("inner", "outer", "straight"))
        return cross.mean() + _DECAY * size

    def step(state: Any, params: Any, x: Any, q: Any, y: Any) -> Any:
        _, slope = here.value_and_grad(lambda weights: loss(weights, x, q, y))(params)
        return here.adam_step(state, params, slope, rate=_RATE)

    compiled, state = here.jit(step), here.adam_start(params)
    for rows in tracked(_drawn(len(values), steps, rng), "training a reader", steps):
        batch = (convert(array[rows], framework) for array in (inputs, asked, targets))
        params, state = compiled(state, params, *batch)
    made = {name: numbers(array).astype(np.float64) for name, array in params.items()}
    return Net(**made, centre=centre, scale=scale)


def _start(size: int, hidden: int, kinds: int, rng: np.random.Generator) -> dict[str, Numbers]:
    return {
        "inner": rng.normal(size=(size, hidden)) / np.sqrt(size),
        "question": rng.normal(size=(kinds, hidden)) * 0.1,
        "outer": rng.normal(size=(kinds, hidden)) / np.sqrt(hidden),
        "straight": np.zeros((kinds, size)),
        "offset": np.zeros(kinds),
    }


def _drawn(count: int, steps: int, rng: np.random.Generator) -> Iterator[Whole]:
    for _ in range(steps):
        yield rng.permutation(count)[:_AT_ONCE]
