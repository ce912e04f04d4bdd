"""What a watch needs of a training loop, whatever its framework."""

from typing import Any, Protocol

from darklantern.models.cursors import Snapshot
from darklantern.watch.probes import Seen
from darklantern.watch.rows import Bytes


class Tap(Protocol):
    """A way into a model under training. Values go out as NumPy arrays, copies of what was seen."""

    state: Any
    """what a JAX loop takes for each step and hands back after it; torch's has none, and says so"""

    @property
    def loader(self) -> Any:
        """The loader whose cursor a snapshot holds."""
        ...

    def cursor(self) -> str:
        """Where the loader stands, as JSON. Raises WatchError when it does not say so in JSON values."""
        ...

    def see(self, rows: Bytes, sites: tuple[str, ...], lenses: tuple[str, ...]) -> Seen:
        """One forward pass over `rows` (n, width), without gradients and without side effects."""
        ...

    def rows(self, batch: Any) -> Bytes:
        """The rows of a batch of the user's loader, (n, width)."""
        ...

    def keep(self, batch: Any, kept: Any) -> Any:
        """The batch with only the rows where the boolean array `kept` is true. Where shapes are compiled, clean rows
        stand once more in the others' places. Of a batch without a clean row what comes back goes nowhere."""
        ...

    def wait(self) -> None:
        """Until the loop's own computation is done, so that it does not count as the watch's."""
        ...

    def snapshot(self, step: int) -> Snapshot:
        """The whole training state."""
        ...

    def restore(self, snapshot: Any) -> None:
        """Put a training state back, bit for bit."""
        ...
