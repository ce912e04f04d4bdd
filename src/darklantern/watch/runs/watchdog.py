"""The watchdog: a process of its own, which a loop that hangs cannot hold. `Run.guard` starts it.

In: orders and beats, by stdin; a process; commands in its run's folder. Out: lines in events.jsonl, hung.json, and
signals to that one process. It ends with that process or when told to, and not by Ctrl-C or SIGTERM: those are for
the training, and a loop that hangs in spite of them is what it is there for. What it cannot write down it does all the
same.
"""

import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from darklantern.errors import DarkLanternError
from darklantern.records.exact import Value, encode
from darklantern.watch.runs.files import (
    ANSWERED,
    ASKED,
    EVENTS,
    HUNG,
    Command,
    Entry,
    Guard,
    Hung,
    add_line,
    get,
    now,
    put,
    short,
)
from darklantern.watch.runs.guarding import Act, Judge, Look, Orders, Pulse
from darklantern.watch.runs.notifying import DEADLINE_S, Note, Notices
from darklantern.watch.runs.processes import handle, life, send, this_process

_LONGEST_NAP: Final = 5
"""looks that one wait may count for: the rest of it the machine slept, or did not let this process run"""
_ENDING_S: Final = 30.0
_ENDING_LOOK_S: Final = 0.05
_SIGNALS: Final = {"terminate": signal.SIGTERM, "kill": signal.SIGKILL}


class Watchdog:
    """One watchdog, from its first look to its last."""

    def __init__(self, orders: Orders, held: int | None) -> None:
        self.orders, self._held = orders, held
        self._folder = Path(orders.folder)
        self._notices = Notices(orders.tell)
        self._judge = Judge(orders.hang_after_s, orders.then, orders.kill_after_s)
        self._unread = b""
        self._awake_s, self._clock = 0.0, time.monotonic()
        self._pulses, self._last = 0, Pulse(step=0, what="outside the loop")

    def run(self) -> str:
        """Look until the process ends or says that no watchdog is needed. Why it ended."""
        while True:
            ready = self._wait()
            if self._has_ended(ready):
                return "the process ended"
            if sys.stdin.fileno() in ready and (said := self._hear()):
                return said
            self._judge, acts = self._judge.look(self._look())
            for act in acts:
                self._do(act)
            for told in self._notices.told():
                self.record("told" if told.done else "not told", str(told))

    def record(self, what: str, text: str, nonce: str | None = None) -> None:
        """Add a line to events.jsonl, or to stderr where that cannot be written."""
        about = self.orders.about
        entry = Entry(time=now(), by="watchdog", what=what, run=about.run, nonce=nonce, text=short(text))
        try:
            add_line(self._folder / EVENTS, entry, sync=True)
        except DarkLanternError as error:
            print(f"{error.message}: {entry}", file=sys.stderr, flush=True)

    def leave(self, why: str) -> None:
        """Say why it ends, and wait a little for those who are still being told."""
        for told in self._notices.told(DEADLINE_S):
            self.record("told" if told.done else "not told", str(told))
        self.record("watchdog ends", why)

    def _wait(self) -> list[int]:
        watched = [sys.stdin.fileno(), *([self._held] if self._held is not None else [])]
        ready, _, _ = select.select(watched, [], [], self.orders.look_every_s)
        clock = time.monotonic()
        self._awake_s += min(clock - self._clock, _LONGEST_NAP * max(self.orders.look_every_s, 0.1))
        self._clock = clock
        return ready

    def _has_ended(self, ready: list[int]) -> bool:
        return self._held in ready if self._held is not None else life(self.orders.about.process) == "ended"

    def _hear(self) -> str:
        """Take in beats. Why to end, if the process said so."""
        data = os.read(sys.stdin.fileno(), 65_536)
        if not data:  # every copy of the pipe is closed: a process that ends closes it before it has ended
            return self._end_of_pipe()
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            if not line:
                return "the run was closed"
            self._last, self._pulses = msgspec.json.decode(line, type=Pulse), self._pulses + 1
        return ""

    def _end_of_pipe(self) -> str:
        deadline = time.monotonic() + _ENDING_S
        while life(self.orders.about.process) != "ended":
            if time.monotonic() >= deadline:
                return "the process closed its pipe"
            time.sleep(_ENDING_LOOK_S)
        return "the process ended"

    def _look(self) -> Look:
        return Look(
            awake_s=self._awake_s,
            pulses=self._pulses,
            elsewhere=self._last.what in ("outside the loop", "closed"),
            suspended=life(self.orders.about.process) == "suspended",
            stops=tuple(self._stops()),
        )

    def _stops(self) -> list[Command]:
        """Each `stop` for this run that was not answered. Those not to be believed are the loop's to name."""
        found = []
        owners = frozenset((self.orders.about.uid, 0))
        try:
            names = sorted(path.name for path in (self._folder / ASKED).iterdir())
        except OSError:  # the folder vanished: nobody can ask, and a hang is still noticed
            return []
        for name in names:
            try:
                command = get(self._folder / ASKED / name, Command, owners) if name.endswith(".json") else None
            except DarkLanternError:
                continue
            fits = command and command.do == "stop" and command.run == self.orders.about.run
            if command and fits and name == f"{command.nonce}.json" and not (self._folder / ANSWERED / name).exists():
                found.append(command)
        return sorted(found, key=lambda command: (command.time, command.nonce))

    def _do(self, act: Act) -> None:
        if act.do == "hung":
            self._note_hang()
        if act.do == "beats again":
            self._write_or_say(None)
        outcome = ""
        if act.do in _SIGNALS:
            number = _SIGNALS[act.do]
            # First the signal, then the line about it: a disk that hangs must not keep a stop from happening.
            outcome = f"; {number.name} {send(self.orders.about.process, number, self.orders.about.uid).value}"
        self.record(act.do, act.why + outcome, act.nonce)
        if act.do not in ("suspended", "beats again"):
            text = f"{act.do}: {act.why}{outcome}"
            self._notices.send(Note(run=self.orders.about.name, step=self._last.step, text=short(text)))

    def _note_hang(self) -> None:
        silent = self._awake_s - self._judge.since_s
        self._write_or_say(Hung(run=self.orders.about.run, silent_s=silent, then=self.orders.then, time=now()))

    def _write_or_say(self, hung: Value | None) -> None:
        try:
            if hung is None:
                (self._folder / HUNG).unlink(missing_ok=True)
            else:
                put(self._folder / HUNG, hung)
        except (DarkLanternError, OSError) as error:
            print(f"hung.json: {error}", file=sys.stderr, flush=True)


def main() -> None:
    """Take orders from stdin, say on stdout that it watches, and do so."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = b""
    while not line.endswith(b"\n"):
        if not (read := os.read(sys.stdin.fileno(), 1)):  # not one byte of what comes after may be buffered
            return
        line += read
    orders = msgspec.json.decode(line, type=Orders)
    try:
        held = handle(orders.about.process)
    except ProcessLookupError:
        return
    dog = Watchdog(orders, held)
    dog.record("watchdog begins", f"process {os.getpid()}")
    sys.stdout.buffer.write(encode(Guard(run=orders.about.run, process=this_process())) + b"\n")
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    dog.leave(dog.run())
