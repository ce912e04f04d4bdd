"""What is timed: the product's public calls on an opened model, and a framework's own capture, each beside its truth."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import darklantern as dl
from on_jax.sizes import USUAL, ids
from on_jax.subject import Subject

STOP, START, STEERED = 1, 9, 6
OUTS, PATTERNS = "layers.*:out", "layers.*.attn:pattern"
TOLERANCE = 1e-5
"""of the largest value: another compilation sums in another order"""


class Case(NamedTuple):
    """One way to run the model, until its numbers are there; and what it gave, beside what is true."""

    run: Callable[[], Any]
    off: Callable[[], float]
    """the largest difference from the truth, as a share of the largest true value"""


def bare(subject: Subject) -> Callable[[], Any]:
    """The model as its framework's users jit it."""
    function, tokens = jax.jit(subject.apply), ids()
    return lambda: jax.block_until_ready(function(subject.state, tokens))


def opened(subject: Subject) -> Any:
    return dl.open(subject.module, weights=subject.weights, call=subject.call, example=ids())


def ours(subject: Subject) -> dict[str, Case]:
    """By the name of the case. Truths come from the bare run, and from runs of the product that are whole."""
    model, tokens = opened(subject), ids()
    logits = bare(subject)()
    whole = model.record(tokens, OUTS)
    start = model.start(tokens, f"layers.{START}")
    direction = jnp.asarray(np.random.default_rng(1).normal(size=USUAL.dim), jnp.float32)
    steering = {f"layers.{STEERED}:out": dl.add(direction)}
    stop = f"layers.{STOP}:out"

    def recorded(*sites: str, stop: bool = False) -> Any:
        recording = model.record(tokens, *sites, stop=stop)
        jax.block_until_ready([value.array for value in recording.values()])
        return recording

    def output(*args: Any) -> Any:
        return jax.block_until_ready(model.run(*args))

    def steered() -> float:
        """From the steered block on, the rest of the model as it stands."""
        moved = whole[f"layers.{STEERED}:out"].array + direction
        put = {f"layers.{STEERED}:out": dl.put(moved)}
        return max(_off(output(tokens, steering), model.run(tokens, put)), _off(steering_truth(model, moved), moved))

    return {
        "idle": Case(lambda: output(tokens), lambda: _off(output(tokens), logits)),
        "capture_12_blocks": Case(lambda: recorded(OUTS), lambda: _streams(recorded(OUTS), logits, subject)),
        "steering": Case(lambda: output(tokens, steering), steered),
        "stop_after_block_1": Case(
            lambda: recorded(stop, stop=True), lambda: _off(recorded(stop, stop=True)[stop].array, whole[stop].array)
        ),
        "start_at_block_9": Case(lambda: output(start), lambda: _off(output(start), logits)),
        "attention_patterns_12": Case(lambda: recorded(PATTERNS), lambda: _patterns(recorded(PATTERNS), logits)),
    }


def theirs(subject: Subject) -> Case | None:
    """The framework's own capture under its jit; how many of the blocks it has is for the table."""
    if subject.captured is None:
        return None
    function, tokens = jax.jit(subject.captured), ids()

    def run() -> Any:
        return jax.block_until_ready(function(subject.state, tokens))

    return Case(run, lambda: 0.0)


def steering_truth(model: Any, moved: Any) -> Any:
    """What flows on behind the steered block."""
    site = f"layers.{STEERED}:out"
    return model.record(ids(), site, edits={site: dl.put(moved)})[site].array


def _streams(recording: Any, logits: Any, subject: Subject) -> float:
    """The last stream unembeds to the logits, each stream is the next block's input, and the output is the bare one."""
    model = opened(subject)
    entering = model.record(ids(), "layers.*:in")
    pairs = [
        (recording[f"layers.{n}:out"].array, entering[f"layers.{n + 1}:in"].array) for n in range(USUAL.layers - 1)
    ]
    return max(_off(recording.output, logits), *(_off(one, other) for one, other in pairs))


def _patterns(recording: Any, logits: Any) -> float:
    """Each row sums to one and looks at nothing to come; the output is the bare one."""
    values = [np.asarray(value.array) for value in recording.values()]
    assert len(values) == USUAL.layers
    sums = max(float(np.abs(value.sum(-1) - 1).max()) for value in values)
    ahead = max(float(np.abs(np.triu(value, 1)).max()) for value in values)
    return max(sums, ahead, _off(recording.output, logits))


def _off(found: Any, true: Any) -> float:
    found, true = np.asarray(found), np.asarray(true)
    return float(np.abs(found - true).max() / np.abs(true).max()) if found.shape == true.shape else 1.0
