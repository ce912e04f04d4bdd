"""What can be observed of a box: the only things that its supervisor ever shows."""

from dataclasses import dataclass
from typing import Literal

End = Literal["ok", "failed", "limit", "tripwire"]
ENDS: tuple[End, ...] = ("ok", "failed", "limit", "tripwire")
"""how a run ended: exit code 0, another one, a limit or the deadline, its tripwire"""


@dataclass(frozen=True)
class Silent:
    """Nothing came in a slot."""


@dataclass(frozen=True)
class Said:
    """A channel's symbol."""

    channel: str
    symbol: int


@dataclass(frozen=True)
class Invalid:
    """Something came that no channel has: what, and how much of it, is nowhere."""


@dataclass(frozen=True)
class Finished:
    """In mode `final`: the epoch, from 0, at whose end everything is shown."""

    epoch: int


@dataclass(frozen=True)
class Ended:
    """How the run ended."""

    how: End


Symbol = Silent | Said | Invalid | Finished | Ended
