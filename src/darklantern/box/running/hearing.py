"""What a box sends, read from a pipe: frames in their order, and never more than is asked for."""

import os
from contextlib import suppress

from darklantern.box.outlet.channels import Channel
from darklantern.box.outlet.frames import FRAME, heard
from darklantern.box.outlet.symbols import Invalid, Said

_MOST = 4096
"""frames that are taken at once: no flood keeps the supervisor from its ticks"""


class Hearing:
    """The reading end of an outlet's pipe, held without waiting."""

    def __init__(self, descriptor: int, channels: tuple[Channel, ...]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._channels, self._part = descriptor, channels, b""

    def one(self) -> Said | Invalid | None:
        """The next frame's symbol; None where no whole frame has come."""
        came = self._next()
        return None if came is None else came[1]

    def _next(self) -> tuple[str | None, Said | Invalid] | None:
        with suppress(BlockingIOError):
            self._part += os.read(self._descriptor, FRAME.size - len(self._part))
        if len(self._part) < FRAME.size:
            return None
        data, self._part = self._part, b""
        return heard(data, self._channels)

    def latest(self, before: dict[str, Said | Invalid]) -> dict[str, Said | Invalid]:
        """Channel → what it said last. A frame of no channel makes nothing of any."""
        found = dict(before)
        for _ in range(_MOST):
            came = self._next()
            if came is None:
                break
            channel, symbol = came
            if channel is not None:
                found[channel] = symbol
        return found

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._descriptor)
