"""What a watch needs of a training loop, whatever its framework."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from darklantern.models.cursors import Snapshot
from darklantern.watch.attach.ranks import Ranks
from darklantern.watch.examples import Examples
from darklantern.watch.seen import Floats, Values

Array = NDArray[Any]


class Tap(Protocol):
    """A way into a model under training. What goes in and out of `see` is copied: nothing of the run is changed."""

    state: Any
    """what a JAX loop takes for each step and hands back after it; torch's has none, and says so"""

    @property
    def framework(self) -> str:
        """What the model is of: torch or jax."""
        ...

    @property
    def loader(self) -> Any:
        """The loader whose cursor a snapshot holds; None where the watch was given none."""
        ...

    @property
    def rewinds(self) -> str:
        """Empty where a rollback can put everything back; otherwise what stands in its way."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether there is a training state to take snapshots of."""
        ...

    @property
    def ranks(self) -> Ranks:
        """The processes that train together."""
        ...

    def cursor(self) -> str:
        """Where the loader stands, as JSON. Raises WatchError when it does not say so in JSON values."""
        ...

    def go_to(self, cursor: str) -> None:
        """Put the loader back to where it said so; nothing where it cannot be put back."""
        ...

    @property
    def opened(self) -> Any:
        """The model as it stands now, as `darklantern.open` makes it."""
        ...

    def sites(self, pattern: str, inputs: Array) -> tuple[str, ...]:
        """The sites that a pattern names, in model order, when it runs on `inputs`. Raises SiteError when there are
        none."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """Around what looks at the model, a user's own functions too: afterwards the process's random streams, the
        modes and buffers of the model's parts and whether gradients are recorded are as they were before."""
        ...

    def see(self, inputs: Array, sites: Sequence[str], lenses: Sequence[str], output: bool) -> Values:
        """One forward pass over `inputs` (n, …), without gradients and without side effects.

        It ends at the deepest of `sites` unless `output` is wanted.
        """
        ...

    def handed_out(self) -> None:
        """The loop was given a batch to train on."""
        ...

    def looked(self) -> None:
        """A look is over: from now on the loop must have gone on before the next."""
        ...

    def weights(self, patterns: Sequence[str]) -> Mapping[str, Floats]:
        """Parameters whose names fit one of `patterns`. Raises WatchError for a pattern that none fits."""
        ...

    def digest(self) -> str:
        """SHA-256 of the weights as they are, over names, dtypes, shapes and bytes."""
        ...

    def examples(self, batch: Any) -> Examples:
        """What a batch of the user's loader holds."""
        ...

    def later(self, batch: Any) -> Callable[[], Examples]:
        """The same, to be asked for at the next look, whatever the loop does with the batch meanwhile."""
        ...

    def order(self, kept: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Which examples stand in a batch that `keep` made, and where: those where `kept` is true and no others.
        Where shapes are compiled, clean ones stand once more in the others' places."""
        ...

    def keep(self, batch: Any, kept: NDArray[np.bool_]) -> Any:
        """The batch with only the examples that `order` says, in each of its parts that has one entry for each. Of a
        batch without a clean one what comes back goes nowhere. Raises WatchError for a part that cannot be cut."""
        ...

    def wait(self) -> None:
        """Until the loop's own computation is done, so that it does not count as the watch's."""
        ...

    def snapshot(self, step: int) -> Snapshot:
        """The whole training state."""
        ...

    def restore(self, snapshot: Any) -> None:
        """Put a training state back, bit for bit. Raises WatchError where `rewinds` says why not."""
        ...

    def state_bytes(self) -> int:
        """What one snapshot takes, as far as it can be told before the first step; 0 where none is taken."""
        ...

    def gradient_bytes(self) -> int:
        """What a snapshot takes besides where gradients stand that do not yet: a loop that zeroes them before its
        backward pass, or gathers an update from several batches, has them at a look."""
        ...

    def room(self) -> int | None:
        """Bytes that are free where snapshots lie; None where nobody says so."""
        ...

    @property
    def saves(self) -> str:
        """Empty where a snapshot can be written to a file; otherwise why it can't."""
        ...

    def save(self, snapshot: Any, path: Any) -> str:
        """Write a snapshot to `path`, whole or not at all; its SHA-256. Raises StoreError."""
        ...

    def ablate(self, edits: Mapping[str, Any]) -> Any:
        """From now on the loop trains with `edits` in place, until what this returns is closed. Raises WatchError."""
        ...
