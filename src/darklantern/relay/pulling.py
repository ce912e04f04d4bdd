"""Asking all peers for what is new, each at its own pace: one that hangs, drips or lies holds up nobody else.

In: the mirrors. Out: what they took; and, where a log's key has signed two histories, that. Who could not be asked, or
sent what does not fit, is asked less and less often.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from darklantern.errors import DarkLanternError, LogError, RecordError, SignatureError
from darklantern.relay.peers import PeerError
from darklantern.relay.taking import ForkSeenError
from darklantern.relay.telling import short, tell, tell_defect

_BEGIN_S: Final = 5
"""for all peers together, before the first request: what they have may be what a backup has lost"""
_LONGEST_S: Final = 3600
"""between two questions to a peer that sends what does not fit"""
_LONGEST_TIMES: Final = 10
"""as long as between others, to one that does not answer: when it is up again it may have what we have lost"""


class Asked(Protocol):
    """A peer."""

    @property
    def id(self) -> str:
        """Of its public record."""

    def pull(self) -> Awaitable[None]:
        """Take what is new there. Raises DarkLanternError."""


class Pulling:
    """Which peers are being asked, and when the others are next."""

    def __init__(self, every_s: float, forked: Callable[[ForkSeenError], None]) -> None:
        self._every_s = every_s
        self._forked = forked
        self._running: dict[str, asyncio.Task[None]] = {}
        self._faults: dict[str, int] = {}
        self._due: dict[str, float] = {}

    async def begin(self, peers: tuple[Asked, ...]) -> None:
        """Ask all of them, and wait for them for a while."""
        self.ask(peers)
        if self._running:
            await asyncio.wait(self._running.values(), timeout=_BEGIN_S)

    def ask(self, peers: tuple[Asked, ...]) -> None:
        """Begin to ask each that is due and is not being asked already."""
        now = asyncio.get_running_loop().time()
        for peer in peers:
            if peer.id not in self._running and self._due.get(peer.id, now) <= now:
                self._running[peer.id] = asyncio.create_task(self._ask(peer))

    async def end(self) -> None:
        """Cancel what runs."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _ask(self, peer: Asked) -> None:
        try:
            await peer.pull()
            self._faults.pop(peer.id, None)
        except (PeerError, LogError, RecordError, SignatureError) as error:
            faults = self._faults[peer.id] = self._faults.get(peer.id, 0) + 1
            self._due[peer.id] = asyncio.get_running_loop().time() + self._wait_s(error, faults)
            tell("peer", peer=short(peer.id), problem=type(error).__name__, faults=faults)
            if isinstance(error, ForkSeenError):
                self._forked(error)
        except DarkLanternError as error:  # our own stores fail
            tell("peer", peer=short(peer.id), problem=type(error).__name__)
        except Exception as error:  # noqa: BLE001, one peer's answer that meets a defect must not end the others' turns
            tell_defect(error)
        finally:
            del self._running[peer.id]

    def _wait_s(self, error: DarkLanternError, faults: int) -> float:
        longest = self._every_s * _LONGEST_TIMES if isinstance(error, PeerError) else _LONGEST_S
        return float(min(longest, self._every_s * 2 ** min(faults - 1, 20)))
