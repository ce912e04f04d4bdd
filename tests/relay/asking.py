"""A small client of a relay, on http.client: it writes requests as docs/spec/relay.md says, or wrongly on purpose."""

import http.client
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from darklantern.logs import frames
from darklantern.logs.stream import Frame, Kind
from darklantern.relay.peers import connect
from darklantern.sealing import Device, RelayCard, RelayKey
from darklantern.sealing.login import login_message

Who = Device | RelayKey


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Asking:
    """One connection of `who` to the relay of `card`."""

    card: RelayCard
    net: str
    who: Who | None = None
    token: str | None = None
    connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def close(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        """One answer. A relay closes idle connections: what fails on an old one is asked again on a new one."""
        fresh = self.connection is None
        try:
            return self._ask(method, path, body, headers)
        except (OSError, http.client.HTTPException):
            self.close()
            if fresh:
                raise
        try:
            return self._ask(method, path, body, headers)
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str] | None) -> Reply:
        connection = self.connection = self.connection or connect(self.card.urls[0], self.card.certificate)
        asked = dict(headers or {})
        if self.token:
            asked.setdefault("Authorization", f"Bearer {self.token}")
        connection.request(method, path, body, asked)  # another thread may close it, and take it from `self`
        response = connection.getresponse()
        return Reply(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})

    def challenge(self) -> dict[str, Any]:
        reply = self.ask("POST", "/v1/nonce", b"")
        assert reply.status == 200, reply
        return reply.json

    def login(self, challenge: dict[str, Any], **lies: Any) -> bytes:
        """The body of /v1/token; `lies` say otherwise in what is signed."""
        assert self.who
        nonce = b64decode(challenge["nonce"])
        said = {"net": self.net, "relay": challenge["relay"], "nonce": nonce, "device": self.who.public.id} | {
            "expires": challenge["expires"]
        }
        signature = sign_login(self.who, login_message(**(said | lies)))
        return exact(
            v=1,
            device=self.who.public.id,
            nonce=challenge["nonce"],
            expires=lies.get("expires", challenge["expires"]),
            signature=b64encode(signature).decode(),
        )

    def log_in(self) -> "Asking":
        reply = self.ask("POST", "/v1/token", self.login(self.challenge()))
        assert reply.status == 200, reply
        self.token = reply.json["token"]
        return self

    def post(self, log: str, envelopes: Iterable[bytes], blobs: Iterable[bytes] = ()) -> Reply:
        body = frames.pack(
            [*(Frame(Kind.ENTRY, each) for each in envelopes), *(Frame(Kind.BLOB, each) for each in blobs)]
        )
        return self.ask("POST", f"/v1/logs/{log}/records", body)

    def put(self, log: str, data: bytes, name: str | None = None) -> Reply:
        return self.ask("PUT", f"/v1/logs/{log}/blobs/{name or blake3(data).hexdigest()}", data)

    def get(self, log: str, name: str, **headers: str) -> Reply:
        return self.ask("GET", f"/v1/logs/{log}/blobs/{name}", headers=headers)

    def heads(self) -> dict[str, bytes]:
        return {head["log"]: b64decode(head["note"]) for head in self.ask("GET", "/v1/heads").json["heads"]}

    def entries(self, log: str, start: int = 0, stop: int = 1 << 40) -> list[bytes]:
        reply = self.ask("GET", f"/v1/logs/{log}/entries?start={start}&stop={stop}")
        assert reply.status == 200, reply
        first, *rest = frames.unpack(reply.body)
        assert json.loads(first.payload) == {"v": 1, "log": log, "start": start, "count": len(rest)}
        return [payload for _, payload in rest]


def sign_login(who: Who, message: bytes) -> bytes:
    return who.sign_login(message)


def exact(**fields: Any) -> bytes:
    """JSON without spaces, in the order given."""
    return json.dumps(fields, separators=(",", ":")).encode()
