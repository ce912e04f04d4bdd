"""Training states kept in memory, which of them is known to be clean, and whether the loader keeps its word."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from darklantern.counted import counted
from darklantern.errors import WatchError
from darklantern.models.cursors import Snapshot
from darklantern.watch.attach.tap import Tap
from darklantern.watch.batches import InHand
from darklantern.watch.examples import Examples


@dataclass(frozen=True, repr=False)
class Kept:
    """A training state in memory, with the number of looks taken before it."""

    step: int
    looks: int
    snapshot: Snapshot | None
    """None where the watch holds no states: then it is known when the run was clean, and a checkpoint may be"""
    passes: int = 0
    """over the loader that were over by then"""
    screened: int = 0
    """rows that were left out by then"""
    memory: Any = field(default=None, repr=False)
    """what looks had left behind by then; None where nobody can go back there. Held-out monitors' notes are in it"""

    def __repr__(self) -> str:
        held = "not kept" if self.snapshot is None else f"{self.snapshot!r}"
        return f"<state of step {self.step}, after {counted(self.looks, 'look')}: {held}>"


class States:
    """The states of the newest looks and, beside them, of each channel the newest clean one that left their ring.

    Clean are the states up to a number of looks that the watch names from a channel's statistic. That number only grows
    while a run goes on, so a state that was clean when it left the ring still is. An alarm is of some channels, and
    what is quiet in them is clean for it, whatever another channel gathers meanwhile.
    """

    def __init__(self, history: int) -> None:
        self.history = history
        """of how many looks, besides the clean ones"""
        self._recent: deque[Kept] = deque(maxlen=history)
        self._old: dict[str, Kept] = {}

    def __bool__(self) -> bool:
        return bool(self._recent)

    @property
    def steps(self) -> set[int]:
        """The steps of all states that are held."""
        return {kept.step for kept in [*self._recent, *self._old.values()]}

    def add(self, kept: Kept, clean_looks: Mapping[str, int]) -> None:
        """Keep a state; remember the one that leaves the ring for the channels in which it is clean."""
        if len(self._recent) == self._recent.maxlen:
            leaves = self._recent[0]
            self._old |= {channel: leaves for channel, looks in clean_looks.items() if leaves.looks <= looks}
        self._recent.append(kept)

    def clean(self, clean_looks: Mapping[str, int], tainted: int | None = None) -> Kept | None:
        """The newest state that is clean in all of these channels; None where one rose before there was any.

        What left the ring clean stays so, also where a rollback cut the curve that said it. No state is from after more
        looks than an earlier alarm left clean, which `tainted` says.
        """
        known = {channel: kept.looks for channel, kept in self._old.items()}
        most = min(max(looks, known.get(channel, looks)) for channel, looks in clean_looks.items())
        most = most if tainted is None else min(most, tainted)
        found = (kept for kept in [*self._recent, *self._old.values()] if kept.looks <= most)
        return max(found, key=lambda kept: kept.looks, default=None)

    def back_to(self, kept: Kept) -> None:
        """Drop what was kept after `kept`, which is the newest from now on."""
        earlier = [other for other in self._recent if other.looks < kept.looks]
        self._recent.clear()
        self._recent.extend([*earlier, kept])
        self._old = {channel: min(kept, other, key=lambda each: each.looks) for channel, other in self._old.items()}


MANY = 1 << 30
"""bytes of states that are worth a word"""


class Keeper:
    """Takes the states of one run at its looks, and notices a loader that a rollback could not rewind."""

    def __init__(self, tap: Tap, count: int, margin: int, channels: int, in_hand: InHand) -> None:
        self._tap, self._channels, self._in_hand = tap, channels, in_hand
        self._fewest = max(1, margin)
        """states to keep: one is known to be clean so many looks after it was taken"""
        self.states = States(count)
        self.held: Kept | None = None
        """the state at a look that is due, taken before the next batch is drawn"""
        self._after: dict[int, int] = {}
        """step of a kept state → hash of the batch that came after it"""
        self._newest: int | None = None
        """the step of the state that was kept last, until the batch after it was seen"""

    def check_room(self) -> str:
        """What all states will take, where that is much. Raises WatchError where there is no room for them."""
        count = self.states.history + self._beside
        each, gradients, room = self._tap.state_bytes(), self._tap.gradient_bytes(), self._tap.room()
        need, most = count * each, count * (each + gradients)
        said = f"{count} training states of {_size(each)} each take up to {_size(need)} of memory"
        if room is not None and need > room:
            raise WatchError(
                f"{said}; {_size(room)} are free",
                hint=f"Settings(states={self._fewest}) keeps {self._fewest + self._beside}; without an optimizer in "
                "`state` the watch keeps none, and an alarm that asks for a rollback stops the loop",
            )
        if gradients:
            said += (
                f", and up to {_size(most)} where gradients stand at a look, as they do without zero_grad() right "
                "after an update"
            )
        if room is not None and most > room:
            return f"{said}; {_size(room)} are free"
        return said if most >= MANY else ""

    @property
    def _beside(self) -> int:
        """States beside those of the newest looks: each channel's clean one that left them, one held at a look."""
        return self._channels + 1

    def few(self) -> None:
        """Nobody can go back, so a clean state is enough, for a checkpoint, and those that may still become it."""
        self.states = States(self._fewest)

    def hold(self, step: int, looks: int, before: str = "") -> None:
        """Take the state as it is, once; `before` is where the loader stood after the last batch was drawn.

        None is taken while a batch waits in hand: a loop that went back there would never have it.
        """
        if self._in_hand.waits:
            return
        if before and before != self._tap.cursor():
            raise WatchError(
                f"the loader moved while its batch of step {step - 1} was trained on",
                hint="draw batches from over() only, in one loop; one watch takes several probes",
            )
        self.held = Kept(step, looks, self._tap.snapshot(step) if self._tap.keeps else None)

    def keep(
        self,
        step: int,
        looks: int,
        clean_looks: Mapping[str, int],
        passes: int = 0,
        screened: int = 0,
        memory: Any = None,
    ) -> None:
        """The held state joins those that a rollback may go to: it is from after so many `looks` and `passes`."""
        if self.held is None:
            self.hold(step, looks)
        if self.held is None:
            return
        kept, self.held = Kept(self.held.step, looks, self.held.snapshot, passes, screened, memory), None
        self.states.add(kept, clean_looks)
        self._newest = kept.step
        self._after = {step: rows for step, rows in self._after.items() if step in self.states.steps}

    def drop(self) -> None:
        """What is held is not kept: the look at it failed."""
        self.held = None

    def back_to(self, kept: Kept) -> None:
        """The run stands at `kept` again."""
        self.states.back_to(kept)
        self.held, self._newest = None, kept.step

    def check_moves(self, before: str) -> None:
        """Raises WatchError for a loader whose cursor does not follow its batches."""
        if before and self._tap.cursor() == before:
            raise WatchError(
                "the loader's state() is the same before and after a batch, so a rollback could not rewind it",
                hint="count a batch in state() before it is handed out, and say all that decides the next one",
            )

    @property
    def expects(self) -> bool:
        """Whether the next batch is to be compared, or remembered, by `check_again`."""
        return self._newest is not None

    def check_again(self, examples: Examples) -> None:
        """After a rollback the loader must give what it gave the first time. Raises WatchError if it does not."""
        if self._newest is None:
            return
        found = hash(examples.inputs.tobytes())
        if self._after.setdefault(self._newest, found) != found:
            raise WatchError(
                f"after the rollback to step {self._newest} the loader gave another batch than the first time",
                hint="restore(state) must also hold for the next iteration over the loader, and decide its order",
            )
        self._newest = None


def _size(count: int) -> str:
    """Bytes for people."""
    unit = next((unit for unit in ("GB", "MB", "kB") if count >= _UNITS[unit]), "B")
    return f"{count / _UNITS.get(unit, 1):.3g} {unit}"


_UNITS = {"GB": 10**9, "MB": 10**6, "kB": 10**3}
