"""For programs in a box: say something through the outlet. Standard library only: a box may be given nothing else.

    from darklantern.box import inside

    inside.send("loss", 0.25)

Whoever runs outside a box, to try the program, says nothing and is not told so: the outlet is what the box's
declaration says, and a program cannot ask what of it is left.
"""

import json
import os
import struct
from itertools import count
from typing import BinaryIO

OUTLET = "DARKLANTERN_OUTLET"
"""the descriptor to write to, and the channels' names: `3 ["loss"]`"""
TELEMETRY = "DARKLANTERN_TELEMETRY"
"""the descriptor of the pipe to a tripwire: the program writes to it, the tripwire reads"""
_counted = count()


def send(channel: str, value: float) -> None:
    """Send a number on a channel: for a channel of words, the word's place from 0.

    It blocks while thousands of messages wait. Raises KeyError for a channel that was not declared.
    """
    descriptor, _, names = os.environ.get(OUTLET, "").partition(" ")
    if not descriptor:
        return
    channels: list[str] = json.loads(names)
    if channel not in channels:
        raise KeyError(f"no channel {channel!r} was declared, there are {', '.join(channels)}")
    number = float(value.detach() if hasattr(value, "detach") else value)  # a tensor says so of itself
    # As `outlet.frames.FRAME`; that module would bring the whole package along.
    os.write(int(descriptor), struct.pack("<IId", channels.index(channel), next(_counted) & 0xFFFFFFFF, number))


def tell(data: bytes) -> None:
    """Tell the tripwire's monitor something: whatever bytes the two understand. Nothing where there is none.

    It blocks while the monitor is behind.
    """
    if descriptor := os.environ.get(TELEMETRY):
        at = 0
        while at < len(data):
            at += os.write(int(descriptor), data[at:])


def told() -> BinaryIO:
    """For a monitor: what the program tells, until it ends. Ending with code 0 after that is "no trip"; all else trips.

    Raises KeyError outside a tripwire's box.
    """
    return os.fdopen(int(os.environ[TELEMETRY]), "rb")
