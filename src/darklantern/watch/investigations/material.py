"""Examples as the model's framework has them, and the loss of classes and tokens."""

from collections.abc import Mapping
from typing import Any

from darklantern.errors import WatchError
from darklantern.models import shim
from darklantern.watch.examples import Array, Examples


def placed(values: Array, weights: Mapping[str, Any]) -> Any:
    """`values` as an array of the weights' framework, where they lie; fractions in the weights' own precision."""
    one = next(iter(weights.values()))
    backend = shim.backend_of(one)
    if values.dtype.kind == "f":
        return backend.like(shim.convert(values, backend.name), one)
    return backend.placed(shim.convert(values.astype("int64"), backend.name), one.device)


def inputs_and_targets(examples: Examples) -> tuple[Array, Array]:
    """What goes in, and the class of each example or the next token at each position. Raises WatchError."""
    if examples.are_tokens:
        if examples.mask is not None and not examples.mask.all():
            raise WatchError(
                "expected token rows without padding, since every position counts",
                hint="give rows of one length: Examples(rows[lengths == width])",
            )
        return examples.inputs[:, :-1], examples.inputs[:, 1:]
    if examples.targets is None:
        raise WatchError("expected examples with targets, got none", hint="Examples(inputs, targets)")
    return examples.inputs, examples.targets


def cross_entropy(output: Any, targets: Any) -> Any:
    """The mean over examples (and positions) of the negative log-likelihood of `targets`, in nats; differentiable."""
    logits = getattr(output, "logits", output)
    backend = shim.backend_of(logits)
    said = logits - backend.logsumexp(logits, -1, True)
    return -backend.xp.mean(backend.xp.take_along_axis(said, targets[..., None], axis=-1))
