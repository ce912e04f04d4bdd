"""The logs as one process has folded them: a cache, which catches up with the database.

In: the database. Out: a View that is never ahead of what was committed. Losing it costs time and nothing else.
"""

import asyncio

from darklantern.errors import StoreError
from darklantern.network.states import Trail
from darklantern.network.view import View, append
from darklantern.relay.stores import Database

_PAGE_BYTES = 8 * 1024 * 1024


class GoneBackError(StoreError):
    """A database that holds less than it held before. `view` is what it had."""

    def __init__(self, log: str, had: int, has: int, view: View) -> None:
        super().__init__(
            f"log {log[:8]}… had {had} entries and has {has}: an older backup was restored",
            hint="nothing is appended until a mirror has given back what is missing: add a peer that has it, and wait",
        )
        self.view = view


class Folded:
    """Holds the newest `view`. Whoever replaces it holds `turn`."""

    def __init__(self, database: Database, net: str) -> None:
        self._database = database
        self.view = View(net)
        self.turn = asyncio.Lock()
        self.ready = False

    async def follow(self) -> None:
        """Take in what other processes have appended."""
        async with self.turn:
            await asyncio.to_thread(self.catch_up)

    def catch_up(self) -> None:
        """The same, for who holds `turn`. Raises StoreError for a damaged database.

        And GoneBackError for one that holds less than before; it begins to fold anew then.
        """
        sizes = self._database.sizes()
        view = self.view
        view = self._read(view, view.net, sizes.get(view.net, 0))
        for log in view.circles:
            view = self._read(view, log, sizes.get(log, 0))
        self.view = view  # the very same one where nothing is new
        self.ready = True

    def _read(self, view: View, log: str, size: int) -> View:
        have = view.trail(log).size
        if size < have:
            lost, self.view = self.view, View(self.view.net)
            raise GoneBackError(log, have, size, lost)
        if size == have:
            return view
        while view.trail(log).size < size:
            at = view.trail(log).size
            for entry in self._database.entries(log, at, size, _PAGE_BYTES).entries:
                view = append(view, log, entry.envelope)
        self._compare(log, view.trail(log))
        return view

    def _compare(self, log: str, trail: Trail) -> None:
        head = self._database.head(log)
        if head.frontier.size == trail.size and head.frontier != trail.frontier:
            raise StoreError(
                f"the entries of log {log[:8]}… do not give the root in the database",
                hint="it is damaged, or was restored while the relay ran: stop the relay and check it",
            )
