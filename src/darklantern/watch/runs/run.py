"""A run as others see it from outside: where it is, whether it lives, and what they ask of it.

In: steps, from the training loop; commands, from files. Out: a heartbeat, commands to heed, answers. What goes wrong
with the folder after it was opened never reaches the loop as an error: it is kept for `unsaid`.

What holds:

- One live process has a folder. Another one is refused and told which; what a dead process left is taken over, and
  commands that it never heard are not heeded by the next. A second run of the same process takes the folder over, and
  both say so in `unsaid`.
- A command is heard once, and waits until it is answered. One for another run, of another user than the owner or root,
  by a symlink, too large, or not decoded exactly is named in `unsaid` and not heeded.
- `go on` holds for the one pause that whoever asked has seen.
- The watchdog is told of each beat through a pipe: neither a full disk nor a folder that vanished looks like a hang.
- A disk that does not answer at all (a network folder whose server is gone) holds the loop as it holds any program:
  runs with a name are on the machine's own disk.
"""

import atexit
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

from darklantern.errors import DarkLanternError, WatchError
from darklantern.files import PARTIAL
from darklantern.watch.runs.files import (
    ANSWERED,
    ASKED,
    EVENTS,
    FAILED,
    FINISHED,
    HEARTBEAT,
    LEFT,
    RUN,
    WATCHDOG,
    About,
    Answer,
    Command,
    Doing,
    Entry,
    Heartbeat,
    add_line,
    folder_of,
    get,
    is_nonce,
    new_nonce,
    now,
    put,
    put_over,
    short,
    user_name,
)
from darklantern.watch.runs.folders import opened
from darklantern.watch.runs.guarding import Orders, Pulse
from darklantern.watch.runs.notifying import Place
from darklantern.watch.runs.starting import StartedWatchdog

BEAT_S: Final = 1.0
"""between two heartbeats of which nothing but the step differs"""
KILL_AFTER_S: Final = 5.0
"""between SIGTERM and SIGKILL"""
_PAUSED_LOOK_S: Final = 0.2
_MOST_COMMANDS: Final = 256
_MOST_UNSAID: Final = 100


class Run:
    """A run's folder, held by the process that trains. `Run.open` makes it.

        run = Run.open("runs/x")
        run.guard(hang_after=600)
        for step, batch in enumerate(loader):
            train_step(batch)
            run.beat(step)
            for command in run.asked():
                run.answer(command, step, heed(command))
        run.close(step)

    A `beat` costs about a microsecond, and some fifty once a second, when it writes; `asked` costs some twenty, on a
    local disk. Neither raises.
    """

    def __init__(self, folder: Path, about: About) -> None:
        self.folder, self.about = folder, about
        self._pid = os.getpid()
        self._owners = frozenset((about.uid, 0))
        self._last: Heartbeat | None = None
        self._next_write = self._next_pulse = 0.0
        self._pulse_s = BEAT_S
        self._says: tuple[Doing, str, str | None, str] = ("outside the loop", "", None, "")
        self._seen: set[str] = set()
        self._held: list[Command] = []
        self._unsaid: list[str] = []
        self._said: set[str] = set()
        self._watchdog: StartedWatchdog | None = None
        self._inode = _inode(folder)
        atexit.register(self._at_exit)

    def __repr__(self) -> str:
        return f"run {self.name} of process {self.about.process.pid}, in {self.folder}"

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.about.name

    @property
    def guarded(self) -> bool:
        """Whether a watchdog lives."""
        return self._watchdog is not None and self._watchdog.status is None

    @classmethod
    def open(cls, run: str | Path) -> "Run":
        """The run of this process, in a folder (`runs/x`, or a Path) or under a name (`x`) in the user's state folder.

        Raises WatchError when another live process has it, when others could write there, or when what stands there
        is of something else; StoreError when it cannot be written.
        """
        folder = folder_of(run)
        found = opened(folder)
        made = cls(folder, found.about)
        if found.takes_over:
            made._fault(f"takes over {folder} from another run of this process, which is not reached there any more")
        return made

    def beat(self, step: int, what: Doing = "training", *, alarm: str | None = None) -> None:
        """Say how far the loop is. Writes at most once a second, or when anything but the step has changed.

        `alarm` is the last alarm, and stands until there is another. Never raises: see `unsaid`.
        """
        self._beat(step, what, alarm)

    def asked(self) -> list[Command]:
        """Commands that came since the last call, in the order in which they came. Never raises: see `unsaid`.

        Each is to be answered. A `go on` that comes here, and not to `paused`, has no pause to approve.
        """
        held, self._held = self._held, []
        if self._lost():
            return held
        try:
            with os.scandir(self.folder / ASKED) as found:
                names = {each.name for each in islice(found, _MOST_COMMANDS)}
        except OSError as error:
            self._fault(f"cannot look for commands in {self.folder / ASKED}: {error.strerror or error}")
            return held
        fresh = [name for name in names - self._seen if not name.endswith(PARTIAL)]
        self._seen = (self._seen & names) | set(fresh)
        if len(names) >= _MOST_COMMANDS:
            self._fault(f"{self.folder / ASKED} holds {_MOST_COMMANDS} files or more; the rest is not looked at")
        return held + [command for _, command in sorted(self._heard(fresh), key=lambda each: each[0])]

    def give_back(self, commands: Sequence[Command]) -> None:
        """Commands of `asked` that nobody could do yet: it returns them first when it is called again."""
        self._held = [*commands, *self._held]

    def answer(self, command: Command, step: int, outcome: str, *, done: bool = True) -> None:
        """Acknowledge a command: what was done about it, at which step. Never raises: see `unsaid`."""
        text = short(outcome)
        with self._noting():
            said = Answer(nonce=command.nonce, done=done, step=int(step), outcome=text, time=now())
            put(self.folder / ANSWERED / f"{command.nonce}.json", said)
            (self.folder / ASKED / f"{command.nonce}.json").unlink(missing_ok=True)
        what = f"{command.do}: {'done' if done else 'not done'}"
        self._record(what, f"step {int(step)}: {text}", command.nonce)

    def paused(
        self, step: int, waiting: str, *, alarm: str | None = None, say: Callable[[str], None] = lambda text: None
    ) -> Command:
        """Wait, beating, until somebody lets the run go on, rolls it back or stops it; that command, to be answered.

        Only a `go on` that names this very pause counts; others are answered "not done", as is all that lies there
        together with a stop. `say` is given what would stand in `unsaid`, since nobody else can ask for it meanwhile.
        Ctrl-C ends it like any other wait.
        """
        pause = new_nonce()
        self._record("paused", f"step {int(step)}: {short(waiting)}", None)
        while True:
            self._beat(step, "paused", alarm, pause, waiting)
            commands = self.asked()
            if stop := next((each for each in commands if each.do == "stop"), None):
                for each in commands:
                    if each is not stop:
                        self.answer(each, step, "the run was stopped", done=False)
                return stop
            while commands:
                command = commands.pop(0)
                if command.do == "roll back" or (command.do == "go on" and command.pause == pause):
                    self._held = commands
                    return command
                why = "it is paused already" if command.do == "pause" else "it waits for another approval than that one"
                self.answer(command, step, why, done=False)
            for text in self.unsaid():
                say(text)
            time.sleep(_PAUSED_LOOK_S)

    def unsaid(self) -> list[str]:
        """What went wrong with the folder, the commands or the watchdog since the last call; the same only once."""
        found, self._unsaid = self._unsaid, []
        return found

    def guard(
        self,
        hang_after: float | None = None,
        then: Literal["notify", "stop"] = "notify",
        *,
        tell: Sequence[Place] = (),
        kill_after: float = KILL_AFTER_S,
        look_every: float = 0.5,
    ) -> None:
        """Start a watchdog: a process of its own that enforces an unheeded `stop`, and notices a hang.

        After a stop's grace it sends SIGTERM, and SIGKILL `kill_after` seconds later. When the loop has not beaten for
        `hang_after` seconds it writes hung.json, tells the places in `tell`, and with `then="stop"` ends the process
        in the same way. It ends with this process. Costs about 40 MB and, here, a quarter of a second.
        Raises WatchError when it does not start, or for a `hang_after` that no loop could keep within.
        """
        if self.guarded:
            raise WatchError(f"{self!r} has a watchdog already", hint="guard it once")
        self._dismiss()  # one that has ended leaves its pipes
        if hang_after is not None and not hang_after > 0:
            raise WatchError(f"expected hang_after > 0 seconds, got {hang_after}", hint="600 is ten minutes")
        orders = Orders(
            folder=str(self.folder),
            about=self.about,
            hang_after_s=hang_after,
            then=then,
            kill_after_s=kill_after,
            look_every_s=look_every,
            tell=tuple(tell),
        )
        self._pulse_s = BEAT_S if hang_after is None else min(BEAT_S, hang_after / 4)
        self._watchdog = StartedWatchdog(orders)
        put(self.folder / WATCHDOG, self._watchdog.guard)

    def close(self, step: int | None = None) -> None:
        """The loop is over, and its process may go on without a watchdog. Never raises: see `unsaid`."""
        last = self._last
        if (error := sys.exc_info()[0]) is not None:  # in the `finally` of a loop that failed, say
            self._record(FAILED, error.__name__, None)
        self._beat(last.step if step is None and last else step or 0, "closed")
        self._record("closed", "", None)
        self._dismiss()
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        """The process ends in good order, without a `close`; one that is killed does not come here."""
        if os.getpid() != self._pid:
            return
        error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)  # at a prompt errors end nothing
        if error is not None:
            self._record(FAILED, type(error).__name__, None)
        else:
            self._record(FINISHED if self._says[0] == "outside the loop" else LEFT, "", None)

    def _dismiss(self) -> None:
        dog, self._watchdog = self._watchdog, None
        if dog is not None:
            dog.dismiss()

    def _beat(
        self, step: int, what: Doing, alarm: str | None = None, pause: str | None = None, waiting: str = ""
    ) -> None:
        if os.getpid() != self._pid:  # a worker that was forked
            self._fault(f"only process {self._pid}, which opened {self!r}, may beat")
            return
        clock, says = time.monotonic(), (what, self._says[1] if alarm is None else alarm, pause, waiting)
        changed, self._says = says != self._says, says
        if clock >= self._next_pulse or changed:
            self._next_pulse = clock + self._pulse_s
            self._pulse(step, what)
        if clock < self._next_write and not changed:
            return
        self._next_write = clock + BEAT_S
        if self._lost():
            return
        with self._noting():
            self._last = self._heartbeat(step)
            put_over(self.folder / HEARTBEAT, self._last)

    def _heartbeat(self, step: int) -> Heartbeat:
        what, alarm, pause, waiting = self._says
        return Heartbeat(
            run=self.about.run,
            step=int(step),
            what=what,
            time=now(),
            pause=pause,
            waiting=short(waiting),
            alarm=short(alarm),
        )

    def _pulse(self, step: int, what: Doing) -> None:
        """Tell the watchdog that the loop lives."""
        if self._watchdog is None:
            return
        if (status := self._watchdog.status) is not None:  # which also reaps it
            self._fault(f"the watchdog ended with status {status}, so nobody notices a hang; guard() starts another")
            return
        self._watchdog.pulse(Pulse(step=int(step), what=what))

    def _lost(self) -> bool:
        """Whether another run has this folder now."""
        try:
            if _inode(self.folder) == self._inode:
                return False
        except OSError as error:
            self._fault(f"the run's folder {self.folder} cannot be reached: {error.strerror or error}")
            return True
        self._fault(f"another run has taken over {self.folder}; this one is not reached there any more")
        return True

    def _heard(self, names: list[str]) -> list[tuple[tuple[int, str], Command]]:
        found = []
        for name in names:
            path = self.folder / ASKED / name
            try:
                came = path.lstat().st_mtime_ns
                command = get(path, Command, self._owners)
                owner = path.lstat().st_uid
            except FileNotFoundError:  # taken back meanwhile
                continue
            except (DarkLanternError, OSError) as error:
                self._refuse(name, str(error))
                continue
            if command is None:
                continue
            if why := self._unfit(command, name, owner):
                self._refuse(name, f"{path} {why}")
            else:
                found.append(((came, name), command))
        return found

    def _unfit(self, command: Command, name: str, owner: int) -> str:
        if name != f"{command.nonce}.json":
            return f"holds the command {command.nonce}"
        if command.run != self.about.run:
            return "is for another run, which had this folder before"
        if command.uid != owner:
            return f"says that {command.user} asks, but belongs to {user_name(owner)}"
        if (self.folder / ANSWERED / name).exists():
            return "was answered before"
        return ""

    def _refuse(self, name: str, why: str) -> None:
        """Name what is not heeded, and tell whoever waits for an answer to it."""
        self._fault(f"not heeded: {why}")
        self._record("refused", f"{name}: {why}", None)
        answered, nonce = self.folder / ANSWERED / name, name.removesuffix(".json")
        if is_nonce(nonce) and name != nonce and not answered.exists():
            step = self._last.step if self._last else 0
            with self._noting():
                put(answered, Answer(nonce=nonce, done=False, step=step, outcome=short(f"refused: {why}"), time=now()))

    def _record(self, what: str, text: str, nonce: str | None) -> None:
        entry = Entry(time=now(), by="run", what=what, run=self.about.run, nonce=nonce, text=short(text))
        if not self._lost():
            with self._noting():
                add_line(self.folder / EVENTS, entry, sync=False)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """What the system or the disk refuses is told by `unsaid`; it must not break training."""
        try:
            yield
        except (DarkLanternError, OSError) as error:
            self._fault(str(error))

    def _fault(self, text: str) -> None:
        if len(self._said) >= _MOST_UNSAID and text not in self._said:
            text = "more went wrong than is told here"
        if text not in self._said:
            self._said.add(text)
            self._unsaid.append(text)


def _inode(folder: Path) -> tuple[int, int]:
    status = (folder / RUN).stat()
    return status.st_dev, status.st_ino
