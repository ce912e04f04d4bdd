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
    """A copy of `rest` as JSON has it.

    Raises SnapshotError for what JSON cannot hold, and for a cursor that it changes: a loader is to be given what it
    said.
    """
    try:
        made: dict[str, Any] = json.loads(json.dumps(rest))
    except (TypeError, ValueError) as error:
        raise SnapshotError(
            f"the training state of step {step} does not fit into JSON: {error}",
            hint="keep the optimizer's settings and the loader's cursor in numbers, texts, lists and maps of them",
        ) from error
    if (other := unlike_json(rest.get("cursor"), made.get("cursor"))) is not None:
        raise SnapshotError(
            f"the loader's cursor of step {step} comes back from JSON as something else: {other}",
            hint="texts as keys and lists in the place of tuples",
        )
    return made


def unlike_json(value: Any, back: Any) -> str | None:
    """The first part of `value` that came `back` from JSON as something else; None where all is the same."""
    if value == back or (value != value and back != back):  # NaN equals nothing
        return None
    if isinstance(value, dict) and isinstance(back, dict) and value.keys() == back.keys():
        pairs = [(value[name], back[name]) for name in value]
    elif isinstance(value, list) and isinstance(back, list) and len(value) == len(back):
        pairs = list(zip(value, back, strict=True))
    else:
        return f"{value!r}"[:80]
    return next((found for pair in pairs if (found := unlike_json(*pair)) is not None), None)


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
