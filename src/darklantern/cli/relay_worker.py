"""What a relay's server runs in each worker process."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darklantern.relay.app import App


def load(folder: str) -> "App":
    """The application of the relay in `folder`, in a process that other processes cannot read."""
    from darklantern.cli.hardening import keep_secrets_in_memory
    from darklantern.relay.app import make_app

    keep_secrets_in_memory()
    return make_app(Path(folder))
