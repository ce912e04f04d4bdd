"""Pins of a part of a part, said of the whole: `[pos=1:4]`, and of that `pos=0`, is `[pos=1]`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from darklantern.errors import SiteError
from darklantern.models.sites import Each, Pin, Several, Site, Span


def composed(site: Site, pins: Mapping[str, Pin], sizes: Mapping[str, int]) -> tuple[tuple[str, Pin], ...]:
    """The pins of what `pins` take of the value at `site`, whose axes have these `sizes`."""
    made = {axis: _as_long(pin, sizes[axis]) if axis in sizes else pin for axis, pin in site.select}
    for axis, pin in pins.items():
        old = made.get(axis, "*")
        made[axis] = pin if old == "*" else _narrowed(site, old, pin, sizes[axis])
    if "batch" in pins:  # fewer examples: so each of their own positions
        for axis, old in site.select:
            if isinstance(old, Each):
                kept = picked(old, pins["batch"])
                made[axis] = kept[0] if isinstance(pins["batch"], int) else Each(kept)
    return tuple(made.items())


def picked(items: Sequence[Any], pin: Pin) -> list[Any]:
    """What `pin` selects of `items`, always as a list."""
    if isinstance(pin, Span):
        return list(items[pin.start : pin.stop])
    if isinstance(pin, str):
        return list(items)
    several = pin if isinstance(pin, Several | Each) else (pin,)
    return [items[index] for index in several if -len(items) <= index < len(items)]


def _as_long(pin: Pin, size: int) -> Pin:
    """A slice that ends where what it took ended: at the shortest example, which a part may not have in it."""
    if not isinstance(pin, Span) or pin.stop is None or pin.stop < 0 or (pin.start or 0) < 0:
        return pin
    return Span(pin.start, min(pin.stop, (pin.start or 0) + size))


def _narrowed(site: Site, old: Pin, pin: Pin, size: int) -> Pin:
    if pin == "*":
        return old
    at = _place(site, old, size)
    if isinstance(pin, Several | Each):
        return type(pin)(at(number % size) for number in pin)
    if not isinstance(pin, Span):
        return at(int(pin) % size)
    inside = range(size)[pin.start : pin.stop]
    if isinstance(old, Several):
        return Several(at(number) for number in inside)
    stop = at(inside[-1]) + 1
    return Span(at(inside[0]), stop or None)  # one after -1 is the end


def _place(site: Site, old: Pin, size: int) -> Callable[[int], int]:
    """Which index of the whole axis is number n of the `size` that `old` took of it."""
    if isinstance(old, Several):
        return lambda number: old[number]
    assert isinstance(old, Span)  # all others took the axis away
    start, stop = old
    if start is None or start >= 0:
        return lambda number: (start or 0) + number
    if stop is None or stop < 0:
        return lambda number: number - size + (stop or 0)
    raise SiteError(
        f"a part of {site} has no name: its slice begins at the end and ends at the beginning",
        hint="index value.array, or count both ends of the slice from one side",
    )
