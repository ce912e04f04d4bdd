"""What a relay's server runs in each worker process."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darklantern.relay.app import App


def load(folder: str) -> "App":
    """The application of the relay in `folder`, in a process that others cannot read, and that ends with the server."""
    from darklantern.cli.hardening import keep_secrets_in_memory
    from darklantern.relay.app import make_app
    from darklantern.relay.holding import end_with_server

    keep_secrets_in_memory()
    end_with_server()
    return make_app(Path(folder))
