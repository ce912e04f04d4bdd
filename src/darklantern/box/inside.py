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

OUTLET = "DARKLANTERN_OUTLET"
"""the descriptor to write to, and the channels' names: `3 ["loss"]`"""
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
    # As `outlet.frames.FRAME`; that module would bring the whole package along.
    os.write(int(descriptor), struct.pack("<IId", channels.index(channel), next(_counted) & 0xFFFFFFFF, value))
