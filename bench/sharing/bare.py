"""What a server in this language takes for a put before it is a relay: pieces over HTTP into files, nothing more.

No hash, no record, no transaction, nobody's rights. What `sync put` may cost beside rsync cannot be less than this.
"""

import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sharing.waiting import until_listening

PIECE = 4 << 20


@contextmanager
def bare_server(folder: Path, port: int) -> Iterator[int]:
    """One that stores what is put to it in `folder`; its process."""
    folder.mkdir()
    command = [sys.executable, "-m", "sharing.bare", str(folder), str(port)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL)
    try:
        until_listening(port)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def put_in_pieces(source: Path, port: int) -> None:
    """`source`, as pieces of PIECE bytes over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with source.open("rb") as file:
        for number, piece in enumerate(iter(lambda: file.read(PIECE), b"")):
            connection.request("PUT", f"/{number}", piece)
            answer = connection.getresponse()
            if answer.read() or answer.status != 204:
                raise ValueError(f"expected the piece to be taken, got {answer.status}")
    connection.close()


def _application(folder: Path) -> Callable[..., Any]:
    async def take(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            return
        partial = folder / f".{scope['path'][1:]}"
        with partial.open("wb") as file:
            more = True
            while more:
                message = await receive()
                file.write(message.get("body", b""))
                more = message.get("more_body", False)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / scope["path"][1:])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return take


def _load(folder: str) -> Callable[..., Any]:
    return _application(Path(folder))


def _serve(folder: str, port: int) -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings

    Granian(
        folder,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        loop=Loops.asyncio,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(max_buffer_size=256 * 1024),  # as the relay has it
        log_enabled=False,
    ).serve(target_loader=_load)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
