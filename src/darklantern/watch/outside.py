"""What people outside see of a watched run, and what they ask of it: `darklantern watch stop`, `pause`, `roll-back`.

Of ranks that train together the first has the run's folder; the others hear from it at looks.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from darklantern.records.exact import decode, encode
from darklantern.watch.attach.ranks import Ranks
from darklantern.watch.runs.files import Command, Doing
from darklantern.watch.runs.notifying import Place
from darklantern.watch.runs.run import Run

_BETWEEN_S = 0.2
"""between two looks for commands, so that short steps do not spend their time on it"""


class Outside:
    """The folder of one run, if the watch was given one. Nothing here raises into the loop after it was opened."""

    def __init__(
        self,
        run: str | Path | None,
        ranks: Ranks,
        say: Callable[[str, str], None],
        hang_after: float | None = None,
        tell: Sequence[Place] = (),
    ) -> None:
        self._name, self._ranks, self._say, self._hang_after = run, ranks, say, hang_after
        self._tell = tuple(tell)
        """the places where a hang is told"""
        self._run: Run | None = None
        self.closed = False
        """whether it had a folder, which was given back"""
        self._next = 0.0

    @property
    def folder(self) -> Path | None:
        """Where the run's files lie; None without a run, and on all ranks but the first."""
        return None if self._run is None else self._run.folder

    @property
    def can_ask(self) -> bool:
        """Whether there is somewhere for a person to answer."""
        return self._name is not None and not self.closed

    @property
    def name(self) -> str:
        """What people call the run."""
        return "" if self._name is None else str(self._name)

    def open(self) -> None:
        """Before the first step. Raises WatchError when another live process has the folder."""
        if self._name is None or self._ranks.rank or self._run is not None:
            return
        self._run = Run.open(self._name)
        self._run.guard(self._hang_after, tell=self._tell)
        self._pass_on()

    def beat(self, step: int, what: Doing = "training", alarm: str | None = None) -> None:
        """The loop lives, and has done so many steps."""
        if self._run is not None:
            self._run.beat(step, what, alarm=alarm)

    def left(self, step: int) -> None:
        """The loop was left: by its end, a break or an error."""
        if self._run is not None:
            self._run.beat(step, "outside the loop")
            self._pass_on()

    def close(self, step: int) -> None:
        """The run is over."""
        self.closed = self._name is not None
        if self._run is not None:
            self._run.close(step)
            self._pass_on()
            self._run = None

    def asked(self) -> list[Command]:
        """What was asked since the last call. Only alone: several ranks hear it in `together`."""
        if self._run is None or self._ranks.count > 1 or time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + _BETWEEN_S
        found = self._run.asked()
        self._pass_on()
        return found

    def together(self) -> list[Command]:
        """What was asked since the last look, on all ranks alike. Each of them calls it at each look."""
        if self._ranks.count == 1 or not self.can_ask:
            return []
        mine = self._run.asked() if self._run is not None else []
        self._pass_on()
        heard = self._ranks.gather([encode(each).decode() for each in mine])[0]
        return [decode(Command, text.encode()) for text in heard]

    def give_back(self, commands: Sequence[Command]) -> None:
        """Commands of `asked` or `together` that are to be heard again, before any newer one."""
        if self._run is not None:
            self._run.give_back(commands)

    def answer(self, command: Command, step: int, outcome: str, done: bool = True) -> None:
        """Acknowledge a command."""
        if self._run is not None:
            self._run.answer(command, step, outcome, done=done)
            self._pass_on()

    def wait(self, step: int, why: str, alarm: str | None) -> Command:
        """Until somebody lets the run go on, rolls it back or stops it."""
        said: Command | None = None
        if self._run is not None:
            said = self._run.paused(step, why, alarm=alarm, say=lambda text: self._say("run", text))
        heard = self._ranks.gather(None if said is None else encode(said).decode())[0]
        return decode(Command, heard.encode())

    def _pass_on(self) -> None:
        if self._run is not None:
            for text in self._run.unsaid():
                self._say("run", text)
