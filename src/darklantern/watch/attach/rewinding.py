"""What a watch asks of a loader, whatever the framework: that it says where it stands, and goes back there."""

import json
from typing import Any

from darklantern.errors import WatchError


def check_loader(loader: Any) -> None:
    """Raises WatchError for a loader that a rollback could not rewind."""
    if not callable(getattr(loader, "state", None)) or not callable(getattr(loader, "restore", None)):
        raise WatchError(
            f"{type(loader).__name__} has no state() and restore(state), so a rollback could not rewind the data",
            hint="wrap it in a class with __iter__, state() and restore(state); organisms.training.Loader is one",
        )
    cursor(loader)


def cursor(loader: Any) -> str:
    """Where `loader` stands, as JSON. Raises WatchError when it does not say so in JSON values."""
    try:
        return json.dumps(loader.state(), sort_keys=True)
    except (TypeError, ValueError) as error:
        raise WatchError(
            f"{type(loader).__name__}.state() is not made of JSON values: {error}",
            hint="return numbers, texts, lists and maps of them; for NumPy's Generator, bit_generator.state",
        ) from error
