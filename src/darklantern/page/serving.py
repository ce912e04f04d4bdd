"""The one place where this room does something: a socket on loopback, a server, a thread or the caller's own."""

import ipaddress
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from darklantern.errors import MissingExtraError, PageError
from darklantern.library import Library
from darklantern.page.guard import Guard
from darklantern.page.reading import readable
from darklantern.page.views import Readable

if TYPE_CHECKING:
    from uvicorn import Server


class Serving:
    """A page that is being served in a thread of its own until it is closed.

    with serve(library) as page:
        print(page.url)
    """

    def __init__(self, server: "Server", listener: socket.socket, url: str) -> None:
        self.url = url
        """the one-time link; for the owner's eyes"""
        self._server = server
        self._thread = threading.Thread(target=server.run, args=([listener],), name="darklantern page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and wait until it has."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(library: Library | Readable, host: str = "127.0.0.1", port: int = 0) -> Serving:
    """Serve `library` in a thread, which is also the thread that reads it. Port 0 takes any free one.

    Raises PageError for an address beyond loopback or a port in use, MissingExtraError without
    starlette and uvicorn.
    """
    server, listener, guard = _prepare(library, host, port)
    return Serving(server, listener, guard.link)


def run(
    library: Library | Readable, host: str = "127.0.0.1", port: int = 0, *, announce: Callable[[str], object] = print
) -> None:
    """Serve `library` in this thread until Ctrl-C; `announce` gets the one-time link first. In a notebook, `serve`.

    It opens no browser: the link would stand in that program's arguments, where every user of the
    machine can read it. Raises as `serve` does.
    """
    server, listener, guard = _prepare(library, host, port)
    announce(guard.link)
    with listener, suppress(KeyboardInterrupt):
        server.run([listener])


def _prepare(library: Library | Readable, host: str, port: int) -> "tuple[Server, socket.socket, Guard]":
    """Everything but the serving: from here on the port is ours, and connections wait in its queue."""
    family = _loopback(host)
    if not 0 <= port < 2**16:
        raise PageError(f"expected a port from 0 to 65535, got {port}", hint="port=0 takes a free one")
    try:
        import uvicorn

        from darklantern.page.app import app
        from darklantern.page.protocol import QuietProtocol
    except ImportError as error:
        raise MissingExtraError(
            f"the page needs starlette and uvicorn: {error}", hint='pip install "darklantern[page]"'
        ) from error
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise PageError(
            f"cannot listen on {host} port {port}: {error}", hint="another program may have it; port=0 takes a free one"
        ) from error
    taken = listener.getsockname()[1]
    spelled = f"[{host}]" if family is socket.AF_INET6 else host
    guard = Guard(spelled if taken == 80 else f"{spelled}:{taken}")  # browsers leave out the port of plain HTTP
    config = uvicorn.Config(
        app(readable(library), guard),
        http=QuietProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        workers=1,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=64,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config), listener, guard


def _loopback(host: str) -> socket.AddressFamily:
    """The family of an address that cannot be reached from elsewhere. Names are refused: they resolve to anything."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if isinstance(address, ipaddress.IPv4Address) and address.is_loopback:
            return socket.AF_INET
        if host == "::1":
            return socket.AF_INET6
    raise PageError(
        f"expected a loopback address, got {host!r}: the page is for this machine only",
        hint="use 127.0.0.1 or ::1; to read it from elsewhere, forward the port over ssh and keep the port number",
    )
