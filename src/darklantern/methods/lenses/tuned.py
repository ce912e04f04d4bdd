"""The tuned lens: an affine map for each layer, trained so that what is read there is what the model will say."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.lenses.readings import kl, log_probabilities
from darklantern.methods.lenses.tails import Tail
from darklantern.methods.lenses.translators import Translators
from darklantern.methods.metrics import logits_of
from darklantern.models.shim import backend_of, namespace, numbers
from darklantern.models.sites import Site

State = tuple[dict[str, Any], Any]
"""matrix (what it has more than the identity) and shift; Adam's moments"""


def trained(tails: Iterable[Tail], steps: int, rate: float | None) -> Translators:
    """The maps after a step of Adam on each of `tails`, from the identity; the rate falls to 0 by then, in a line.

    Without a `rate` it begins at 1 / dim.

    Minimises KL(model ‖ lens), the mean over all tokens of a batch. Source: Belrose et al. 2023, Eliciting Latent
    Predictions from Transformers with the Tuned Lens. The last block's output is what the model reads, and stays.
    """
    states: dict[Site, State] = {}
    for step, tail in enumerate(tails):
        for site in tail.place.sites:
            value = _wide(tail.recording[site].array)
            if site not in states:
                states[site] = _first(value)
            if site != tail.place.last:
                begun = 1 / value.shape[-1] if rate is None else rate
                states[site] = _stepped(tail, value, states[site], begun * (1 - step / steps))
    return Translators("tuned", {site: _whole(params) for site, (params, _) in states.items()})


def _first(value: Any) -> State:
    backend, dim = backend_of(value), value.shape[-1]
    nothing = {"matrix": np.zeros((dim, dim)), "shift": np.zeros(dim)}
    params = {name: backend.like(_brought(array, value), value) for name, array in nothing.items()}
    return params, backend.adam_start(params)


def _stepped(tail: Tail, value: Any, state: State, rate: float) -> State:
    """By the gradient at the entrance: that of an affine map follows from it."""
    params, moments = state
    translated = value + value @ params["matrix"] + params["shift"]
    found = tail.model.gradient(tail.start, _loss(tail), tail.place.entrance, edits=tail.edits(translated))
    if not np.isfinite(found.metric):
        raise MethodError(f"the lens's KL became {found.metric}", hint="a smaller rate, or a model in float32")
    slope = _wide(found.gradients[tail.place.entrance].array)
    backend, xp = backend_of(value), namespace(value)
    grads = {"matrix": backend.einsum("bpi,bpj->ij", value, slope), "shift": xp.sum(slope, axis=(0, 1))}
    return backend.adam_step(moments, params, grads, rate=rate)


def _loss(tail: Tail) -> Callable[[Any], Any]:
    said = log_probabilities(tail.logits)
    counts = backend_of(said).like(_brought(tail.own / tail.own.sum(), said), said)

    def loss(output: Any) -> Any:
        return namespace(said).sum(counts * kl(said, log_probabilities(logits_of(output))))

    return loss


def _brought(array: Any, like: Any) -> Any:
    return backend_of(like).from_numpy(array, copy=False)


def _wide(array: Any) -> Any:
    xp = namespace(array)
    return array if xp.finfo(array.dtype).bits >= 32 else xp.astype(array, xp.float32)


def _whole(params: Mapping[str, Any]) -> tuple[Any, Any]:
    matrix = numbers(params["matrix"])
    return matrix + np.eye(len(matrix), dtype=matrix.dtype), numbers(params["shift"])
