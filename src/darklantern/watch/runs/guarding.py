"""What a watchdog does next: pure decisions over what it saw.

In: one look after another at a training process. Out: what to do. Time is what the watchdog was awake for, so that a
machine which slept, or was too busy to run the watchdog, doesn't look like a loop that hangs.
"""

from dataclasses import dataclass, replace
from typing import Literal

from darklantern.records.exact import Value
from darklantern.watch.runs.files import About, Command, Doing, Seconds, Step
from darklantern.watch.runs.notifying import Place

Do = Literal["hung", "suspended", "beats again", "terminate", "kill", "cannot be killed"]


class Orders(Value, frozen=True, kw_only=True):
    """What the training process tells its watchdog at the start, by a pipe: a webhook's address is often a secret."""

    folder: str
    about: About
    hang_after_s: Seconds | None
    then: Literal["notify", "stop"]
    kill_after_s: Seconds
    look_every_s: Seconds
    tell: tuple[Place, ...]


class Pulse(Value, frozen=True, kw_only=True):
    """A beat, by the same pipe."""

    step: Step
    what: Doing


@dataclass(frozen=True)
class Look:
    """What the watchdog sees at one moment."""

    awake_s: float
    """seconds that it was awake since it began"""
    pulses: int
    """beats since it began"""
    elsewhere: bool
    """the process said that it is outside the loop"""
    suspended: bool
    """somebody stopped the process by Ctrl-Z or a debugger: that is no hang"""
    stops: tuple[Command, ...] = ()
    """each `stop` that the loop has not answered, the oldest first"""


@dataclass(frozen=True)
class Act:
    """One thing to do, and why."""

    do: Do
    why: str
    nonce: str | None = None
    """the command that it is about"""


@dataclass(frozen=True)
class Ending:
    """A process that is being ended: by whose word, and what was sent when."""

    nonce: str | None
    """of the `stop` that was not heeded; None for a hang"""
    since_s: float
    killed: bool = False
    given_up: bool = False


@dataclass(frozen=True)
class Judge:
    """The state between looks."""

    hang_after_s: float | None
    then: Literal["notify", "stop"]
    kill_after_s: float
    pulses: int = 0
    since_s: float = 0.0
    """when the last beat was seen"""
    hung: bool = False
    suspended: bool = False
    asked: tuple[tuple[str, float], ...] = ()
    """each unanswered `stop` by its nonce, and when it was first seen"""
    ending: Ending | None = None

    def look(self, seen: Look) -> "tuple[Judge, tuple[Act, ...]]":
        """The state after a look, and what to do about it."""
        judge, acts = self._hear(seen)
        judge, more = judge._judge_hang(seen)
        acts += more
        judge, more = judge._judge_stops(seen)
        acts += more
        judge, more = judge._go_on_ending(seen)
        return judge, acts + more

    def _hear(self, seen: Look) -> "tuple[Judge, tuple[Act, ...]]":
        alive = seen.pulses != self.pulses
        said: tuple[Act, ...] = ()
        if seen.suspended and not self.suspended:
            said = (Act("suspended", "somebody stopped the process; that is no hang"),)
        quiet = alive or seen.elsewhere or seen.suspended
        judge = replace(self, pulses=seen.pulses, suspended=seen.suspended)
        judge = replace(judge, since_s=seen.awake_s) if quiet else judge
        if alive and self.hung:
            ending = None if self.ending and self.ending.nonce is None and not self.ending.killed else self.ending
            return replace(judge, hung=False, ending=ending), (*said, Act("beats again", "the loop goes on"))
        return judge, said

    def _judge_hang(self, seen: Look) -> "tuple[Judge, tuple[Act, ...]]":
        silent = seen.awake_s - self.since_s
        if self.hang_after_s is None or self.hung or silent <= self.hang_after_s:
            return self, ()
        why = f"no beat for {silent:.1f} s, {self.hang_after_s:g} s are allowed"
        judge, acts = replace(self, hung=True), (Act("hung", why),)
        if self.then == "stop" and self.ending is None:
            return replace(judge, ending=Ending(None, seen.awake_s)), (*acts, Act("terminate", why))
        return judge, acts

    def _judge_stops(self, seen: Look) -> "tuple[Judge, tuple[Act, ...]]":
        known = dict(self.asked)
        asked = tuple((stop.nonce, known.get(stop.nonce, seen.awake_s)) for stop in seen.stops)
        first = dict(asked)
        judge = replace(self, asked=asked)
        if judge.ending and judge.ending.nonce and judge.ending.nonce not in first and not judge.ending.killed:
            judge = replace(judge, ending=None)  # heeded after all
        due = [stop for stop in seen.stops if seen.awake_s - first[stop.nonce] > stop.grace_s]
        if not due or judge.ending is not None:
            return judge, ()
        stop = due[0]
        why = f"the stop that {stop.user} asked for was not heeded within {stop.grace_s:g} s"
        return replace(judge, ending=Ending(stop.nonce, seen.awake_s)), (Act("terminate", why, stop.nonce),)

    def _go_on_ending(self, seen: Look) -> "tuple[Judge, tuple[Act, ...]]":
        ending = self.ending
        if ending is None or ending.given_up or seen.awake_s - ending.since_s <= self.kill_after_s:
            return self, ()
        if ending.killed:
            why = f"it is still there {self.kill_after_s:g} s after SIGKILL: the kernel does not let go of it"
            return replace(self, ending=replace(ending, given_up=True)), (Act("cannot be killed", why, ending.nonce),)
        why = f"it is still there {self.kill_after_s:g} s after SIGTERM"
        return replace(self, ending=replace(ending, killed=True, since_s=seen.awake_s)), (
            Act("kill", why, ending.nonce),
        )
