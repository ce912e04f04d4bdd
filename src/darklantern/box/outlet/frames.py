"""Frames: how a box says something. Sixteen bytes each, of which the host believes nothing but their length."""

import struct
from typing import Final

from darklantern.box.outlet.channels import Channel
from darklantern.box.outlet.symbols import Invalid, Said

FRAME: Final = struct.Struct("<IId")
"""channel, from 0 in the order of declaration; a number that the sender counts and nobody reads; what is sent"""


def frame(channel: int, count: int, value: float) -> bytes:
    """What a box writes."""
    return FRAME.pack(channel, count & 0xFFFFFFFF, value)


def heard(data: bytes, channels: tuple[Channel, ...]) -> tuple[str | None, Said | Invalid]:
    """The channel and the symbol of a whole frame: of any sixteen bytes whatever."""
    number, _, sent = FRAME.unpack(data)
    if number >= len(channels):
        return None, Invalid()
    name, symbol = channels[number].name, channels[number].symbol(sent)
    return name, Invalid() if symbol is None else Said(name, symbol)
