"""The outlet as a machine: what can be observed next, and what it costs. Nothing else is ever shown.

`possible` has every symbol that an observer could see at a place of a transcript, each with its price. Where the
dearest of them does not fit into what is left, the outlet closes before the step: when it closes follows from what was
seen before, so that closing tells nothing. The theorem of `pricing` holds for this machine, and tests count all of its
transcripts for small outlets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from darklantern.box.outlet.channels import Channel
from darklantern.box.outlet.plans import Outlet, Prices, prices, worst
from darklantern.box.outlet.symbols import ENDS, Ended, Finished, Invalid, Said, Silent, Symbol

Stage = Literal["running", "ended", "closed"]


@dataclass(frozen=True)
class Place:
    """Where in a transcript an observer is."""

    step: int = 0
    spent: int = 0
    """micro-bits"""
    stage: Stage = "running"


def possible(outlet: Outlet, price: Prices, at: Place) -> Mapping[Symbol, int]:
    """Symbol → its price, of all that the next step can show. Empty where nothing more will be."""
    if at.stage != "running":
        return {}
    if outlet.mode == "final":
        return _final(outlet, price, at.step)
    if at.step >= outlet.slots:
        return {Ended(how): price.end for how in ENDS}
    found: dict[Symbol, int] = {each: price.message for each in _messages(outlet)}
    if price.silent is not None:
        found[Silent()] = price.silent
    if price.early_end is not None:
        found |= {Ended(how): price.early_end for how in ENDS}
    return found


def dearest(outlet: Outlet, price: Prices, at: Place) -> int:
    """What the next step can cost at most, in micro-bits: to be reserved before it."""
    if at.stage != "running":
        return 0
    if outlet.mode == "final":
        return max(_final(outlet, price, at.step).values())
    if at.step >= outlet.slots:
        return price.end
    return max(price.message, price.silent or 0, price.early_end or 0)


def least(outlet: Outlet) -> int:
    """What must be left of a budget for a run to begin: all of it in mode final, which is one answer, else a step."""
    price = prices(outlet)
    return worst(outlet) if outlet.mode == "final" else dearest(outlet, price, Place())


def opened(outlet: Outlet, price: Prices, at: Place, budget: int) -> Place:
    """The same place, or closed, where the next step might not fit into the budget, in micro-bits."""
    if at.stage == "running" and at.spent + dearest(outlet, price, at) > budget:
        return replace(at, stage="closed")
    return at


def after(outlet: Outlet, price: Prices, at: Place, seen: Symbol) -> Place:
    """The place after a symbol. Raises ValueError for one that cannot be seen here: it must not be shown."""
    cost = None if at.stage != "running" else _cost(outlet, price, at.step, seen)
    if cost is None:
        raise ValueError(f"{seen} cannot be observed at step {at.step}")
    return Place(at.step + 1, at.spent + cost, "ended" if isinstance(seen, Ended) else "running")


def _cost(outlet: Outlet, price: Prices, step: int, seen: Symbol) -> int | None:
    """The price of a symbol at a step, None where it cannot be: `possible`, without listing all."""
    last = len(outlet.channels) + 1 if outlet.mode == "final" else outlet.slots
    if isinstance(seen, Ended):
        return price.end if step == last else price.early_end
    if outlet.mode == "final":
        if step == 0:
            return price.epoch if isinstance(seen, Finished) and 0 <= seen.epoch < outlet.epochs else None
        own = outlet.channels[step - 1 : step]
        return price.batch[step - 1] if own and _is_message(seen, own) else None
    if step >= last:
        return None
    return price.silent if isinstance(seen, Silent) else price.message if _is_message(seen, outlet.channels) else None


def _is_message(seen: Symbol, channels: Sequence[Channel]) -> bool:
    if isinstance(seen, Said):
        return any(each.name == seen.channel and 0 <= seen.symbol < each.size for each in channels)
    return isinstance(seen, Invalid)


def _final(outlet: Outlet, price: Prices, step: int) -> dict[Symbol, int]:
    """Epoch, then each channel, then how it ended."""
    if step == 0:
        return {Finished(epoch): price.epoch for epoch in range(outlet.epochs)}
    if step <= len(outlet.channels):
        channel, cost = outlet.channels[step - 1], price.batch[step - 1]
        return {**{Said(channel.name, symbol): cost for symbol in range(channel.size)}, Invalid(): cost}
    return {Ended(how): price.end for how in ENDS}


def _messages(outlet: Outlet) -> list[Symbol]:
    said: list[Symbol] = [Said(each.name, symbol) for each in outlet.channels for symbol in range(each.size)]
    return [*said, Invalid()]
