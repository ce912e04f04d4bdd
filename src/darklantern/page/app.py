"""From a request to a page: the guard around six routes. Starlette loads here, late."""

from collections.abc import Mapping
from importlib.resources import files
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.page import sheet
from darklantern.page.downloads import disposition, held_back
from darklantern.page.guard import HEADERS, Asked, Guard, Verdict
from darklantern.page.home import home
from darklantern.page.layout import document
from darklantern.page.markup import Html, tag
from darklantern.page.report import report
from darklantern.page.threads import topic
from darklantern.page.views import Readable

_STATIC: Mapping[str, str] = {"page.css": "text/css", "lantern.svg": "image/svg+xml"}


def app(library: Readable, guard: Guard) -> ASGIApp:
    """The page as an ASGI application, guarded."""

    # Handlers are coroutines so that the library is read by one request after the other, in the one
    # thread that serves. Reading touches no database, so that need not be the thread that opened it.
    async def show_home(request: Request) -> Response:
        return HTMLResponse(home(library.findings(), library.topics()))

    async def show_finding(request: Request) -> Response:
        item = library.open_item(request.path_params["item"])
        return HTMLResponse(report(item, library.thread(item.id), library.panel(item)))

    async def show_assessment(request: Request) -> Response:
        item = library.open_item(request.path_params["item"])
        if item.assessment is None:
            raise RefusedError("nobody has assessed this finding", hint="darklantern assess run measures what can be")
        return HTMLResponse(sheet.page(item, item.assessment, library.panel(item)))

    async def show_thread(request: Request) -> Response:
        return HTMLResponse(topic(library.thread(request.path_params["thread"])))

    async def send_attachment(request: Request) -> Response:
        found = library.attachment(request.path_params["post"], request.path_params["sha256"])
        return StreamingResponse(
            held_back(found.stream),
            media_type="application/octet-stream",  # whatever its author says that it is
            headers={"Content-Disposition": disposition(found.name), "Content-Length": str(found.size)},
        )

    static = {name: files("darklantern.page").joinpath("static", name).read_bytes() for name in _STATIC}

    async def show_static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in static:
            raise HTTPException(404)
        return Response(static[name], media_type=_STATIC[name])

    async def missing(request: Request, error: Exception) -> Response:
        return HTMLResponse(_problem("Not here", guard.base, tag("p", "There is no such page.")), status_code=404)

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, DarkLanternError)
        words = [tag("p", error.message), tag("p", error.hint, class_="soft")]
        if isinstance(error, RefusedError):
            return HTMLResponse(_problem("Not here", guard.base, *words), status_code=404)
        return HTMLResponse(_problem("This could not be opened", guard.base, *words), status_code=500)

    routes = [
        Route(guard.base, show_home),
        Route(guard.base + "finding/{item}", show_finding),
        Route(guard.base + "assessment/{item}", show_assessment),
        Route(guard.base + "thread/{thread}", show_thread),
        Route(guard.base + "attachment/{post}/{sha256}", send_attachment),
        Route(guard.base + "static/{name}", show_static),
    ]
    inner = Starlette(
        routes=routes,
        exception_handlers={404: missing, DarkLanternError: failed},
    )
    inner.router.redirect_slashes = False  # a path is right or it is not here
    return Guarded(inner, guard)


class Guarded:
    """Asks the guard before the application sees anything, and puts the headers on every answer."""

    def __init__(self, inner: ASGIApp, guard: Guard) -> None:
        self._inner, self._guard = inner, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the page speaks HTTP only, not {scope['type']}")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS:
                    headers[name] = value
            await send(message)

        verdict = self._guard.judge(_asked(scope))
        answer = self._inner if verdict is Verdict.PASS else _answer(verdict, self._guard)
        await answer(scope, receive, send_with_headers)


def _asked(scope: Scope) -> Asked:
    headers: list[tuple[bytes, bytes]] = scope["headers"]

    def all_of(name: bytes) -> tuple[bytes, ...]:
        return tuple(value for key, value in headers if key == name)

    tokens = parse_qs(scope["query_string"]).get(b"token", [])
    return Asked(
        method=scope["method"],
        path=scope["path"],
        token=tokens[0] if len(tokens) == 1 else b"",
        hosts=all_of(b"host"),
        origins=all_of(b"origin"),
        sites=all_of(b"sec-fetch-site"),
        cookies=all_of(b"cookie"),
    )


def _answer(verdict: Verdict, guard: Guard) -> Response:
    if verdict is Verdict.ENTER:
        return RedirectResponse(guard.base, status_code=303, headers={"Set-Cookie": guard.set_cookie})
    if verdict is Verdict.METHOD:
        return PlainTextResponse(verdict.value + "\n", status_code=405, headers={"Allow": "GET, HEAD"})
    return PlainTextResponse(verdict.value + "\n", status_code=403)


def _problem(heading: str, root: str, *words: Html) -> Html:
    title = tag("div", tag("h1", heading), class_="title")
    back = tag("p", tag("a", "← Library", href=root), class_="crumb")
    return document(heading, tag("main", title, *words, back, id="content", class_="home"), root=root)
