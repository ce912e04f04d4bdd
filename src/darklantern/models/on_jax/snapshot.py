"""Training-state snapshots of JAX: what a loop carries on, random streams and data cursor, restored bit for bit.

A JAX loop's state is a value: a tree with parameters, the optimizer's state, random keys, the step, in whatever shape
its author gave it. So `capture` copies the tree, `restore` hands out another copy, and nothing is changed in place.
Copies, because a step that donates its arguments destroys them, and with them whatever shares their memory.

A snapshot lives in memory, on the devices where the state lies, with its sharding. To keep one on disk is for the
loop's own checkpoints: the tree holds what no file does, such as an optimizer's functions.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from darklantern.counted import counted
from darklantern.errors import SnapshotError
from darklantern.models import streams
from darklantern.models.cursors import Cursor, json_values, move
from darklantern.models.shim import is_traced

_CONSTANT = (bool, int, float, complex, str, bytes, np.generic)
_WHERE = "capture(step, state, loader) is called between two steps, outside of jit"


@dataclass(frozen=True, repr=False)
class Snapshot:
    """A training state at one step. Its arrays are copies: no step changes them, and none can donate them."""

    step: int
    state: Any
    """the tree, copied"""
    rest: dict[str, Any]
    """random streams, data cursor: JSON values"""

    def __repr__(self) -> str:
        return f"<snapshot of step {self.step}: {counted(len(jax.tree.leaves(self.state)), 'array')}>"


def capture(step: int, state: Any, loader: Cursor | None) -> Snapshot:
    """The training state now. Costs one copy of the tree's arrays. Without a loader there is no cursor.

    Raises SnapshotError for arrays that a step was given for its own use (`donate_argnums`), for traced ones, for what
    could change unseen, and for a cursor that JSON cannot hold.
    """
    held = copied(state)
    return Snapshot(step, held, json_values(_rest(loader), step))


def restore(snapshot: Snapshot, loader: Cursor) -> Any:
    """The training state, bit for bit, to go on from; random streams and loader are put back where they stood.

    A copy: the same snapshot can be restored again. Raises SnapshotError, changing nothing, for what does not fit.
    """
    try:
        random, cursor = snapshot.rest["random"], snapshot.rest["cursor"]
    except (LookupError, TypeError) as error:
        raise SnapshotError(
            f"the snapshot of step {snapshot.step} is not whole: {error!r}", hint="take it again, or copy it again"
        ) from error
    streams.check(random)
    state = copied(snapshot.state)
    move(loader, cursor, snapshot.step)
    streams.restore(random)
    return state


def _rest(loader: Cursor | None) -> dict[str, Any]:
    return {"random": streams.capture(), "cursor": None if loader is None else loader.state()}


def check(state: Any) -> None:
    """Raises SnapshotError for a tree that cannot be copied. Copies nothing."""
    jax.tree.map_with_path(_check, state)


def copied(state: Any) -> Any:
    """The same tree over arrays of its own: same bits, dtypes, weak types, devices and sharding; keys too.

    Raises SnapshotError for a leaf that is no array that can be read, no number, no text and no function.
    """
    check(state)
    return jax.tree.map(_copied, state)


def _copied(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return jnp.copy(leaf)
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _check(path: Any, leaf: Any) -> None:
    if is_traced(leaf):
        raise SnapshotError(f"{_named(path)} is traced, so it has no numbers yet", hint=_WHERE)
    if isinstance(leaf, jax.Array) and leaf.is_deleted():
        raise SnapshotError(
            f"{_named(path)} was deleted: a step that donates its state was given it",
            hint="hand over the state that the step returned; what donate_argnums names is gone after the call",
        )
    array = isinstance(leaf, jax.Array) or (isinstance(leaf, np.ndarray) and leaf.dtype != object)
    # Functions, because an Equinox module has its activations as leaves.
    if not (array or isinstance(leaf, _CONSTANT) or callable(leaf)):
        raise SnapshotError(
            f"expected arrays, numbers and functions in the state, got {type(leaf).__name__} at {_named(path)}",
            hint="what a step changes has to be an array in the state, or in the loader's cursor",
        )


def _named(path: Any) -> str:
    return f"state{jax.tree_util.keystr(path)}"
