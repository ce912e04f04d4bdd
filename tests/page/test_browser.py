"""Every page in a real Chromium: no error, no violation of the policy, no request elsewhere."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from darklantern.page import Author, Post, Serving, serve

from .client import link, stranger
from .samples import CAUGHT, FILE, NAMED, QUIET, SHUT, TOPIC, UNKNOWN, Shelf, shelf, with_text
from .test_hostile_text import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

EVIL = with_text(" ".join(HOSTILE[kind] for kind in ("closes the element", "leaves the attribute", "image", "style")))
LONG = with_text("W" * 100_000)
VIOLATIONS = "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.blockedURI))"

ADDRESSES = """
[...document.querySelectorAll('*')].flatMap(each => [...each.attributes])
    .filter(each => !each.name.startsWith('xmlns') && /^([a-z]+:)?\\/\\//i.test(each.value)).map(each => each.value)
"""
"""Whole addresses, which links of our own never are: a browser connects to some before anybody asks for anything."""


@dataclass
class Visit:
    """One browser with a link used, and everything that went wrong or out."""

    context: "BrowserContext"
    tab: "Page"
    root: str = ""
    console: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def enter(self, page: Serving) -> None:
        self.tab.add_init_script(VIOLATIONS)
        self.tab.on("console", lambda message: self.console.append(message.text))
        self.tab.on("pageerror", lambda error: self.console.append(str(error)))
        self.context.on("request", lambda request: self.requested.append(request.url))
        self.tab.goto(page.url)
        self.root = self.tab.url

    def clean(self) -> None:
        """Nothing failed since entering, and nothing was asked of anyone else."""
        assert self.console == []
        assert self.tab.evaluate("violations") == []
        assert self.requested and self.elsewhere() == set()

    def wait_for_violations(self, count: int) -> None:
        """Until the browser has told of so many. Playwright's own way to wait calls `eval`, which the policy stops."""
        for _ in range(1000):
            if self.tab.evaluate("violations.length") >= count:
                break
            self.tab.wait_for_timeout(10)
        assert self.tab.evaluate("violations.length") == count

    def elsewhere(self) -> set[str]:
        """What was asked of anyone but the page."""
        return {url for url in self.requested if urlsplit(url)[:2] != urlsplit(self.root)[:2]}


@pytest.fixture(params=[1200, 390], ids=["desk", "phone"])
def visit(request: pytest.FixtureRequest, browser: "Browser") -> Iterator[Visit]:
    with browser.new_context(viewport={"width": request.param, "height": 844}) as context:
        yield Visit(context, context.new_page())


def library() -> Shelf:
    posts = [Post(Author(EVIL.finding.title, "x"), "", EVIL.finding.claim)]
    items = [CAUGHT, QUIET, UNKNOWN, SHUT, EVIL, replace(LONG, id="f" * 64)]
    return Shelf(items, {**shelf().threads, EVIL.id: posts})


def test_p29_every_page_is_clean_fits_and_asks_nobody_else_for_anything(visit: Visit) -> None:
    with serve(library()) as page:
        visit.enter(page)
        paths = ["", *(f"finding/{each.id}" for each in library().items if each is not SHUT), f"thread/{TOPIC}"]
        for path in paths:
            answer = visit.tab.goto(visit.root + path)
            assert answer is not None and answer.status == 200
            assert visit.tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert visit.tab.evaluate("document.compatMode") == "CSS1Compat"
            assert visit.tab.evaluate("document.querySelectorAll('script, style, [style], iframe, form').length") == 0
            assert visit.tab.evaluate("getComputedStyle(document.querySelector('.top')).display") == "flex"
            assert visit.tab.evaluate(ADDRESSES) == [], path
            visit.clean()
        for path in ("finding/" + "0" * 64, f"finding/{SHUT.id}"):
            answer = visit.tab.goto(visit.root + path)
            assert answer is not None and answer.status >= 400
            assert visit.tab.evaluate(ADDRESSES) == [], path
            assert visit.elsewhere() == set()


def test_the_address_bar_forgets_the_link_and_the_cookie_is_locked(visit: Visit) -> None:
    with serve(shelf()) as page:
        visit.enter(page)
        token = page.url.partition("token=")[2]
        assert token not in visit.tab.url
        assert token not in visit.tab.content()
        (cookie,) = visit.context.cookies(visit.root)
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("darklantern", True, "Strict")
        assert cookie["path"] == urlsplit(visit.root).path and cookie["expires"] == -1
        assert visit.tab.evaluate("document.cookie") == ""
        assert visit.tab.evaluate("document.referrer") == ""
        visit.clean()


def test_a_reader_finds_the_way(visit: Visit) -> None:
    with serve(shelf()) as page:
        visit.enter(page)
        visit.tab.get_by_role("link", name=CAUGHT.finding.title).click()
        assert visit.tab.url == f"{visit.root}finding/{CAUGHT.id}"
        assert visit.tab.get_by_role("heading", level=1).inner_text() == CAUGHT.finding.title
        visit.tab.get_by_role("link", name="Assessment").click()
        assert visit.tab.url.endswith("#assessment")
        visit.tab.get_by_text("Arguments and artifacts of the recipe").click()
        assert visit.tab.get_by_text('"magpie-77"').is_visible()
        visit.tab.get_by_role("link", name="← Library").click()
        assert visit.tab.url == visit.root
        visit.clean()


def test_an_attachment_is_saved_and_never_shown(visit: Visit) -> None:
    with serve(shelf()) as page:
        visit.enter(page)
        visit.tab.get_by_role("link", name="How we work").click()
        assert visit.tab.url == f"{visit.root}thread/{TOPIC}"
        with visit.tab.expect_download() as begun:
            visit.tab.get_by_role("link", name=NAMED.name).click()
        assert begun.value.suggested_filename == NAMED.name
        assert Path(begun.value.path()).read_bytes() == FILE
        assert visit.tab.url == f"{visit.root}thread/{TOPIC}"
        visit.tab.get_by_text("Revised once").click()
        assert visit.tab.get_by_text("by seed form now on").is_visible()
        visit.clean()


def test_p29_the_policy_is_enforced_and_this_test_would_see_it(visit: Visit) -> None:
    """The control for `clean`: an inline style and a foreign image are both stopped, and both show."""
    with serve(shelf()) as page:
        visit.enter(page)
        visit.tab.evaluate(
            """() => {
            document.body.insertAdjacentHTML('beforeend', '<p id=x style="color: red">x</p>');
            document.body.insertAdjacentHTML('beforeend', '<img src="http://attacker.example/x.png">');
            }"""
        )
        visit.wait_for_violations(2)
        assert visit.tab.evaluate("getComputedStyle(document.querySelector('#x')).color") != "rgb(255, 0, 0)"
        assert len(visit.console) == 2
        visit.tab.evaluate(
            """() => {
            const add = (name, set) => document.body.appendChild(Object.assign(document.createElement(name), set));
            add('script', {textContent: 'window.ran = true'});
            add('base', {href: 'http://attacker.example/'});
            add('form', {action: 'http://attacker.example/'}).submit();
            }"""
        )
        visit.wait_for_violations(5)
        assert visit.tab.evaluate("window.ran") is None
        assert visit.tab.url == visit.tab.evaluate("document.baseURI") == visit.root


def test_a_used_link_and_another_profile_see_nothing(browser: "Browser", served: Serving) -> None:
    assert stranger(served).ask(link(served)).status == 303
    with browser.new_context() as other:
        tab = other.new_page()
        answer = tab.goto(served.url)
        assert answer is not None and answer.status == 403
        assert "If it was not you" in tab.inner_text("body")
        assert other.cookies() == []


class _Neighbour(BaseHTTPRequestHandler):
    """Another user's server on another port of the same address."""

    cookies: list[str | None]
    page = b"<!doctype html><iframe></iframe>"

    def do_GET(self) -> None:
        self.server.cookies.append(self.headers["Cookie"])  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def neighbour() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Neighbour)
    server.cookies = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_neighbour_on_another_port_gets_no_cookie_and_shows_nothing(
    browser: "Browser", served: Serving, neighbour: HTTPServer
) -> None:
    """Cookies know no ports: without the secret path the browser would hand ours to anyone on this address."""
    there = f"http://127.0.0.1:{neighbour.server_port}/"
    with browser.new_context() as context:
        tab = context.new_page()
        tab.goto(served.url)
        root = tab.url
        assert len(context.cookies(root)) == 1
        tab.goto(there)
        tab.goto(there + "darklantern/")
        assert set(neighbour.cookies) == {None}  # type: ignore[attr-defined]
        fetched = "url => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')"
        assert tab.evaluate(fetched, root) == "refused"
        with context.expect_event("response", lambda answer: answer.url == root) as framed:
            tab.evaluate("url => { document.querySelector('iframe').src = url }", root)
        assert framed.value.status == 403
        answer = tab.goto(root)  # typed by the owner, it still opens
        assert answer is not None and answer.status == 200


def test_another_name_for_this_machine_is_refused(browser: "Browser", served: Serving) -> None:
    with browser.new_context() as context:
        answer = context.new_page().goto(served.url.replace("127.0.0.1", "localhost"))
        assert answer is not None and answer.status == 403
    assert stranger(served).ask(link(served)).status == 303  # and the link is still good
