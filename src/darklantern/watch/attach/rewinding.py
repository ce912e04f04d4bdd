"""What a watch asks of a loader, whatever the framework: that it says where it stands, and goes back there."""

import json
from typing import Any

from darklantern.errors import WatchError


def rewinds(loader: Any) -> str:
    """Empty for a loader that a rollback can rewind; otherwise why it can't."""
    if loader is None:
        return "the watch was given no loader in `state`"
    if not callable(getattr(loader, "state", None)) or not callable(getattr(loader, "restore", None)):
        return f"{type(loader).__name__} has no state() and restore(state), so the data could not be rewound"
    return ""


def go_to(loader: Any, cursor: str) -> None:
    """Put `loader` back to where `cursor` was taken; nothing for one that does not say where it stands."""
    if cursor:
        loader.restore(json.loads(cursor))


def cursor(loader: Any) -> str:
    """Where `loader` stands, as JSON; the same text always for one that does not say.

    Raises WatchError when it says so in other than JSON values.
    """
    if rewinds(loader):
        return ""
    try:
        return json.dumps(loader.state(), sort_keys=True)
    except (TypeError, ValueError) as error:
        raise WatchError(
            f"{type(loader).__name__}.state() is not made of JSON values: {error}",
            hint="return numbers, texts, lists and maps of them; for NumPy's Generator, bit_generator.state",
        ) from error
