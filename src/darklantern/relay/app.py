"""The ASGI application: a relay's parts put together, its requests answered, its chores done.

In: a folder with settings and keys. Out: an application for an ASGI server. Several processes may run it over one
database and one store of blobs.
"""

import asyncio
import gc
import hmac
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from darklantern.errors import DarkLanternError
from darklantern.relay.appending import Appender
from darklantern.relay.charging import Quotas
from darklantern.relay.chores import Chores
from darklantern.relay.config import METRICS_TOKEN, Config, read_card, read_config
from darklantern.relay.exchange import Answer, DisconnectedError, Pace, Receive, Request, Scope, Send, refusal
from darklantern.relay.folded import Folded
from darklantern.relay.grants import Grants
from darklantern.relay.keys import read_keys
from darklantern.relay.known_peers import KnownPeers, Peer
from darklantern.relay.limits import Bound, BoundEach, Rate
from darklantern.relay.logins import Logins
from darklantern.relay.measuring import Counts, gauge
from darklantern.relay.mirroring import Mirrors
from darklantern.relay.pieces import Pieces
from darklantern.relay.problems import Problem, problem
from darklantern.relay.remembering import Remembered
from darklantern.relay.service import Bounds, Service
from darklantern.relay.stores import Blobs, Database, open_blobs, open_database
from darklantern.relay.telling import short, tell, tell_defect
from darklantern.relay.witnessing import Witnessing
from darklantern.relay.writing import Writing
from darklantern.sealing import RelayKey

_SWITCH_S: Final = 0.0005
_GARBAGE: Final = 50_000
"""new objects between two looks for garbage; requests leave none in cycles"""
_THREADS: Final = 16
"""that wait for stores: twice as many as there are connections to the database"""
_GONE: Final = 499
"""what is counted when the client went away"""


class App:
    """One process of a relay."""

    def __init__(
        self,
        config: Config,
        key: RelayKey,
        peers: tuple[Peer, ...],
        database: Database,
        blobs: Blobs,
        metrics_token: str,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._database, self._blobs = database, blobs
        self._metrics_token = metrics_token
        limits = config.limits
        self._pace = Pace(limits.body_grace_s, limits.body_bytes_a_second)
        self._folded = Folded(database, config.net)
        quotas = Quotas(limits.org_bytes, limits.peer_bytes, limits.device_bytes_a_day, clock)
        self._pieces = Pieces(database, blobs, quotas, clock)
        writing = Writing(database, key.log, quotas, self._pieces.collect, clock)
        self._appender = Appender(database, self._folded, key.log.public, writing, clock)
        known = KnownPeers(peers, self._folded, key.public.id)
        witnessing = Witnessing(database, self._folded, key, known, clock)
        self._mirrors = Mirrors(known, key, database, self._folded, self._pieces, witnessing, limits.unverified_bytes)
        self._chores = Chores(
            database,
            self._folded,
            self._appender,
            self._pieces,
            self._mirrors,
            Remembered(folder, key.log.public),
            key.log,
            config,
            clock,
        )
        self._bounds = Bounds(
            Bound(limits.requests, "requests"),
            Bound(limits.buffered_bytes, "bytes of requests"),
            BoundEach(limits.requests_of_one),
            Rate(limits.requests_a_second, 1.0),
            limits.request_bytes,
        )
        self._service = Service(
            database=database,
            folded=self._folded,
            logins=Logins(
                self._folded, key.public.id, known, Grants(database, limits.nonces), limits.logins_a_minute, clock
            ),
            appender=self._appender,
            pieces=self._pieces,
            witnessing=witnessing,
            bounds=self._bounds,
            metrics=self._metrics,
            clock=clock,
        )
        self._counts = Counts()
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._request(Request(scope, receive, self._pace), send)

    async def start(self) -> None:
        """Fold the logs, and begin the chores. Raises StoreError."""
        await self._chores.begin()
        # A transaction's thread takes ten turns; with Python's 5 ms for each it would last 50.
        sys.setswitchinterval(_SWITCH_S)
        # What is folded lives as long as the process; walking it for garbage took a tenth of the time.
        gc.freeze()
        gc.set_threshold(_GARBAGE)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "relay"))
        self._tasks = [asyncio.create_task(self._appender.run()), asyncio.create_task(self._chores.run())]
        for task in self._tasks:
            task.add_done_callback(_must_not_end)

    async def stop(self) -> None:
        """End the chores, and let go of the stores. The server has let requests end before."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._chores.end()
        self._blobs.close()
        self._database.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.start()
                except DarkLanternError as error:
                    tell("cannot start", reason=error.message)
                    await send({"type": "lifespan.startup.failed", "message": error.message})
                    return
                tell("started", relay=short(self._config.net))
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                tell("stopped")
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _request(self, request: Request, send: Send) -> None:
        began, route, status, out = time.perf_counter(), "other", 500, 0
        with ExitStack() as holding:
            try:
                try:
                    holding.enter_context(self._bounds.requests.hold())
                    route, answer = await self._service.answer(request, holding)
                except DarkLanternError as error:
                    answer = refusal(problem(error))
                status, out = answer.status, answer.length or len(answer.body)
                await answer.send(send, self._pace)
            except DisconnectedError:
                status = _GONE
                raise
            except Exception as error:
                tell_defect(error)
                with suppress(Exception):
                    await refusal(Problem(500, "the relay failed", "tell its keeper when it was")).send(
                        send, self._pace
                    )
                raise
            finally:
                self._count(request, route, status, time.perf_counter() - began, out)

    def _count(self, request: Request, route: str, status: int, seconds: float, out: int) -> None:
        length = request.headers.get(b"content-length", b"0")
        self._counts.count(route, status, seconds, int(length) if length.isdigit() and len(length) < 18 else 0, out)
        if self._config.log_requests or status >= 400:
            tell("request", method=request.method, route=route, status=status, ms=round(seconds * 1000, 1))

    def _metrics(self, token: str) -> Answer:
        if not hmac.compare_digest(token.encode(), self._metrics_token.encode()):
            raise Problem(401, "expected the metrics token, got another", "it is in the relay's folder")
        view = self._folded.view
        lines = [
            *self._counts.lines(),
            gauge("requests_now", self._bounds.requests.held),
            gauge("buffered_bytes", self._bounds.buffered.held),
            gauge("logs", len(view.trails)),
            gauge("entries", sum(trail.size for trail in view.trails.values())),
            gauge("append_batches_total", self._appender.batches),
            gauge("appended_total", self._appender.appended),
            gauge("mirrors_full", self._mirrors.full()),
            gauge("frozen", int(self._appender.frozen is not None)),
        ]
        return Answer(body=("\n".join(lines) + "\n").encode(), content_type=b"text/plain; version=0.0.4")


def _must_not_end(task: "asyncio.Task[None]") -> None:
    """A relay whose appender is dead would wait for ever. Its supervisor starts another; nothing is lost by that."""
    if not task.cancelled():
        tell_defect(task.exception() or RuntimeError("it ended"))
        os._exit(os.EX_SOFTWARE)


def make_app(folder: Path) -> App:
    """The application of the relay in `folder`. Raises StoreError or RecordError."""
    config = read_config(folder)
    key = read_keys(folder)
    peers = tuple(Peer(peer.name, read_card(folder, peer), peer.pull) for peer in config.peers)
    token = (folder / METRICS_TOKEN).read_text("ascii").strip()
    database = open_database(config.database)
    try:
        blobs = open_blobs(config.blobs)
    except BaseException:
        database.close()
        raise
    return App(config, key, peers, database, blobs, token, folder)
