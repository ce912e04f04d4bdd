"""What a box prints: kept to a fixed size, shown to nobody, and padded so that not even its length is."""

import os
import struct
from contextlib import suppress
from typing import Final

_LENGTH: Final = struct.Struct("<Q")
_AT_ONCE: Final = 65_536


class Printed:
    """The reading end of a box's output, held without waiting. What passes the size is read and dropped."""

    def __init__(self, descriptor: int, most: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._most, self._held = descriptor, most, bytearray()

    def take(self) -> None:
        """Read what is there, 64 KiB at most: no flood keeps the supervisor from its ticks."""
        with suppress(BlockingIOError):
            data = os.read(self._descriptor, _AT_ONCE)
            self._held += data[: self._most - len(self._held)]

    def padded(self) -> bytes:
        """All of it, of one length whatever it is."""
        for _ in range(self._most // _AT_ONCE + 2):  # what still lay in the pipe when the box ended
            self.take()
        return _LENGTH.pack(len(self._held)) + bytes(self._held) + bytes(self._most - len(self._held))

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._descriptor)


def unpadded(data: bytes) -> bytes:
    """What was printed."""
    (length,) = _LENGTH.unpack_from(data)
    return data[_LENGTH.size : _LENGTH.size + length]
