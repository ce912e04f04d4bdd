"""What sites held at the places that a signal reads: only that leaves the machine where the model lies."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import SiteError, WatchError
from darklantern.models import shim
from darklantern.models.sites import expand
from darklantern.watch.seen import Floats, Seen

TINY = 1e-9
"""what attention of 0 counts as where its logarithm is taken"""


def sites_of(seen: Seen, patterns: Sequence[str]) -> list[str]:
    """The recorded sites that `patterns` name, each once. Raises WatchError for a pattern of none."""
    return list(dict.fromkeys(site for pattern in patterns for site in seen.values.named(pattern)))


def site_of(seen: Seen, pattern: str) -> str:
    """The one recorded site that `pattern` names. Raises WatchError for none, and for several."""
    return seen.values.one(pattern)


def at(seen: Seen, site: str, rows: NDArray[np.integer], positions: NDArray[np.integer]) -> Floats:
    """What a residual stream (n, pos, dim) held in `rows` at `positions`, two arrays of one shape; (*shape, dim)."""
    rows, positions = np.broadcast_arrays(rows, positions)
    picked = _picked(seen.values.sites[site], rows, positions)
    return np.asarray(shim.numbers(picked), dtype=np.float32).reshape(*rows.shape, -1)


def log_probs_at(seen: Seen, rows: NDArray[np.integer], positions: NDArray[np.integer]) -> Floats:
    """Log-probabilities of the next token in `rows` at `positions`, (*shape, vocabulary)."""
    rows, positions = np.broadcast_arrays(rows, positions)
    picked = shim.log_probs(_picked(_output(seen), rows, positions))
    return picked.astype(np.float32).reshape(*rows.shape, -1)


def at_ends(seen: Seen, site: str, ends: NDArray[np.integer]) -> Floats:
    """What each prompt's last token held, (n, dim); of a site pinned to one position, what is there."""
    if len(seen.values.sites[site].shape) == 2:
        return seen[site]
    return at(seen, site, np.arange(len(ends)), ends)


def means_over_positions(seen: Seen, site: str, own: NDArray[np.bool_] | None = None) -> Floats:
    """(n, dim): the mean of a residual stream (n, pos, dim) over positions, or where `own` (n, pos) is true."""
    array = seen.values.sites[site]
    if len(array.shape) == 2:
        return seen[site]
    if own is not None and not own.all():
        held, counted = seen[site], own[..., None].astype(np.float32)
        return np.asarray((held * counted).sum(1) / np.maximum(counted.sum(1), 1), dtype=np.float32)
    xp = shim.namespace(array)
    floats = array if shim.framework_of(array) == "numpy" else xp.astype(array, xp.float32)
    return np.asarray(shim.numbers(xp.mean(floats, axis=1)), dtype=np.float32)


def attended(seen: Seen, site: str, masks: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Of attention patterns (n, head, pos, key): their sum over each of `masks` (m, pos, key), weighted by it, and that
    of their scores; both (n, head, m).

    Scores are log A(i, j) minus their mean over the keys of the query, in nats: what goes into the softmax, up to a
    number that all keys of a query share.
    """
    array = seen.values.sites[site]
    if len(array.shape) != 4 or tuple(array.shape[2:]) != masks.shape[1:]:
        raise WatchError(
            f"expected attention patterns (n, head, {masks.shape[1]}, {masks.shape[2]}) at {site}, got "
            f"{tuple(array.shape)}",
            hint='a site such as "layers.*.attn:pattern", without pins',
        )
    past = np.tril(np.ones(masks.shape[1:], dtype=np.float32))
    given, past, keys = (
        _beside(np.ascontiguousarray(each, dtype=np.float32), array)
        for each in (masks.reshape(len(masks), -1).T, past, past.sum(-1, keepdims=True))
    )
    xp = shim.namespace(array)
    patterns = xp.astype(array, xp.float32)
    scores = xp.log(patterns + TINY)
    scores = (scores - xp.sum(scores * past, axis=-1, keepdims=True) / keys) * past
    count, heads, *_ = array.shape
    found = [xp.reshape(each, (count * heads, -1)) @ given for each in (patterns, scores)]
    sums = [np.asarray(shim.numbers(each), dtype=np.float64).reshape(count, heads, -1) for each in found]
    return sums[0], sums[1]


def said_most(seen: Seen) -> NDArray[np.int64]:
    """The likeliest next token at each position, (n, pos)."""
    logits = _output(seen)
    return np.asarray(shim.numbers(shim.namespace(logits).argmax(logits, axis=-1)), dtype=np.int64)


def checked_sites(*patterns: str) -> tuple[str, ...]:
    """The patterns, each at least a site's text. Raises WatchError for what is none."""
    for pattern in patterns:
        try:
            expand(pattern)
        except SiteError as error:
            raise WatchError(error.message, hint=error.hint) from error
    return patterns


def _output(seen: Seen) -> Any:
    if seen.values.output is None:
        raise WatchError("the pass ended before the model's output", hint="say `output = True` in the probe")
    return seen.values.output


def _beside(values: Floats, array: Any) -> Any:
    """`values` as an array of the framework of `array`, where that lies."""
    if shim.framework_of(array) == "numpy":
        return values
    backend = shim.backend_of(array)
    return backend.placed(backend.from_numpy(values, True), array.device)


def _picked(array: Any, rows: NDArray[np.integer], positions: NDArray[np.integer]) -> Any:
    return array[shim.listed(rows.ravel().tolist(), array), shim.listed(positions.ravel().tolist(), array)]
