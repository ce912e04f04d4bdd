"""A notification: one thing to look at. It holds ids and who, and no word of what was shared."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from darklantern.library.opening import Author

Kind = Literal[
    "fork", "frozen", "removal", "breach", "recovery",  # alarms, which are never muted
    "mention", "reply", "item", "thread", "post",
]  # fmt: skip

WORDS: Final[dict[Kind, tuple[str, str]]] = {
    "fork": ("fork", "forks"),
    "frozen": ("frozen device", "frozen devices"),
    "removal": ("removal", "removals"),
    "breach": ("broken pledge", "broken pledges"),
    "recovery": ("recovery of a device", "recoveries of devices"),
    "mention": ("mention", "mentions"),
    "reply": ("reply", "replies"),
    "item": ("new finding", "new findings"),
    "thread": ("new thread", "new threads"),
    "post": ("new post", "new posts"),
}
"""What one and several of a kind are called; the most pressing kind first."""

KINDS: Final = tuple(WORDS)


@dataclass(frozen=True)
class Notification:
    """One thing to look at."""

    id: str
    """the same until it is read"""
    kind: Kind
    log: str
    """the circle, or the network's own log"""
    thread: str | None = None
    """where to read on; None for an alarm"""
    author: Author | None = None
    """who wrote it; of a frozen device, whose it is"""


def summary(found: Iterable[Notification]) -> str:
    """How many there are of each kind."""
    kinds = [notification.kind for notification in found]
    counts = [(kind, kinds.count(kind)) for kind in KINDS if kind in kinds]
    return ", ".join(f"{count} {WORDS[kind][count > 1]}" for kind, count in counts)
