"""What is timed: the public interface on an opened model, and a framework's own capture, each beside its truth."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import darklantern as dl
from on_jax.names import CALLED
from on_jax.sizes import USUAL, ids
from on_jax.subject import Subject

STOP, START, STEERED = "layers.1:out", "layers.9", "layers.6:out"
OUTS, PATTERNS = "layers.*:out", "layers.*.attn:pattern"


class Case(NamedTuple):
    """One way to run the model, until its numbers are there; and what it gave, beside what is true."""

    run: Callable[[], Any]
    off: Callable[[Any], float]
    """of what `run` gave, the largest difference from the truth, as a share of the largest true value"""


def bare(subject: Subject) -> Callable[[], Any]:
    """The model as its framework's users jit it."""
    function, tokens = jax.jit(subject.apply), ids()
    return lambda: jax.block_until_ready(function(subject.state, tokens))


def opened(subject: Subject) -> Any:
    return dl.open(subject.module, weights=subject.weights, call=subject.call, example=ids())


def ours(subject: Subject) -> dict[str, Case]:
    """By the name of the case. Truths come from the bare run, and from runs of the product that are whole."""
    model, tokens = opened(subject), ids()
    logits, weights = bare(subject)(), model.weights
    whole = {name: value.array for name, value in model.record(tokens, OUTS).items()}
    direction = jnp.asarray(np.random.default_rng(1).normal(size=USUAL.dim), jnp.float32)
    start = model.start(tokens, START)

    def recorded(model: Any, tokens: Any, *sites: str, stop: bool = False) -> Any:
        recording = model.record(tokens, *sites, stop=stop)
        return recording.output, {str(site): value.array for site, value in recording.items()}

    def steered(model: Any, tokens: Any, direction: Any) -> Any:
        return model.run(tokens, {STEERED: dl.add(direction)})

    # What is looked at or changed, as a function of the model and of what goes in.
    functions: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Callable[[Any], float]]] = {
        "idle": (lambda model, tokens: model.run(tokens), (tokens,), lambda made: _off(made, logits)),
        "capture_12_blocks": (
            lambda model, tokens: recorded(model, tokens, OUTS), (tokens,), lambda made: _streams(made, logits, model)
        ),
        "steering": (
            steered, (tokens, direction), lambda made: _off(made, _moved(model, whole[STEERED] + direction))
        ),
        "attention_patterns_12": (
            lambda model, tokens: recorded(model, tokens, PATTERNS), (tokens,), lambda made: _patterns(made, logits)
        ),
        "stop_after_block_1": (
            lambda model, tokens: recorded(model, tokens, STOP, stop=True), (tokens,),
            lambda made: _off(made[1][STOP], whole[STOP]),
        ),
    }  # fmt: skip
    cases = {"start_at_block_9": Case(lambda: jax.block_until_ready(model.run(start)), lambda made: _off(made, logits))}
    for name, (function, arguments, off) in functions.items():
        cases[name] = Case(_jitted(model, weights, function, arguments), off)
        cases[CALLED.format(name)] = Case(_called(model, function, arguments), off)
    return cases


def _jitted(model: Any, weights: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], Any]:
    """Within a jit of the user's own."""
    made = jax.jit(lambda weights, *rest: function(model.with_weights(weights), *rest))
    return lambda: jax.block_until_ready(made(weights, *arguments))


def _called(model: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], Any]:
    """As from a notebook: what Python does counts."""
    return lambda: jax.block_until_ready(function(model, *arguments))


def theirs(subject: Subject) -> Case | None:
    """The framework's own capture under its jit; how many of the blocks it has is for the table."""
    if subject.captured is None:
        return None
    function, tokens = jax.jit(subject.captured), ids()
    return Case(lambda: jax.block_until_ready(function(subject.state, tokens)), lambda _: 0.0)


def _moved(model: Any, stream: Any) -> Any:
    """What the model returns when the stream behind the steered block is this."""
    return model.run(ids(), {STEERED: dl.put(stream)})


def _streams(made: Any, logits: Any, model: Any) -> float:
    """Each stream is what goes into the next block, in another run, and the output is the bare one."""
    output, streams = made
    entering = model.record(ids(), "layers.*:in")
    pairs = [(streams[f"layers.{n}:out"], entering[f"layers.{n + 1}:in"].array) for n in range(USUAL.layers - 1)]
    return max(_off(output, logits), *(_off(one, other) for one, other in pairs))


def _patterns(made: Any, logits: Any) -> float:
    """Each row sums to one and looks at nothing to come; the output is the bare one."""
    output, patterns = made
    values = [np.asarray(value) for value in patterns.values()]
    assert len(values) == USUAL.layers
    sums = max(float(np.abs(value.sum(-1) - 1).max()) for value in values)
    ahead = max(float(np.abs(np.triu(value, 1)).max()) for value in values)
    return max(sums, ahead, _off(output, logits))


def _off(found: Any, true: Any) -> float:
    found, true = np.asarray(found), np.asarray(true)
    return float(np.abs(found - true).max() / np.abs(true).max()) if found.shape == true.shape else 1.0
