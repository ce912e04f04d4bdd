"""A whole relay, in this process and without a socket: each input is one request of a device that is logged in.

In: a method, a path and headers, each on a line, an empty line, and a body. Out: nothing: it is answered, or refused,
or the relay says that it failed, which is a crash. What it accepts stays in its logs: later inputs meet another relay.
"""

import asyncio
import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import msgspec
from blake3 import blake3
from network.world import device
from relay.running import relay_key

from darklantern.errors import RefusedError
from darklantern.logs import frames
from darklantern.logs.stream import Frame, Kind
from darklantern.records.exact import decode, encode
from darklantern.records.relay_wire import Challenge, Grant, Login, Names
from darklantern.relay.app import App
from darklantern.relay.config import KEYS, Limits, read_config
from darklantern.relay.setting_up import begin, make_relay
from darklantern.relay.stores import open_blobs, open_database
from darklantern.sealing.login import login_message
from fuzz import seeds

PIECE = b"a piece of ciphertext"
NAME = blake3(PIECE).hexdigest()
_OFTEN = 1 << 30


class Relay:
    """One relay, and the token of its one device."""

    def __init__(self) -> None:
        world, _ = seeds.network()
        folder = Path(tempfile.mkdtemp(prefix="darklantern-fuzz-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        make_relay(folder, world.net, tls=False)
        key = relay_key("keeper")
        (folder / KEYS).write_bytes(key.to_bytes())
        begin(folder, world.logs[world.net])
        limits = Limits(requests_a_second=_OFTEN, logins_a_minute=_OFTEN, device_bytes_a_day=_OFTEN)
        config = msgspec.structs.replace(read_config(folder), limits=limits)
        database, blobs = open_database(config.database), open_blobs(config.blobs)
        self.net, self.relay = world.net, key.public.id
        self._app = App(config, key, (), database, blobs, "metrics", folder)
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._app.start())
        atexit.register(self._end)
        self.token = self.log_in()

    def log_in(self) -> str:
        """A token, as a device gets one."""
        me = device("ada")
        challenge = decode(Challenge, self.ask(b"POST", b"/v1/nonce", {}, b"")[1])
        asked = login_message(self.net, self.relay, challenge.nonce, me.public.id, challenge.expires)
        login = Login(
            device=me.public.id, nonce=challenge.nonce, expires=challenge.expires, signature=me.sign_login(asked)
        )
        return decode(Grant, self.ask(b"POST", b"/v1/token", {}, encode(login))[1]).token

    def ask(self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        path, _, query = target.partition(b"?")
        sent: list[dict] = []

        async def receive() -> dict:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method.decode("latin-1"),
            "path": path.decode("utf-8", "replace"),
            "query_string": query,
            "headers": list(({b"content-length": b"%d" % len(body)} | headers).items()),
            "client": ("127.0.0.1", 1),
        }
        self._loop.run_until_complete(self._app(scope, receive, send))
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

    def _end(self) -> None:
        self._loop.run_until_complete(self._app.stop())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@cache
def running() -> Relay:
    """The one relay of this process."""
    return Relay()


def answered(data: bytes) -> None:
    """Raises RefusedError for an answer of 400 and above; anything that the relay did not foresee goes through."""
    head, _, body = data.partition(b"\n\n")
    first, *rest = head.split(b"\n")
    method, _, target = first.partition(b" ")
    relay = running()
    headers = dict(line.partition(b": ")[::2] for line in rest) | {b"authorization": b"Bearer " + relay.token.encode()}
    status, said = relay.ask(method, target, headers, body)
    if status == 401 and not target.startswith(b"/v1/token"):  # ten minutes are over
        relay.token = relay.log_in()
    assert status < 500 or status in (503, 507), said
    if status >= 400:
        raise RefusedError(f"answered {status}", hint=said[:200].decode("utf-8", "replace"))


def requests() -> tuple[bytes, ...]:
    """One of each, which a relay that serves this network takes."""
    world, circle = seeds.network()
    logs = [log.encode() for log in (world.net, circle)]
    blob = b"/v1/logs/" + logs[1] + b"/blobs/" + NAME.encode()
    records = frames.pack([*(Frame(Kind.ENTRY, each) for each in world.logs[circle]), Frame(Kind.BLOB, PIECE)])
    return (
        b"GET /v1/health\n\n",
        b"POST /v1/nonce\n\n",
        b"GET /v1/heads\n\n",
        *(b"GET /v1/logs/" + log + b"/entries?start=0&stop=3\n\n" for log in logs),
        b"POST /v1/logs/" + logs[1] + b"/records\n\n" + records,
        b"POST /v1/logs/" + logs[1] + b"/missing\n\n" + encode(Names(names=(NAME,))),
        b"PUT " + blob + b"\n\n" + PIECE,
        b"GET " + blob + b"\nrange: bytes=2-5\n\n",
        b"HEAD " + blob + b"\n\n",
    )
