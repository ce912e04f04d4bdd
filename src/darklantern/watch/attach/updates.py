"""What the adapters to trainers share: the batches of one optimizer update, and how to go on after a stop.

A trainer may make one update of several batches, and several ranks may make it together. So a batch that loses all its
examples cannot just be left out: the count of batches decides when a trainer updates, and ranks wait for each other's
gradients. A clean batch stands in for it, with a loss of zero; where no batch of any rank is left there is no update.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darklantern.errors import WatchError
from darklantern.watch.attach.ranks import Ranks
from darklantern.watch.reactions import Reaction
from darklantern.watch.resume_lines import IN_PLACE_OF, SCREEN, goes_on_with, without_suspects
from darklantern.watch.screen_files import load
from darklantern.watch.screening import any_of

if TYPE_CHECKING:
    from darklantern.watch.attach.torch_loop import TorchTap
    from darklantern.watch.watching import Watch


@dataclass(frozen=True)
class Given:
    """What a trainer is to run: `batch`, and whether its loss counts."""

    batch: Any
    counts: bool = True


class Updates:
    """The batches of the update under way, in front of a watch."""

    def __init__(self, watch: "Watch", tap: "TorchTap") -> None:
        self.watch, self._tap = watch, tap
        self.taken = self._emptied = 0
        self._clean: Any = None
        """the newest batch that lost no more than some of its examples"""

    def take(self, batch: Any) -> Given | None:
        """`batch` without suspects, or what stands in for it; None where the watch stops the training."""
        turn = self.watch.before(batch)
        if turn.reaction is not Reaction.LOG:
            return None
        self.taken += 1
        if turn.batch is None:
            self._emptied += 1
            return Given(batch if self._clean is None else self._clean, counts=False)
        if self.watch.screen is not None:
            self._clean = turn.batch
        return Given(turn.batch)

    @property
    def void(self) -> bool:
        """Whether nothing of this update counts, on any rank."""
        if self.watch.screen is None:
            return False  # nothing was left out, so no rank need be asked
        return all(self._tap.ranks.gather(self.taken == self._emptied))

    def done(self) -> None:
        """The update was made."""
        self.taken = self._emptied = 0
        self.watch.after()


def check_trained(tap: "TorchTap", trained: Any, trainer: str) -> None:
    """Raises WatchError unless the watched module is `trained`, or a part of it."""
    module = tap.model.module
    if not any(each is module for each in trained.modules()):
        raise WatchError(
            f"the watch is over a {type(module).__name__} that is no part of the {type(trained).__name__} which this "
            f"{trainer} trains",
            hint="darklantern.watch(trainer.model, ...), or the very module inside that you handed to it",
        )


def begin_at(watch: "Watch", updates: int) -> int:
    """Set where a watch begins whose trainer begins after so many `updates` by its own count: there, unless its user
    gave it a step. Returns what the watch's count is ahead of the trainer's."""
    watch.step = watch.step or updates
    return watch.step - updates


@dataclass(frozen=True)
class Way:
    """How a trainer goes on after a stop."""

    command: str
    notes: tuple[str, ...] = ()
    anew: bool = False
    """from the start, since no clean checkpoint is left"""
    step: int | None = None
    """the watch's at the checkpoint, where the trainer counts otherwise"""


def stopped(watch: "Watch", ranks: Ranks, folder: Path, writes: bool, way: Way, resumed: bool) -> None:
    """Set and say `watch.resume` after a stop; with `writes`, the screen goes into `folder`.

    A training that was `resumed` itself left out what the screen there says: the new one leaves it out too. Raises
    StoreError for one that cannot be written.
    """
    run = ranks.gather(None if watch.folder is None else str(watch.folder))[0]  # which the first rank alone knows
    earlier = None
    if writes and resumed and (folder / SCREEN).exists():
        try:
            earlier = load(folder / SCREEN)
        except WatchError as error:  # the trainer has stopped: it is not to fail by a file of an earlier time
            watch.say("failure", f"what an earlier stop left out is not known: {error.message}")
    lines = without_suspects(watch, folder, writes, earlier)
    found = watch.alarms[-1].screen if watch.alarms else None
    of_dataset = any(line.startswith("dataset = ") for line in lines)
    if found is not None and of_dataset:
        watch.screen = found if watch.screen is None else any_of((watch.screen, found))
    new = f"w = darklantern.watch(model, ...{'' if way.step is None else f', step={way.step}'}).on(trainer)"
    if run is not None and not way.anew:
        lines.append(f"goes_on = dict({goes_on_with(run, '' if way.step is None else str(way.step))})")
        new = f"w = darklantern.watch(model, ..., **goes_on).on(trainer),\n# {IN_PLACE_OF}"
    elsewhere = f", with another run than {run!r}" * (run is not None and way.anew)
    rest = f"# All else as before{', of this dataset' * of_dataset}, with {new}{elsewhere}; then:"
    watch.resume = "\n".join([*lines, *way.notes, rest, way.command])
    watch.say("resume", f"in the same script, with a new watch:\n{watch.resume}")
