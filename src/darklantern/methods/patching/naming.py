"""Senders and receivers by the names that users give them, and where a receiver's own share of a part is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from darklantern.errors import MethodError
from darklantern.methods.patching.wiring import EMBED, LOGITS, Part, Receiver, Sender, Wiring
from darklantern.models.opened import Model
from darklantern.models.sites import Pin, Site, expand

End = TypeVar("End", Sender, Receiver)


@dataclass(frozen=True)
class Pinned(Generic[End]):
    """A sender or a receiver, at one position or at all."""

    of: End
    pos: int | None = None

    def __str__(self) -> str:
        if self.pos is None:
            return self.of.name
        name = self.of.name
        return f"{name[:-1]},pos={self.pos}]" if name.endswith("]") else f"{name}[pos={self.pos}]"


def spoken(model: Model, wiring: Wiring, names: Sequence[str | Site]) -> list[Pinned[Sender]]:
    """The senders that `names` name. Raises MethodError for none."""
    return [Pinned(wiring.sender(name), pos) for name, pos in _named(model, wiring, names, EMBED, "senders")]


def heard(model: Model, wiring: Wiring, names: Sequence[str | Site]) -> list[Pinned[Receiver]]:
    """The receivers that `names` name. Raises MethodError for none."""
    return [Pinned(wiring.receiver(name), pos) for name, pos in _named(model, wiring, names, LOGITS, "receivers")]


def inner(part: Part, receiver: Receiver, pos: int | None = None) -> Site:
    """What `part` makes of that receiver's input alone."""
    site = Site(part.path, receiver.port) if receiver.port else part.writes
    pins = {"head": receiver.head, "pos": pos}
    return site.at(**{axis: at for axis, at in pins.items() if at is not None})


def _named(
    model: Model, wiring: Wiring, names: Sequence[str | Site], outer: str, what: str
) -> list[tuple[str, int | None]]:
    if isinstance(names, str | Site) or not names:
        raise MethodError(f"expected a list of {what}, got {names!r}", hint=f"such as [{outer!r}]")
    found = {name: list(_expanded(model, wiring, name, outer)) for name in names}
    if nothing := [name for name, ends in found.items() if not ends]:
        there = wiring.senders if what == "senders" else wiring.receivers
        raise MethodError(f"{nothing[0]} is none of the {what}", hint=f"such as {there[min(1, len(there) - 1)]}")
    return list(dict.fromkeys(each for ends in found.values() for each in ends))


def _expanded(model: Model, wiring: Wiring, name: str | Site, outer: str) -> Iterator[tuple[str, int | None]]:
    alone = isinstance(name, str) and name.partition("[")[0] == outer
    sites = expand(f":out{name[len(outer) :]}" if alone else name) if isinstance(name, str) else [name]
    for asked in sites:
        pins = dict(asked.select)
        pos, head = _position(pins.pop("pos", None), name), pins.pop("head", "*")
        if pins:
            raise MethodError(
                f"{name} pins {', '.join(pins)}", hint="of senders and receivers, head and pos are pinned"
            )
        yield from ((each, pos) for each in ([outer] if alone else _each(model, wiring, asked, head)))


def _each(model: Model, wiring: Wiring, asked: Site, head: Pin) -> list[str]:
    """The names of the heads, or the MLP, of each part that `asked` finds."""
    port = asked.port
    found = model.sites(replace(asked, select=(), port="out" if port == "in" else port))
    sites = [replace(site, port=port) for site in found]
    if not isinstance(head, int) and head != "*":
        raise MethodError(f"{asked} pins several heads", hint="one head, or head=* for each of them")
    if port in ("in", "out"):
        return list(map(str, sites))
    if isinstance(head, int):
        return [str(site.at(head=head)) for site in sites]
    there = [str(each) for ends in (wiring.senders, wiring.receivers) for each in ends]
    return [name for site in sites for name in there if name.startswith(f"{site}[")]


def _position(pin: Pin | None, name: object) -> int | None:
    if pin is None or isinstance(pin, int):
        return pin
    raise MethodError(f"{name} pins pos to {pin}", hint="one position for all examples, or leave pos out for all")
