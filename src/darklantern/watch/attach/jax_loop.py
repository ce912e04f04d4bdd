"""A JAX loop: its state is a value, so the watch holds it between steps, and at a rollback holds another.

    for batch in watch.over(loader):
        watch.state, loss = step(watch.state, batch)

A loop that went on with a state of its own would never notice a rollback. So each state that is handed over must come
from one that was taken, and a loop that hands none over is refused at the first look.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from darklantern.errors import DarkLanternError, SnapshotError, WatchError
from darklantern.models import open as open_model
from darklantern.models import shim
from darklantern.models.cursors import Cursor
from darklantern.models.on_jax.opened import Model
from darklantern.models.on_jax.snapshot import Snapshot, capture, check, restore
from darklantern.models.recording import Recording
from darklantern.watch.attach import logits
from darklantern.watch.attach.rewinding import check_loader, cursor
from darklantern.watch.probes import Floats, Seen
from darklantern.watch.rows import Bytes, byte_rows

_LOOP = "watch.state, loss = step(watch.state, batch), so that a rollback reaches the loop"


class JaxTap:
    """A token model (rows of bytes to logits), the state that a loop trains, and a loader that can rewind.

    A look hands the state's weights to what was compiled before: rows are filled up to a power of two, so that a
    changing number of them compiles a few times, not at each look.
    """

    def __init__(
        self,
        model: Model,
        state: Any,
        loader: Cursor,
        weights: Callable[[Any], Any],
        readout: Callable[[Any, Any], Any] | None,
    ) -> None:
        self.model, self.loader = model, loader
        self._weights, self._readout = weights, readout
        self._state = state
        self._taken = False
        """the loop has what a further step must come from"""
        self._seen = self._handed_over = False

    @property
    def state(self) -> Any:
        self._taken = True
        return self._state

    @state.setter
    def state(self, new: Any) -> None:
        if not self._taken:
            raise WatchError("the loop hands over a state that does not come from the one the watch holds", hint=_LOOP)
        self._taken, self._handed_over = False, True
        self._state = new

    def see(self, rows: Bytes, sites: tuple[str, ...], lenses: tuple[str, ...]) -> Seen:
        if self._seen and not self._handed_over:
            raise WatchError("batches went by, and the loop handed no state over", hint=_LOOP)
        weights, filled, count = self._now(), _filled(rows), len(rows)
        recording = self._run(weights, filled, sites)
        for site, value in recording.items():
            logits.check_batched(site, value.array, filled)
        said = {site: self._read_out(weights, recording[site].array) for site in lenses}
        self._seen = True
        return Seen(
            sites={site: np.array(value.array.astype(jnp.float32))[:count] for site, value in recording.items()},
            log_probs=_log_probs("the model", logits.found(recording.output, filled, jax.Array), filled)[:count],
            lenses={site: _log_probs(f"readout of {site}", each, filled)[:count] for site, each in said.items()},
        )

    def _now(self) -> Any:
        """The weights in the state as it is."""
        checked(self._state)
        return _taken_from(self._weights, self._state)

    def _run(self, weights: Any, rows: Bytes, sites: tuple[str, ...]) -> Recording:
        model, tokens = self.model.with_weights(weights), shim.tokens(rows, "jax")[:, :-1]
        try:
            return model.record(tokens, *sites) if sites else Recording([], model.run(tokens))
        except DarkLanternError:
            raise
        except Exception as error:
            raise WatchError(
                f"{type(self.model.module).__name__} cannot run the watch's rows, {tokens.dtype} {tokens.shape}: "
                f"{error}",
                hint="the watch calls the model with the probes' rows but their last byte; watch a model of bytes that "
                "takes rows of this width, or what darklantern.open(..., call=...) made of yours",
            ) from error

    def _read_out(self, weights: Any, residual: Any) -> Any:
        if self._readout is None:
            raise WatchError(
                f"{type(self.model.module).__name__} has no method `readout` from residual stream to logits",
                hint="pass readout=lambda weights, residual: ..., the model's last norm and unembedding",
            )
        return self._readout(weights, residual)

    def rows(self, batch: Any) -> Bytes:
        if not isinstance(batch, np.ndarray | jax.Array):
            raise WatchError(
                f"expected a batch of token rows (n, width), got {type(batch).__name__}",
                hint="yield integer arrays (batch, width) of NumPy or JAX from the loader",
            )
        return byte_rows(batch, "a batch of token rows")

    def keep(self, batch: Any, kept: Any) -> Any:
        # Not fewer rows: the loop's step would compile anew for each number of them, and what is cut over devices
        # divides by their number. A clean row that stands twice weighs twice in one batch.
        if kept.all() or not kept.any():
            return batch
        order = np.arange(len(kept))
        order[~kept] = np.resize(np.flatnonzero(kept), np.count_nonzero(~kept))
        made = batch[order]
        return jax.device_put(made, batch.sharding) if isinstance(batch, jax.Array) else made

    def cursor(self) -> str:
        return cursor(self.loader)

    def wait(self) -> None:
        for leaf in jax.tree.leaves(self._state):
            if isinstance(leaf, jax.Array) and not leaf.is_deleted():
                leaf.block_until_ready()

    def snapshot(self, step: int) -> Snapshot:
        return capture(step, self._state, self.loader)

    def restore(self, snapshot: Snapshot) -> None:
        self._state = restore(snapshot, self.loader)
        self._taken = False


def tap(
    model: Any,
    state: Iterable[Any],
    readout: Callable[[Any, Any], Any] | None,
    weights: Callable[[Any], Any] | None,
) -> JaxTap:
    """A tap into `model`; `state` is (training state, loader). Raises WatchError for what could not be rolled back."""
    try:
        held, loader = state
    except (TypeError, ValueError) as error:
        raise WatchError(
            f"expected state=(training state, loader), got {type(state).__name__}: {error}",
            hint="the training state is one tree: a NamedTuple or a dict of parameters, optimizer state, keys, step",
        ) from error
    if not any(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(held)):
        raise WatchError(
            f"expected a training state with arrays in it first in `state`, got {type(held).__name__}",
            hint="state=(training state, loader), in this order; the training state is what a step takes and returns",
        )
    checked(held)
    check_loader(loader)
    how = weights or _params
    opened = _opened(model, _taken_from(how, held))
    found = _fitted(opened, how)
    try:
        opened.with_weights(_taken_from(found, held))
    except DarkLanternError as error:
        raise WatchError(
            f"the weights in the state are not those of this {type(opened.module).__name__}: {error.message}",
            hint='weights=lambda state: {"params": state.params} says where in the state they are',
        ) from error
    return JaxTap(opened, held, loader, found, readout or _own_readout(opened.module))


def checked(state: Any) -> None:
    """Raises WatchError for a state that no snapshot could hold."""
    try:
        check(state)
    except SnapshotError as error:
        raise WatchError(error.message, hint=error.hint) from error


def _params(state: Any) -> Any:
    return state["params"] if isinstance(state, Mapping) else state.params


def _taken_from(weights: Callable[[Any], Any], state: Any) -> Any:
    try:
        return weights(state)
    except (AttributeError, LookupError, TypeError) as error:
        raise WatchError(
            f"no weights are to be found in this {type(state).__name__}: {error!r}",
            hint="pass weights=lambda state: ..., which takes the model's weights out of a training state",
        ) from error


def _opened(model: Any, weights: Any) -> Model:
    if isinstance(model, Model):
        return model
    holds_its_own = type(weights) is type(model)  # Equinox and nnx: the weights of a later step are another module
    opened: Model = open_model(model) if holds_its_own else open_model(model, weights=weights)
    return opened


def _fitted(model: Model, weights: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`weights`, as the model has them: linen's parameters stand in a collection of theirs."""
    if not (isinstance(model.weights, Mapping) and set(model.weights) == {"params"}):
        return weights

    def variables(state: Any) -> Any:
        found = weights(state)
        return found if set(found) == {"params"} else {"params": found}

    return variables


def _own_readout(module: Any) -> Callable[[Any, Any], Any] | None:
    """Of a linen module with a method of that name."""
    if not callable(getattr(type(module), "readout", None)) or not callable(getattr(module, "apply", None)):
        return None
    return lambda weights, residual: module.apply(weights, residual, method="readout")


def _filled(rows: Bytes) -> Bytes:
    """Rows up to the next power of two: the last stands there again."""
    more = (1 << (len(rows) - 1).bit_length()) - len(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], more, axis=0)])


def _log_probs(whose: str, said: Any, rows: Bytes) -> Floats:
    made = jax.nn.log_softmax(logits.checked(whose, said, rows, jax.Array).astype(jnp.float32))
    return np.asarray(made)
