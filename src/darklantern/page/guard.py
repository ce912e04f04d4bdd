"""Who may see the page. Facts of a request in, a verdict out; no I/O and no framework.

Other users of this machine can reach a loopback port, and so can any web page in the user's own
browser. Against each there is one rule, and a request must pass them all:

1. DNS rebinding: `Host` is exactly our address and port, once.
2. Pages of other origins, other ports of this host included: `Origin`, where the browser sends it,
   is exactly ours, and `Sec-Fetch-Site` is `same-origin`, or `none` (typed or pasted by a person).
3. Other users: a cookie that only the holder of the one-time link can get. The link works once, so
   that a copy in a terminal's scrollback is worth nothing, and a theft shows: the owner is refused.
4. Cookies do not know ports: a browser sends those of 127.0.0.1:1111 to another user's server on
   127.0.0.1:2222. Hence the cookie is bound to a path that cannot be guessed, and pages live there.
5. Only GET and HEAD: there is nothing to change here.
"""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

COOKIE = "darklantern"

HEADERS: tuple[tuple[str, str], ...] = (
    (
        "Content-Security-Policy",
        "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""On every answer, refusals and errors included."""


class Verdict(Enum):
    """What to do with a request; a refusal's value is what its sender is told."""

    PASS = "show it"
    ENTER = "the one-time link: give the cookie, and send on to where the pages are"
    SPENT = (
        "This link has been used; it works once. If it was not you who used it, stop the server now.\n"
        "Otherwise go to the window that it opened, or start the page again for a fresh link."
    )
    STRANGER = "This page is shown only to the browser that opened it with its one-time link."
    FOREIGN = "This page answers only at its own address, and to no other site. Paste its link into the address bar."
    METHOD = "This page can only be read: GET and HEAD."


@dataclass(frozen=True, slots=True)
class Asked:
    """What the guard looks at. Header fields as often as they came, undecoded."""

    method: str
    path: str
    token: bytes = b""
    """of the query `token=…`; empty if there is none"""
    hosts: tuple[bytes, ...] = ()
    origins: tuple[bytes, ...] = ()
    sites: tuple[bytes, ...] = ()
    """`Sec-Fetch-Site`"""
    cookies: tuple[bytes, ...] = ()


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass
class Guard:
    """The secrets of one run of the server, and whether the link has been used.

    `authority` is address and port as a browser spells them: `127.0.0.1:8123`, `[::1]:8123`.
    """

    authority: str
    token: str = field(default_factory=_secret, repr=False)
    cookie: str = field(default_factory=_secret, repr=False)
    base: str = field(default_factory=lambda: f"/{secrets.token_urlsafe(16)}/", repr=False)
    """the path that all pages live under"""
    spent: bool = False

    @property
    def link(self) -> str:
        """The one-time link. Show it on the owner's terminal; never log it or pass it in argv."""
        return f"http://{self.authority}/?token={self.token}"

    @property
    def set_cookie(self) -> str:
        """No Max-Age: it ends with the browser. No Secure: plain HTTP, and it never leaves the machine."""
        return f"{COOKIE}={self.cookie}; Path={self.base}; HttpOnly; SameSite=Strict"

    def judge(self, asked: Asked) -> Verdict:
        """The verdict; the first ENTER spends the link."""
        if asked.hosts != (self.authority.encode(),) or not self._own(asked):
            return Verdict.FOREIGN
        if asked.token and asked.path == "/" and asked.method == "GET":
            return self._enter(asked.token)
        if not any(_same(each, self.cookie) for each in _values(asked.cookies)):
            return Verdict.STRANGER
        return Verdict.PASS if asked.method in ("GET", "HEAD") else Verdict.METHOD

    def _own(self, asked: Asked) -> bool:
        origin = f"http://{self.authority}".encode()
        return all(each == origin for each in asked.origins) and all(
            each in (b"same-origin", b"none") for each in asked.sites
        )

    def _enter(self, token: bytes) -> Verdict:
        if not _same(token, self.token):
            return Verdict.STRANGER
        if self.spent:
            return Verdict.SPENT
        self.spent = True
        return Verdict.ENTER


def _same(came: bytes, expected: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(came, expected.encode())


def _values(headers: Iterable[bytes]) -> list[bytes]:
    """All values under our name: a neighbour on another port may have set one beside ours."""
    pairs = [pair.strip().partition(b"=") for header in headers for pair in header.split(b";")]
    return [value for name, _, value in pairs if name == COOKIE.encode()]
