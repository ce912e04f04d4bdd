"""One run from its start to its end: a loop between ticks, in which nothing that a box does is shown but at its tick.

How a run ended is known here at once, and shown when the outlet says: at the next tick where ends are shown early, at
the deadline otherwise. Until then the loop goes on as if the box still ran.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from darklantern.box.outlet.plans import Outlet
from darklantern.box.outlet.symbols import End, Ended, Finished, Invalid, Said, Silent, Symbol
from darklantern.box.running.hearing import Hearing
from darklantern.box.running.logs import Printed
from darklantern.box.running.releasing import Releasing
from darklantern.box.running.starting import Running
from darklantern.box.running.watchdog import LOOK_S, Looking


@dataclass
class Supervised:
    """A box under its supervisor."""

    box: Running
    hearing: Hearing
    printed: Printed
    watchdog: Looking
    monitor: Running | None = None
    """its tripwire's box"""
    monitors: Looking | None = None
    """that one's watchdog"""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    how: End | None = None
    """how it ended; None while it runs"""

    def wait(self, until: float) -> None:
        """Look after the box until a time of the clock."""
        while (now := self.clock()) < until:
            self.look()
            self.sleep(max(min(LOOK_S, until - now), 0.0))
        self.look()

    def look(self) -> None:
        """Note how it ended, or end it: by a limit, or by its tripwire."""
        self.printed.take()
        if self.how is not None:
            return
        code = self.box.ended()
        if self._tripped(code is not None):
            self.end("tripwire")
        elif code is not None and (self.monitor is None or self.monitor.ended() == 0):
            self.end("ok" if code == 0 else "failed")
        elif code is None and self.watchdog.passed is not None:
            self.end("limit")

    def end(self, how: End) -> End:
        """Strike what is left of both boxes, whole, and how it ended. No tick waits until they are gone."""
        self.how = self.how or how
        self.box.strike()
        if self.monitor is not None:
            self.monitor.strike()
        return self.how

    def _tripped(self, box_ended: bool) -> bool:
        """A monitor trips by every end but one: with code 0, after the box. One that is gone watches nothing."""
        if self.monitors is not None and self.monitors.passed is not None:
            return True
        code = None if self.monitor is None else self.monitor.ended()
        return code is not None and (code != 0 or not box_ended)


def supervise(held: Supervised, outlet: Outlet, wall_s: float, releasing: Releasing) -> None:
    """Run until the transcript is over, and strike whatever of the box is left, whatever happens."""
    start = held.clock()
    try:
        if outlet.mode == "final":
            _at_the_end(held, outlet, start, wall_s, releasing)
        else:
            _at_ticks(held, outlet, start, wall_s, releasing)
    finally:
        held.end("limit")


def _at_ticks(held: Supervised, outlet: Outlet, start: float, wall_s: float, releasing: Releasing) -> None:
    for slot in range(outlet.slots):
        held.wait(start + (slot + 1) * wall_s / outlet.slots)
        releasing.release(_in_slot(held, outlet))
        if releasing.over:
            return
    releasing.release(Ended(held.end("limit")))


def _in_slot(held: Supervised, outlet: Outlet) -> Symbol:
    """What this slot shows: a message that waits, or an end where those are shown, or nothing."""
    came = held.hearing.one()
    if came is not None:
        return came
    if outlet.mode == "cadence":
        return Invalid()
    return Ended(held.how) if held.how is not None and outlet.ends_early else Silent()


def _at_the_end(held: Supervised, outlet: Outlet, start: float, wall_s: float, releasing: Releasing) -> None:
    said: dict[str, Said | Invalid] = {}
    if not releasing.opens():
        return
    for epoch in range(outlet.epochs):
        ends = start + wall_s / 2 ** (outlet.epochs - 1 - epoch)
        while held.clock() < ends:
            said = held.hearing.latest(said)  # or a full pipe would hold the box up
            held.wait(min(held.clock() + 10 * LOOK_S, ends))
        if held.how is not None or epoch == outlet.epochs - 1:
            break
    how = held.end("limit")
    said = held.hearing.latest(said)
    releasing.release(Finished(epoch))
    for channel in outlet.channels:
        releasing.release(said.get(channel.name, Invalid()))
    releasing.release(Ended(how))
