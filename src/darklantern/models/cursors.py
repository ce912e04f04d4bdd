"""What snapshots of every framework share: the loader's cursor, and what beside arrays is kept as JSON values."""

import json
from typing import Any, Protocol

from darklantern.errors import SnapshotError


class Cursor(Protocol):
    """A data loader that can say where it is and go back there."""

    def state(self) -> dict[str, Any]:
        """Where the loader stands, as JSON values."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken."""
        ...


class Snapshot(Protocol):
    """A training state at one step, of any framework: what a loop trains, and the rest."""

    @property
    def step(self) -> int: ...

    @property
    def rest(self) -> dict[str, Any]:
        """JSON values; `random` are the streams that `streams` names, `cursor` is the loader's."""
        ...


def json_values(rest: dict[str, Any], step: int) -> dict[str, Any]:
    """A copy of `rest` as JSON has it. Raises SnapshotError for what JSON cannot hold."""
    try:
        made: dict[str, Any] = json.loads(json.dumps(rest))
    except (TypeError, ValueError) as error:
        raise SnapshotError(
            f"the training state of step {step} does not fit into JSON: {error}",
            hint="keep the optimizer's settings and the loader's cursor in numbers, texts, lists and maps of them",
        ) from error
    return made


def move(loader: Cursor, cursor: dict[str, Any], step: int) -> None:
    """Take `loader` to `cursor`. Raises SnapshotError where it refuses, with the loader back where it stood."""
    before = loader.state()
    try:
        loader.restore(cursor)
    except Exception as error:
        loader.restore(before)
        raise SnapshotError(
            f"the loader refuses the cursor of step {step}: {error!r}",
            hint="build the loader as it was built when the snapshot was taken",
        ) from error
