"""What is shown, one symbol at a time: reserved in the ledger first, shown then, settled last.

In: what a box said, as symbols. Out: what an observer sees, in a file that a view follows. Nothing else of a box is
shown anywhere: whatever passes through here has its price, and nothing passes elsewhere.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from darklantern.box.ledger import Ledger
from darklantern.box.outlet.plans import Outlet, Prices, prices
from darklantern.box.outlet.symbols import Ended, Finished, Invalid, Said, Silent, Symbol
from darklantern.box.outlet.transcripts import Place, after, dearest, opened
from darklantern.errors import StoreError
from darklantern.files import cannot_write
from darklantern.records.exact import Value, encode

Show = Callable[["Released"], None]


class Released(Value, frozen=True, kw_only=True):
    """One step of a transcript, as people see it."""

    step: int
    what: str
    """silent, said, invalid, finished, ended, closed"""
    channel: str | None = None
    symbol: int | None = None
    meaning: str | float | None = None
    """of a symbol: its word, or the middle of its cell"""
    how: str | None = None
    """of an end"""
    microbits: int = 0


@dataclass
class Releasing:
    """A transcript while it grows."""

    outlet: Outlet
    ledger: Ledger
    run: str
    file: Path
    """what was released, a line each"""
    show: Show
    place: Place = field(default_factory=Place)
    price: Prices = field(init=False)

    def __post_init__(self) -> None:
        self.price = prices(self.outlet)

    @property
    def over(self) -> bool:
        """Nothing more will be shown."""
        return self.place.stage != "running"

    def opens(self) -> bool:
        """Whether the next step can be paid for whatever it turns out to be; else the outlet closes.

        To be asked before anything is waited for whose time a box has a say in.
        """
        if self.over:
            return False
        budget = self.place.spent + self.ledger.balance.left
        self.place = opened(self.outlet, self.price, self.place, budget)
        if self.place.stage == "closed":
            self._tell(Released(step=self.place.step, what="closed"))
        return not self.over

    def release(self, symbol: Symbol) -> bool:
        """Show a symbol, where the outlet opens for it. Whether it did."""
        if not self.opens():
            return False
        step = self.place.step
        then = after(self.outlet, self.price, self.place, symbol)  # before anything: what cannot be is never shown
        cost = then.spent - self.place.spent
        self.ledger.reserve(self.run, f"step {step}", dearest(self.outlet, self.price, self.place))
        self.place = then
        self._tell(_released(self.outlet, step, symbol, cost))
        self.ledger.settle(self.run, f"step {step}", cost)
        return True

    def _tell(self, made: Released) -> None:
        try:
            with open(self.file, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(encode(made) + b"\n")
        except OSError as error:
            raise cannot_write(self.file, error) from error
        self.show(made)


def read_released(file: Path) -> tuple[Released, ...]:
    """What was released so far. Raises StoreError."""
    try:
        data = file.read_bytes() if file.exists() else b""
        return tuple(
            msgspec.json.decode(line, type=Released) for line in data.splitlines(keepends=True) if line[-1:] == b"\n"
        )
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"cannot read {file}: {error}", hint="it is written by a run, a line for each step") from error


def _released(outlet: Outlet, step: int, symbol: Symbol, cost: int) -> Released:
    match symbol:
        case Silent():
            return Released(step=step, what="silent", microbits=cost)
        case Invalid():
            channel = outlet.channels[step - 1].name if outlet.mode == "final" else None
            return Released(step=step, what="invalid", channel=channel, microbits=cost)
        case Finished(epoch):
            return Released(step=step, what="finished", symbol=epoch, microbits=cost)
        case Ended(how):
            return Released(step=step, what="ended", how=how, microbits=cost)
        case Said(channel, said):
            meant = next(each for each in outlet.channels if each.name == channel).meaning(said)
            return Released(step=step, what="said", channel=channel, symbol=said, meaning=meant, microbits=cost)
