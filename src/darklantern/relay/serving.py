"""Running a relay: the server, its workers, its limits for connections.

In: settings, and a function that makes the application in a worker. Out: nothing, until a signal ends it: it then
stops accepting, lets requests end, and closes the stores.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from darklantern.errors import MissingExtraError
from darklantern.relay.config import CERTIFICATE, CERTIFICATE_KEY, read_config
from darklantern.relay.holding import check_free, held
from darklantern.relay.setting_up import check_address, check_begun

_BUFFER_BYTES: Final = 256 * 1024
"""of a connection: the most that its headers may be, and a body's step. With 32 KiB a blob takes four times as long."""
_STOP_S: Final = 30
_CONNECTIONS: Final = 1024
"""of all; how many of one address is for the firewall (deploy/darklantern-relay.nft), which sees who connects"""


def serve(folder: Path, load: Callable[[str], Any]) -> None:
    """Serve the relay in `folder` until SIGTERM or SIGINT. `load` gets the folder and gives the ASGI application.

    `load` runs in each worker, a process of its own, so it must be a function of a module. Raises RefusedError for
    an address that is not private, StoreError where another serves the folder or the port, MissingExtraError.
    """
    config = read_config(folder)
    check_address(config)
    check_begun(config)
    try:
        from granian import Granian
        from granian.constants import HTTPModes, Interfaces, Loops
        from granian.http import HTTP1Settings
    except ImportError as error:
        raise MissingExtraError("serving a relay needs granian", hint="pip install 'darklantern[relay]'") from error
    server = Granian(
        str(folder),
        address=config.listen,
        port=config.port,
        interface=Interfaces.ASGI,
        workers=config.workers,
        loop=Loops.asyncio,  # whatever else is installed: uvloop takes twice as long for a blob
        http=HTTPModes.http1,
        websockets=False,
        backpressure=_CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=config.limits.header_s * 1000, max_buffer_size=_BUFFER_BYTES),
        # The server would log what an application raised, and with it what a peer sent.
        log_enabled=False,
        ssl_cert=folder / CERTIFICATE if config.tls else None,
        ssl_key=folder / CERTIFICATE_KEY if config.tls else None,
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_S,
    )
    with held(folder):
        check_free(config.listen, config.port)
        server.serve(target_loader=load)
