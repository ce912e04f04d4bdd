"""The other side of a run: who is not the training process, and wants to know or to have something done.

In: a run's folder and a wish. Out: how the run stands, what the loop answered, what had to be done without it. Nothing
in a folder aims a signal at anybody but the process that the folder's owner runs there.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from darklantern.errors import DarkLanternError, WatchError
from darklantern.records.exact import Value
from darklantern.watch.runs.files import (
    ANSWERED,
    ASKED,
    EVENTS,
    FAILED,
    FINISHED,
    HEARTBEAT,
    HUNG,
    LEFT,
    RUN,
    WATCHDOG,
    About,
    Answer,
    Command,
    Do,
    Doing,
    Entry,
    Guard,
    Heartbeat,
    Hung,
    add_line,
    age_s,
    entries,
    folder_of,
    get,
    new_nonce,
    now,
    put,
    runs_folder,
    short,
    user_name,
)
from darklantern.watch.runs.processes import Life, Sent, life, send

GRACE_S: Final = 30.0
"""that a loop has to heed a stop, unless another time is asked for"""
KILL_AFTER_S: Final = 5.0
"""between SIGTERM and SIGKILL, and until a process counts as one that cannot be killed"""
_WATCHDOG_S: Final = 3.0
"""by how much a watchdog may be late before its work is done for it"""
_LOOK_S: Final = 0.05

Ended = Literal["heeded", "ended", "terminated", "killed", "goes on"]


@dataclass(frozen=True)
class Asked:
    """A run as somebody finds it who wants something of it."""

    folder: Path
    about: About

    @property
    def owners(self) -> frozenset[int]:
        """Whose files are believed in its folder."""
        return frozenset((self.about.uid, 0))

    def life(self) -> Life:
        """Whether its process lives."""
        return life(self.about.process)

    def heartbeat(self) -> Heartbeat | None:
        """Its last one. Raises WatchError for one that is not to be believed."""
        beat = get(self.folder / HEARTBEAT, Heartbeat, self.owners, in_place=True, may_be_blank=True)
        return beat if beat is not None and beat.run == self.about.run else None

    def guarded(self) -> bool:
        """Whether its watchdog lives, as far as can be seen from here."""
        guard = get(self.folder / WATCHDOG, Guard, self.owners)
        return guard is not None and guard.run == self.about.run and life(guard.process) in ("running", "suspended")


class Standing(Value, frozen=True, kw_only=True):
    """How a run stands."""

    name: str
    folder: str
    life: str
    """`running`, `suspended`, `ended`, `closed` (the loop is over, the process lives) or `elsewhere`"""
    end: str
    """of a process that has ended, as far as it can be known: `closed`, `finished` (it ended in good order after its
    loop, without closing the run), `failed: NAME` of an exception, `killed` (from outside, without a word), or `ended`
    where nothing tells; empty while it lives"""
    pid: int
    host: str
    user: str
    program: str
    started: str
    step: int | None
    what: Doing | None
    age_s: float | None
    """seconds since the last heartbeat, by this machine's clock"""
    hung: bool
    guarded: bool
    waiting: str
    """for what it waits for a person, if it does"""
    alarm: str
    """the last alarm"""


class Stopped(Value, frozen=True, kw_only=True):
    """How a stop went."""

    how: Ended
    """`heeded` by the loop; `ended` by itself meanwhile; `terminated`, `killed` from outside; or it `goes on`"""
    step: int | None
    """at which the loop heeded, or the last that is known"""
    text: str


def find(run: str | Path) -> Asked:
    """A run by its folder or name, see `place_of`. Raises WatchError where there is none, or it is another user's."""
    folder = place_of(run)
    try:
        owner = folder.stat().st_uid
        if owner != os.geteuid() and os.geteuid() != 0:
            raise WatchError(
                f"the run in {folder} is {user_name(owner)}'s",
                hint="only they, and root, can ask something of it, and believe what stands there",
            )
        about = get(folder / RUN, About, frozenset((owner, 0)), may_be_blank=True)
    except (FileNotFoundError, NotADirectoryError):
        about = None
    except OSError as error:
        raise WatchError(f"cannot look into {folder}: {error.strerror}", hint="is it a run's folder?") from error
    if about is None and any(folder.glob(f"*/{RUN}")):
        raise WatchError(f"{folder} is a folder of runs", hint="name one of those that lie in it")
    if about is None:
        raise WatchError(
            f"there is no run in {folder}",
            hint="`darklantern watch status` lists those with a name; a folder of this place is written ./folder",
        )
    if about.uid != owner:  # or its owner could have root end any process of root's
        raise WatchError(
            f"the run in {folder} says that it is {user_name(about.uid)}'s, but the folder is {user_name(owner)}'s",
            hint="do not trust it: see who put that there",
        )
    return Asked(folder, about)


def every_run(folder: Path | None = None) -> Iterable[Asked | DarkLanternError]:
    """Every run in a folder of runs, by default those that have a name; or why one of them cannot be looked at."""
    folder = folder or runs_folder()
    try:
        places = sorted(path for path in folder.iterdir() if os.access(path / RUN, os.R_OK))
    except FileNotFoundError:
        return
    except OSError as error:
        yield WatchError(f"cannot look into {folder}: {error.strerror}", hint="is it a folder of runs?")
        return
    for place in places:
        try:
            yield find(place)
        except DarkLanternError as error:
            yield error


def standing(run: Asked) -> Standing:
    """How a run stands. Raises WatchError for a file there that is not to be believed."""
    beat, lives = run.heartbeat(), run.life()
    closed = lives != "ended" and beat is not None and beat.what == "closed"
    hung = get(run.folder / HUNG, Hung, run.owners)
    about = run.about
    return Standing(
        name=about.name,
        folder=str(run.folder),
        life="closed" if closed else lives,
        end=_end(run, beat) if lives == "ended" else "",
        pid=about.process.pid,
        host=about.host,
        user=about.user,
        program=about.program,
        started=about.started,
        step=beat.step if beat else None,
        what=beat.what if beat else None,
        age_s=age_s(beat.time) if beat else None,
        hung=hung is not None and hung.run == about.run and lives != "ended",
        guarded=run.guarded(),
        waiting=beat.waiting if beat and lives != "ended" else "",
        alarm=beat.alarm if beat else "",
    )


def _end(run: Asked, beat: Heartbeat | None) -> str:
    """How the process of a run ended, by what it said last: one that is killed says nothing."""
    said = {each.what: each.text for each in entries(run.folder) if each.run == run.about.run}
    if FAILED in said:
        return f"failed: {said[FAILED]}"
    if beat is not None and beat.what == "closed":
        return "closed"
    if FINISHED in said:
        return "finished"
    in_loop = beat is not None and beat.what != "outside the loop"
    return "killed" if LEFT not in said and (in_loop or "terminate" in said or "kill" in said) else "ended"


def place_of(run: str | Path) -> Path:
    """Where a run, or several, are: a folder that is there and holds one or more comes before a run's name.

    Raises WatchError for a word that is neither.
    """
    here = Path(run)
    if here.is_dir() and ((here / RUN).is_file() or any(here.glob(f"*/{RUN}"))):
        return here.absolute()
    return folder_of(run)


def ask(run: Asked, do: Do, why: str = "", grace_s: float = GRACE_S) -> Command:
    """Leave a command for the loop. A stop that is not heeded within `grace_s` seconds becomes a signal, where a
    watchdog lives. Raises WatchError for a run that has ended, and for nothing to approve."""
    beat = run.heartbeat()
    if run.life() == "ended" or (beat is not None and beat.what == "closed"):
        raise WatchError(
            f"the run {run.about.name} is over"
            + (f" since step {beat.step}" if beat else "")
            + f": process {run.about.process.pid} {'has ended' if run.life() == 'ended' else 'closed it'}",
            hint="`darklantern watch status` lists those that go on",
        )
    pause = beat.pause if beat else None
    if do == "go on" and pause is None:
        raise WatchError(
            f"the run {run.about.name} waits for no approval", hint="`darklantern watch status` says which runs wait"
        )
    command = Command(
        nonce=new_nonce(),
        run=run.about.run,
        do=do,
        pause=pause if do == "go on" else None,
        grace_s=float(grace_s),
        why=short(why),
        user=user_name(os.geteuid()),
        uid=os.geteuid(),
        time=now(),
    )
    # What root leaves must be readable by the owner; the folder keeps everybody else out.
    put(run.folder / ASKED / f"{command.nonce}.json", command, 0o600 if os.geteuid() == run.about.uid else 0o644)
    return command


def answer_to(run: Asked, command: Command, within_s: float) -> Answer | None:
    """What the loop answered; None when it has not by then, or has ended."""
    deadline = time.monotonic() + within_s
    while True:
        over = run.life() == "ended" or time.monotonic() >= deadline
        found = get(run.folder / ANSWERED / f"{command.nonce}.json", Answer, run.owners)
        if found is not None or over:
            return found
        time.sleep(_LOOK_S)


def stop(
    run: Asked, grace_s: float = GRACE_S, why: str = "", say: Callable[[str], None] = lambda text: None
) -> Stopped:
    """Have the loop stop at its next step; after `grace_s` end its process by SIGTERM, and then by SIGKILL.

    The signals are the watchdog's where one lives, and are sent from here where none does, or it is late. `say` is
    told what is being done. Raises WatchError for a run that has ended, and when the loop refuses to stop.
    """
    command = ask(run, "stop", why, grace_s)
    answer = answer_to(run, command, grace_s)
    if answer is None and run.life() != "ended":
        say(f"the loop has not heeded within {grace_s:g} s: ending process {run.about.process.pid}")
        for number in (signal.SIGTERM, signal.SIGKILL):
            say(_signal(run, command, number))
            answer = answer_to(run, command, KILL_AFTER_S)
            if answer is not None or run.life() == "ended":
                break
    if answer is not None and not answer.done:
        raise WatchError(f"the loop does not stop: {answer.outcome}", hint="what it says is in the run's events.jsonl")
    if answer is not None:
        return Stopped(how="heeded", step=answer.step, text=answer.outcome)
    return _without_answer(run, command)


def _signal(run: Asked, command: Command, number: signal.Signals) -> str:
    """Have the signal sent, by the watchdog or from here. What was done, to be told."""
    deadline = time.monotonic() + _WATCHDOG_S
    # One on another machine cannot be seen to live, and only it can send signals there.
    # Its line comes after its signal, so it is waited for even when the process has ended.
    late = False
    while not late and _ACTS[number] not in _acts(run, command):
        late = time.monotonic() >= deadline or not (run.guarded() or run.life() == "elsewhere")
        time.sleep(0 if late else _LOOK_S)
    if _ACTS[number] in _acts(run, command):
        return f"the watchdog sent {number.name}"
    sent = send(run.about.process, number, run.about.uid)
    if sent is Sent.SENT:
        entry = Entry(
            time=now(),
            by="asker",
            what=_ACTS[number],
            run=run.about.run,
            nonce=command.nonce,
            text=f"{number.name} {sent.value}, as {command.user} asked",
        )
        try:
            add_line(run.folder / EVENTS, entry, sync=True)
        except DarkLanternError as error:
            return f"{number.name} {sent.value}; this is not in its record: {error.message}"
    return f"{number.name} {sent.value}"


_ACTS: Final = {signal.SIGTERM: "terminate", signal.SIGKILL: "kill"}


def _acts(run: Asked, command: Command) -> set[str]:
    return {each.what for each in entries(run.folder) if each.nonce == command.nonce}


def _last_acts(run: Asked, command: Command) -> set[str]:
    """What was done for `command`; of a process that has ended, once its watchdog has written down its last signal."""
    deadline = time.monotonic() + _WATCHDOG_S
    while run.life() == "ended" and run.guarded() and time.monotonic() < deadline:
        if _ACTS[signal.SIGKILL] in _acts(run, command):
            break
        time.sleep(_LOOK_S)
    return _acts(run, command)


def _without_answer(run: Asked, command: Command) -> Stopped:
    beat = run.heartbeat()
    step = beat.step if beat else None
    acts, process = _last_acts(run, command), run.about.process.pid
    known = f"; the last known step is {step}" if beat else ""
    if run.life() != "ended":
        where = f" on {run.about.host}, where no signal from here reaches it" if run.life() == "elsewhere" else ""
        return Stopped(how="goes on", step=step, text=f"process {process} goes on{where}{known}")
    if "kill" in acts:
        return Stopped(how="killed", step=step, text=f"process {process} was ended by SIGKILL{known}")
    if "terminate" in acts:
        return Stopped(how="terminated", step=step, text=f"process {process} was ended by SIGTERM{known}")
    return Stopped(how="ended", step=step, text=f"process {process} ended by itself, without an answer{known}")
