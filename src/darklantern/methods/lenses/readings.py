"""What logits say at each position, against what the model itself says there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.models.shim import backend_of, listed, namespace, numbers


@dataclass(frozen=True, eq=False)
class Reading:
    """Of one layer. Each is NumPy's, (batch, pos); NaN, and token -1, in padding."""

    kl: NDArray[np.float64]
    """nats: of the model's own distribution from this one"""
    entropy: NDArray[np.float64]
    """nats"""
    tokens: NDArray[np.int64]
    """(batch, pos, rank): the likeliest, first comes first"""
    probabilities: NDArray[np.float64]
    """theirs"""
    target_probability: NDArray[np.float64] | None = None
    target_rank: NDArray[np.float64] | None = None
    """1 is the likeliest"""


def log_probabilities(logits: Any) -> Any:
    """In 32 bits at least."""
    xp = namespace(logits)
    wide = logits if xp.finfo(logits.dtype).bits >= 32 else xp.astype(logits, xp.float32)
    return wide - backend_of(wide).logsumexp(wide, axis=-1, keepdims=True)


def kl(model: Any, lens: Any) -> Any:
    """Σ p (log p − log q) over the last axis, in nats, of log-probabilities; what is impossible adds nothing."""
    xp = namespace(model)
    share = xp.exp(model)
    apart = xp.where(share > 0, model - lens, 0.0)
    return xp.sum(share * apart, axis=-1)


def reading(logits: Any, model: Any, own: NDArray[np.bool_], top: int, target: list[int] | None) -> Reading:
    """Of a lens's logits (batch, pos, token), against the model's log-probabilities; `own` says what is no padding."""
    xp, said = namespace(logits), log_probabilities(logits)
    share = xp.exp(said)
    entropy = -xp.sum(share * xp.where(share > 0, said, 0.0), axis=-1)
    best, tokens = backend_of(said).top_k(said, min(top, said.shape[-1]))
    found = _of_target(said, target) if target is not None else (None, None)
    chance, rank = (None if each is None else _masked(each, own) for each in found)
    return Reading(
        _masked(kl(model, said), own),
        _masked(entropy, own),
        np.where(own[..., None], numbers(tokens), -1).astype(np.int64),
        _masked(xp.exp(best), own),
        chance,
        rank,
    )


def _of_target(said: Any, target: list[int]) -> tuple[Any, Any]:
    """The probability of each example's target, and its rank: 1 more than there are likelier ones."""
    xp = namespace(said)
    examples = listed(list(range(said.shape[0])), said)
    wanted = said[examples, :, listed(target * (said.shape[0] // len(target)), said)]
    return xp.exp(wanted), xp.sum(xp.astype(said > wanted[..., None], said.dtype), axis=-1) + 1


def _masked(array: Any, own: NDArray[np.bool_]) -> NDArray[np.float64]:
    values = np.asarray(numbers(array), dtype=np.float64)
    return np.where(own if values.ndim == 2 else own[..., None], values, np.nan)
