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


def heard(data: bytes, channels: tuple[Channel, ...]) -> Said | Invalid:
    """The symbol of a whole frame: of any sixteen bytes whatever."""
    number, _, sent = FRAME.unpack(data)
    if number >= len(channels):
        return Invalid()
    symbol = channels[number].symbol(sent)
    return Invalid() if symbol is None else Said(channels[number].name, symbol)
