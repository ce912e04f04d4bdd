"""HTTP by hand, so that a test decides every byte of a request."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from darklantern.page import Serving


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Visitor:
    """Someone who reaches the port: knows the address, and whatever else a test hands over."""

    host: str
    port: int
    base: str = "/"
    cookie: str = ""

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    def ask(self, path: str = "", method: str = "GET", **headers: str) -> Answer:
        """`path` is relative to where the pages are unless it starts with a slash; `sec_fetch_site` names a header."""
        fields = {"host": self.authority, **({"cookie": self.cookie} if self.cookie else {})}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.putrequest(method, path if path.startswith("/") else self.base + path, skip_host=True)
            for name, value in fields.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            came = connection.getresponse()
            return Answer(came.status, {k.lower(): v for k, v in came.getheaders()}, came.read().decode())
        finally:
            connection.close()


def stranger(page: Serving) -> Visitor:
    """Another user of this machine: the port is public knowledge, the link is not."""
    address = urlsplit(page.url)
    assert address.hostname and address.port
    return Visitor(address.hostname, address.port)


def owner(page: Serving) -> Visitor:
    """Who used the link."""
    visitor = stranger(page)
    came = visitor.ask(link(page))
    assert came.status == 303, came
    cookie = came.headers["set-cookie"].partition(";")[0]
    return Visitor(visitor.host, visitor.port, came.headers["location"], cookie)


def link(page: Serving) -> str:
    address = urlsplit(page.url)
    return f"{address.path}?{address.query}"
