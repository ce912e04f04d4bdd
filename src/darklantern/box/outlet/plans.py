"""An outlet's declaration, and what it costs before anything runs."""

from fractions import Fraction
from typing import Annotated, Literal

import msgspec

from darklantern.box.outlet.channels import Channel
from darklantern.box.outlet.pricing import END_CLASSES, choice, weighted
from darklantern.records.exact import Value

MOST_SLOTS = 1_000_000
Mode = Literal["final", "slots", "cadence"]


class Outlet(Value, frozen=True, kw_only=True):
    """What may come out of a box, and when.

    final: everything at the end, whose time is a deadline, or one of a few epochs: no timing tells anything else.
    slots: one message or none at each tick. cadence: a message at every tick; a missing one is INVALID.
    """

    mode: Mode
    channels: Annotated[tuple[Channel, ...], msgspec.Meta(min_length=1, max_length=64)]
    slots: Annotated[int, msgspec.Meta(ge=1, le=MOST_SLOTS)] = 1
    """ticks, in modes slots and cadence"""
    sends: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """in mode slots: in how many slots a message is expected. More may come and cost more; half of the slots unless
    said"""
    ends_early: bool = False
    """in mode slots: an end is shown at the next tick, not at the deadline, and costs more"""
    epochs: Annotated[int, msgspec.Meta(ge=1, le=32)] = 1
    """in mode final: how many times there are at which the end may be shown, each twice as late as the one before"""

    def __post_init__(self) -> None:
        names = [each.name for each in self.channels]
        if len(set(names)) < len(names):
            raise ValueError("expected each channel's name once")
        if self.mode == "final" and self.slots != 1:
            raise ValueError("mode final has no slots: it shows everything at the end")
        if self.mode != "final" and self.epochs != 1:
            raise ValueError(f"mode {self.mode} has no epochs: it has slots")
        if self.mode != "slots" and (self.sends is not None or self.ends_early):
            raise ValueError("only mode slots has `sends` and `ends_early`")
        if self.mode == "slots" and self.sends is not None and self.sends >= self.slots:
            raise ValueError("expected fewer sends than slots; a message in every slot is mode cadence")

    @property
    def messages(self) -> int:
        """How many different messages there are, INVALID among them."""
        return sum(each.size for each in self.channels) + 1


class Prices(Value, frozen=True, kw_only=True):
    """What each observation costs, in micro-bits. None: it cannot be observed."""

    message: int
    """a symbol or INVALID, in modes slots and cadence"""
    silent: int | None = None
    early_end: int | None = None
    end: int = choice(END_CLASSES)
    """how it ended, at the deadline"""
    epoch: int = 0
    """in mode final: when"""
    batch: tuple[int, ...] = ()
    """in mode final: each channel's symbol or INVALID"""


def prices(outlet: Outlet) -> Prices:
    """Prices that satisfy Kraft's inequality at each step."""
    if outlet.mode == "final":
        batch = tuple(choice(each.size + 1) for each in outlet.channels)
        return Prices(message=0, epoch=choice(outlet.epochs), batch=batch)
    if outlet.mode == "cadence":
        return Prices(message=choice(outlet.messages))
    sent, ends = _shares(outlet)
    return Prices(
        message=weighted(outlet.messages, sent),
        silent=weighted(1, 1 - sent - ends),
        early_end=weighted(END_CLASSES, ends) if outlet.ends_early else None,
    )


def worst(outlet: Outlet) -> int:
    """What the dearest transcript costs, in micro-bits: no run spends more, whatever is in the box."""
    price = prices(outlet)
    if outlet.mode == "final":
        return price.epoch + sum(price.batch) + price.end
    each = max(price.message, price.silent or 0)
    early = 0 if price.early_end is None else max(0, price.early_end - each - price.end)
    return outlet.slots * each + price.end + early


def expected(outlet: Outlet) -> int:
    """What a run costs that sends as often as declared and lasts until the deadline, in micro-bits."""
    price = prices(outlet)
    if outlet.mode != "slots" or price.silent is None:
        return worst(outlet)
    sends = _sends(outlet)
    return sends * price.message + (outlet.slots - sends) * price.silent + price.end


def _sends(outlet: Outlet) -> int:
    return outlet.sends if outlet.sends is not None else max(1, outlet.slots // 2)


def _shares(outlet: Outlet) -> tuple[Fraction, Fraction]:
    """The weight of a message and of an early end in a slot."""
    slots = outlet.slots + 1  # never the whole weight, so that silence has some
    ends = Fraction(1, slots + 1) if outlet.ends_early else Fraction(0)
    return Fraction(_sends(outlet), slots) * (1 - ends), ends
