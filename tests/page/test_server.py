"""A real server on an ephemeral port, and who gets what from it."""

import importlib.metadata
import logging
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from darklantern.errors import MissingExtraError, PageError, StoreError
from darklantern.page import Serving, serve
from darklantern.page.guard import HEADERS

from .client import Visitor, link, owner, stranger
from .samples import CAUGHT, Shelf, shelf

EVERY_HEADER = {
    "content-security-policy": "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
}


def test_the_link_becomes_a_cookie_and_leaves_the_address(served: Serving) -> None:
    visitor = stranger(served)
    token = served.url.partition("token=")[2]
    came = visitor.ask(link(served))
    assert came.status == 303 and came.body == ""
    assert token not in came.headers["location"]
    name, *flags = came.headers["set-cookie"].split("; ")
    assert name.startswith("darklantern=") and token not in name
    assert flags == [f"Path={came.headers['location']}", "HttpOnly", "SameSite=Strict"]


def test_the_link_works_once_and_says_why(served: Serving) -> None:
    owner(served)
    again = stranger(served).ask(link(served))
    assert again.status == 403
    assert "If it was not you" in again.body and "set-cookie" not in again.headers


def test_the_owner_reads_every_page(me: Visitor) -> None:
    assert me.ask().status == me.ask(f"finding/{CAUGHT.id}").status == me.ask("static/page.css").status == 200
    assert me.ask("static/lantern.svg").headers["content-type"].startswith("image/svg+xml")
    head = me.ask(method="HEAD")
    assert head.status == 200 and head.body == ""
    assert me.ask("finding/" + "0" * 64).status == 404


@pytest.mark.parametrize("path", ["", "finding/" + CAUGHT.id, "static/page.css", "nothing"])
def test_another_user_of_the_machine_gets_nothing(me: Visitor, path: str) -> None:
    for other in (
        Visitor(me.host, me.port, "/"),
        Visitor(me.host, me.port, me.base),  # even with the path leaked
        Visitor(me.host, me.port, me.base, "darklantern=" + "A" * 43),
        Visitor(me.host, me.port, me.base, me.cookie[:-1]),
        Visitor(me.host, me.port, me.base, me.cookie.replace("darklantern=", "other=")),
    ):
        came = other.ask(path)
        assert came.status == 403
        assert CAUGHT.finding.title not in came.body and "<" not in came.body


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "attacker.example"},
        {"host": "attacker.example:80"},
        {"host": "localhost:{port}"},
        {"host": "127.0.0.1"},
        {"origin": "http://attacker.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
    ids=str,
)
def test_rebinding_and_foreign_origins_get_403_even_with_the_cookie(me: Visitor, headers: dict[str, str]) -> None:
    came = me.ask(**{name: value.format(port=me.port) for name, value in headers.items()})
    assert came.status == 403 and "paste its link" in came.body.lower()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_there_is_nothing_to_change(me: Visitor, method: str) -> None:
    came = me.ask(method=method)
    assert came.status == 405 and came.headers["allow"] == "GET, HEAD"
    assert Visitor(me.host, me.port).ask("/", method=method).status == 403


@pytest.mark.parametrize(
    "path",
    [
        "static/",
        "static",
        "static/../app.py",
        "static/%2e%2e/app.py",
        "static/..%2fapp.py",
        "static/%2fetc%2fpasswd",
        "static//etc/passwd",
        "static/page.css/",
        "static/page.css%00",
        "static/PAGE.CSS",
        "../",
        "finding/",
        "finding/../static/page.css",
        "finding/%00",
        "finding/" + "A" * 4000,
    ],
)
def test_no_path_leads_out(me: Visitor, path: str) -> None:
    came = me.ask(path)
    assert came.status in (403, 404)
    assert "root:" not in came.body and "starlette" not in came.body


def raw(me: Visitor, request: str) -> bytes:
    with socket.create_connection((me.host, me.port), timeout=10) as link:
        link.sendall(request.encode())
        link.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: link.recv(65536), b""))


def test_requests_that_no_browser_sends(me: Visitor) -> None:
    tail = f"Cookie: {me.cookie}\r\n\r\n"
    here = f"Host: {me.authority}\r\n"
    two_hosts = raw(me, f"GET {me.base} HTTP/1.1\r\n{here}Host: attacker.example\r\n{tail}")
    no_host = raw(me, f"GET {me.base} HTTP/1.0\r\n{tail}")
    absolute = raw(me, f"GET http://attacker.example{me.base} HTTP/1.1\r\nConnection: close\r\n{here}{tail}")
    upgrade = raw(me, f"GET / HTTP/1.1\r\n{here}Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n")
    for came in (two_hosts, no_host, absolute, upgrade):
        assert came.split()[1] in (b"400", b"403", b"404"), came[:200]
        assert CAUGHT.finding.title.encode()[:10] not in came


def test_headers_are_exact_on_every_answer(served: Serving) -> None:
    me = owner(served)
    assert {name.lower(): value for name, value in HEADERS} == EVERY_HEADER
    answers = [
        me.ask(),
        me.ask("finding/" + CAUGHT.id),
        me.ask("static/page.css"),
        me.ask("nothing"),
        me.ask(method="POST"),
        me.ask(host="attacker.example"),
        stranger(served).ask("/"),
        stranger(served).ask(link(served)),
    ]
    for came in answers:
        assert EVERY_HEADER.items() <= came.headers.items()
        extra = came.headers.keys() - EVERY_HEADER.keys()
        assert extra <= {"content-type", "content-length", "allow"}, extra
        assert "access-control-allow-origin" not in came.headers
    with serve(shelf()) as other:
        entered = stranger(other).ask(link(other))
        assert EVERY_HEADER.items() <= entered.headers.items()


def test_a_library_that_fails_is_shown_with_its_hint() -> None:
    class Broken(Shelf):
        def findings(self) -> list:  # type: ignore[type-arg]
            raise StoreError("the store <b>cannot</b> be read", hint="close the other program")

    with serve(Broken()) as page:
        came = owner(page).ask()
    assert came.status == 500
    assert "the store &lt;b&gt;cannot&lt;/b&gt; be read" in came.body and "close the other program" in came.body
    assert EVERY_HEADER.items() <= came.headers.items()


def test_no_log_shows_a_secret(served: Serving, caplog: pytest.LogCaptureFixture, capfd: object) -> None:
    with caplog.at_level(logging.DEBUG):
        me = owner(served)
        me.ask()
        stranger(served).ask(link(served))
    out, err = capfd.readouterr()  # type: ignore[attr-defined]
    secrets = [served.url.partition("token=")[2], me.cookie.partition("=")[2], me.base.strip("/")]
    for secret in secrets:
        assert secret not in caplog.text + out + err


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "192.168.0.1", "8.8.8.8", "localhost", "attacker.example", "127.0.0.1 ", "::ffff:127.0.0.1"],
)
def test_only_loopback(host: str) -> None:
    with pytest.raises(PageError) as refused:
        serve(Shelf(), host=host)
    assert "loopback" in refused.value.message and "127.0.0.1" in refused.value.hint


def test_other_loopback_addresses() -> None:
    for host in ("127.0.0.2", "::1"):
        try:
            page = serve(Shelf(), host=host)
        except PageError:
            continue  # a machine without IPv6, or with one loopback address
        with page:
            visitor = stranger(page)
            spelled = f"[{host}]:{visitor.port}" if ":" in host else f"{host}:{visitor.port}"
            assert visitor.ask(link(page), host=spelled).status == 303


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PageError, match="cannot listen"):
        serve(Shelf(), port=taken.getsockname()[1])
    for port in (-1, 70_000):
        with pytest.raises(PageError, match="from 0 to 65535"):
            serve(Shelf(), port=port)


def test_closing_frees_the_port(served: Serving) -> None:
    with serve(Shelf()) as page:
        visitor = stranger(page)
    with pytest.raises(ConnectionRefusedError):
        visitor.ask("/")


def test_run_serves_until_ctrl_c() -> None:
    """In a process of its own, as the CLI calls it: one line out, nothing on stderr, a clean end."""
    code = "from darklantern.page import run; from page.samples import shelf; run(shelf()); print('ended')"
    command = [sys.executable, "-u", "-W", "error", "-c", code]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        page = Serving.__new__(Serving)
        page.url = process.stdout.readline().strip()
        assert owner(page).ask().status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("ended\n", "", 0)


def test_without_starlette_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError) as missing:
        serve(Shelf())
    assert missing.value.hint == 'pip install "darklantern[page]"'


def test_importing_the_page_loads_neither_starlette_nor_torch() -> None:
    importlib.metadata.version("starlette")
    code = (
        "import sys, darklantern.page as p; sys.exit(any(n in sys.modules for n in ('starlette', 'uvicorn', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
