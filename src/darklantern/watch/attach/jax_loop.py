"""A JAX loop: its state is a value, so the watch holds it between steps, and at a rollback holds another.

    for batch in watch.over(loader):
        watch.state, loss = step(watch.state, batch)

A loop that went on with a state of its own would never notice a rollback. So each state that is handed over must come
from one that was taken, and a loop that hands none over is refused at the first look.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from darklantern.errors import DarkLanternError, SnapshotError, WatchError
from darklantern.models import open as open_model
from darklantern.models import shim, streams
from darklantern.models.on_jax.opened import Model
from darklantern.models.on_jax.snapshot import Snapshot, capture, check, restore
from darklantern.models.paths import nearest
from darklantern.models.recording import Recording
from darklantern.watch.attach import logits, ranks, rewinding
from darklantern.watch.attach.aside import Aside
from darklantern.watch.attach.filtering import Filter
from darklantern.watch.attach.memory import free_bytes
from darklantern.watch.examples import Array, Examples, Reader, examples, later
from darklantern.watch.seen import Floats, Values

_LOOP = "watch.state, loss = step(watch.state, batch), so that a rollback reaches the loop"


class JaxTap:
    """A model, the state that a loop trains, and a loader.

    A look hands the state's weights to what was compiled before: rows are filled up to a power of two, so that a
    changing number of them compiles a few times, not at each look.
    """

    framework = "jax"

    def __init__(
        self,
        model: Model,
        state: Any,
        loader: Any,
        weights: Callable[[Any], Any],
        readout: Callable[[Any, Any], Any] | None,
        call: Callable[[Any], Any] | None = None,
        batch: Reader | None = None,
    ) -> None:
        self.model, self.loader = model, loader
        self.ranks = ranks.of_jax()
        self._weights, self._readout, self._call, self._batch = weights, readout, call, batch
        self._state = state
        self._taken = False
        """the loop has what a further step must come from"""
        self._owes = self._handed_over = self._ran = False
        """whether batches went out since the last look, a state came back, and the model was traced"""
        self._aside = Aside(streams.left_alone)  # a model of JAX holds nothing that a call could move

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

    @property
    def rewinds(self) -> str:
        return rewinding.rewinds(self.loader)

    @property
    def keeps(self) -> bool:
        return True

    @property
    def opened(self) -> Model:
        return self.model.with_weights(self._now())

    def sites(self, pattern: str, inputs: Array) -> tuple[str, ...]:
        if not self._ran:
            self._run(self._now(), _filled(inputs), (), True)  # what sites there are is known once it was traced
            self._ran = True
        return tuple(str(site) for site in self.model.sites(pattern))

    def aside(self) -> AbstractContextManager[None]:
        return self._aside()

    def see(self, inputs: Array, sites: Sequence[str], lenses: Sequence[str], output: bool) -> Values:
        self._check_handed_over()
        weights, filled, count = self._now(), _filled(inputs), len(inputs)
        recording = self._run(weights, filled, sites, output)
        for site, value in recording.items():
            logits.check_batched(site, value.array, len(filled))
        said = {site: self._read_out(weights, site, recording[site].array) for site in lenses}
        return Values(
            sites={site: value.array[:count] for site, value in recording.items()},
            output=logits.found(recording.output, len(filled), jax.Array)[:count] if output else None,
            lenses={site: each[:count] for site, each in said.items()},
            natives={site: value.site.native for site, value in recording.items() if value.site.native},
        )

    def _check_handed_over(self) -> None:
        if self._owes and not self._handed_over:
            raise WatchError("batches went by, and the loop handed no state over", hint=_LOOP)

    def handed_out(self) -> None:
        self._owes = True

    def looked(self) -> None:
        self._owes = self._handed_over = False

    def _now(self) -> Any:
        """The weights in the state as it is."""
        checked(self._state)
        return _taken_from(self._weights, self._state)

    def _run(self, weights: Any, inputs: Array, sites: Sequence[str], output: bool) -> Recording:
        model, given = self.model.with_weights(weights), _given(inputs)
        try:
            if sites:
                return model.record(self._called(given), *sites, stop=not output)
            return Recording([], model.run(self._called(given)))
        except DarkLanternError:
            raise
        except Exception as error:
            raise WatchError(
                f"{type(self.model.module).__name__} cannot run the watch's rows, {given.dtype} {given.shape}: {error}",
                hint="the watch calls the model with its probes' rows, of token rows all but the last token; "
                "watch what darklantern.open(..., call=...) made of yours if it is called otherwise",
            ) from error

    def _called(self, inputs: Any) -> Any:
        return inputs if self._call is None else self._call(inputs)

    def _read_out(self, weights: Any, site: str, residual: Any) -> Any:
        if self._readout is None:
            raise WatchError(
                f"{type(self.model.module).__name__} has no method `readout` from residual stream to logits",
                hint="dl.watch(model, ..., readout=lambda weights, residual: ...), the last norm and the unembedding",
            )
        read = self._readout(weights, residual)
        if not isinstance(read, jax.Array) or read.shape[:-1] != residual.shape[:-1]:
            said = f"{read.dtype} {read.shape}" if isinstance(read, jax.Array) else type(read).__name__
            raise WatchError(
                f"expected readout of {site} to give logits {(*residual.shape[:-1], 'tokens')}, got {said}",
                hint="the last norm and the unembedding, position by position",
            )
        return read

    def weights(self, patterns: Sequence[str]) -> Mapping[str, Floats]:
        named = {
            ".".join(map(_key, path)): leaf
            for path, leaf in jax.tree_util.tree_flatten_with_path(self._now())[0]
            if isinstance(leaf, jax.Array | np.ndarray)
        }
        found: dict[str, Floats] = {}
        for pattern in patterns:
            names = [name for name in named if fnmatchcase(name, pattern)]
            if not names:
                raise WatchError(
                    f"no parameter is called {pattern!r}", hint=f"nearest: {', '.join(nearest(pattern, named))}"
                )
            found |= {name: np.asarray(jnp.asarray(named[name], dtype=jnp.float32)) for name in names}
        return found

    def digest(self) -> str:
        digest = hashlib.sha256()
        for name, value in sorted(self.weights(("*",)).items()):
            digest.update(f"{name}\0{value.dtype}\0{value.shape}\0".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    def examples(self, batch: Any) -> Examples:
        return examples(batch, "a batch", self._batch)

    def later(self, batch: Any) -> Callable[[], Examples]:
        return later(batch, "a batch", self._batch, _copied_there)

    def order(self, kept: NDArray[np.bool_]) -> NDArray[np.intp]:
        # Not fewer rows: the loop's step would compile anew for each number of them, and what is cut over devices
        # divides by their number. A clean row that stands twice weighs twice in one batch.
        order = np.arange(len(kept))
        order[~kept] = np.resize(np.flatnonzero(kept), np.count_nonzero(~kept))
        return order

    def keep(self, batch: Any, kept: NDArray[np.bool_]) -> Any:
        if kept.all() or not kept.any():
            return batch
        order = self.order(kept)

        def within(part: Any) -> Any:  # a class of one's own that JAX knows as a tree
            return jax.tree.map(lambda leaf: _ordered(leaf, order), part)

        return Filter(order, len(kept), _ordered, within).of(batch)

    def cursor(self) -> str:
        return rewinding.cursor(self.loader)

    def go_to(self, cursor: str) -> None:
        rewinding.go_to(self.loader, cursor)

    def wait(self) -> None:
        for leaf in jax.tree.leaves(self._state):
            if isinstance(leaf, jax.Array) and not leaf.is_deleted():
                leaf.block_until_ready()

    def snapshot(self, step: int) -> Snapshot:
        self._check_handed_over()
        checked(self._state)
        return capture(step, self._state, None if self.rewinds else rewinding.position(self.loader))

    def restore(self, snapshot: Snapshot) -> None:
        if self.rewinds:
            raise WatchError(f"the run cannot be rolled back: {self.rewinds}", hint="see watch.resume for the way out")
        self._state = restore(snapshot, rewinding.position(self.loader))
        self._taken = self._owes = self._handed_over = False

    def state_bytes(self) -> int:
        """Of this process: its devices' pieces of each array, one that is whole on several of them as often."""
        return sum(map(_held, jax.tree.leaves(self._state)))

    def gradient_bytes(self) -> int:
        """None: what a step leaves for the next is in the state."""
        return 0

    def room(self) -> int | None:
        """Of this process's memory, where a state lies in it; a device of its own says itself how much it has."""
        leaves = [leaf for leaf in jax.tree.leaves(self._state) if isinstance(leaf, jax.Array)]
        devices = {device for leaf in leaves for device in leaf.sharding.addressable_devices}
        return _free(devices)

    @property
    def saves(self) -> str:
        return "a JAX loop's state holds what no file does, such as an optimizer's functions"

    def save(self, snapshot: Snapshot, path: Any) -> str:
        raise WatchError(
            self.saves,
            hint="write checkpoints from your loop, or on_alarm, with what wrote them so far; "
            "alarm.clean.snapshot.state is the tree",
        )

    def ablate(self, edits: Mapping[str, Any]) -> Any:
        raise WatchError(
            "a jitted step cannot be changed from outside",
            hint="call darklantern.open(model).edited({...}) within your step, and start the run again from there",
        )


def tap(
    model: Any,
    state: Any,
    readout: Callable[[Any, Any], Any] | None = None,
    weights: Callable[[Any], Any] | None = None,
    call: Callable[[Any], Any] | None = None,
    batch: Reader | None = None,
) -> JaxTap:
    """A tap into `model`; `state` is (training state, loader). Raises WatchError for what does not fit."""
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
    rewinding.check(loader)
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
    return JaxTap(opened, held, loader, found, readout or _own_readout(opened.module), call, batch)


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


def _filled(inputs: Array) -> Array:
    """Rows up to the next power of two: the last stands there again."""
    more = (1 << (len(inputs) - 1).bit_length()) - len(inputs)
    return np.concatenate([inputs, np.repeat(inputs[-1:], more, axis=0)])


def _given(inputs: Array) -> Any:
    """Whole numbers as token ids, others as they are."""
    return shim.tokens(inputs, "jax") if inputs.dtype.kind in "ui" else jnp.asarray(inputs)


def _copied_there(part: Any) -> Any:
    """A copy on the device of `part`, if that is another than the processor's: a step may be given the batch itself."""
    away = isinstance(part, jax.Array) and any(device.platform != "cpu" for device in part.devices())
    return jnp.copy(part) if away else None


def _ordered(part: Any, order: Any) -> Any:
    if not shim.is_array(part) or not part.shape or len(part) != len(order):
        return part
    made = part[order]
    return jax.device_put(made, part.sharding) if isinstance(part, jax.Array) else made


def _held(leaf: Any) -> int:
    """Bytes that this process holds of it."""
    if isinstance(leaf, jax.Array):
        return sum(shard.data.nbytes for shard in leaf.addressable_shards)
    return leaf.nbytes if isinstance(leaf, np.ndarray) else 0


def _free(devices: Iterable[Any]) -> int | None:
    """Bytes that are free on these devices together; in this process's memory where they are none but processors."""
    said = [device.memory_stats() for device in devices if device.platform != "cpu"]
    if not said:
        return free_bytes()
    if not all(said):
        return None
    return sum(int(each["bytes_limit"]) - int(each["bytes_in_use"]) for each in said)


def _key(entry: Any) -> str:
    """One step of a path into a tree, as plain text."""
    return str(next(getattr(entry, name) for name in ("key", "name", "idx") if hasattr(entry, name)))
