"""A look from its beginning to its end: the state it may go back to, what it sees, the alarm, what follows, word of it.

In: the parts of a watch. Out: what the loop is to do next. What fails at a look leaves the run whole, and is said.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from darklantern.errors import DarkLanternError, cause_of
from darklantern.watch import agreeing
from darklantern.watch.alarms import Alarm
from darklantern.watch.answering import Answers
from darklantern.watch.attach.tap import Tap
from darklantern.watch.beside import Beside
from darklantern.watch.budget import FIRST, Cadence
from darklantern.watch.casebook import Casebook
from darklantern.watch.clock import Clock
from darklantern.watch.examples import Examples
from darklantern.watch.going_on import Earlier
from darklantern.watch.keeping import Keeper
from darklantern.watch.observing import Observer
from darklantern.watch.onlookers import Each
from darklantern.watch.outside import Outside
from darklantern.watch.passes import Passes
from darklantern.watch.people import People
from darklantern.watch.reactions import Reaction
from darklantern.watch.trace import Trace
from darklantern.watch.underway import Underway
from darklantern.watch.viewing import unjudged


class Run(Protocol):
    """The watched run, as a look at it sees it."""

    step: int
    alarms: list[Alarm]
    trace: Trace
    cadence: Cadence
    rollbacks: int
    screened_rows: int
    went_on: bool

    @property
    def rewinds(self) -> str: ...

    @property
    def stopped(self) -> str: ...

    def say(self, label: str, text: str) -> None: ...


@dataclass
class Sentry:
    """Looks at one run, raises the alarm, and sees the reaction through."""

    run: Run
    tap: Tap
    observer: Observer
    keeper: Keeper
    outside: Outside
    people: People
    answers: Answers
    casebook: Casebook
    clock: Clock
    passes: Passes
    beside: Beside
    on_look: Each
    explain: Callable[[Any], None] = lambda run: None
    """how to go on in another process, once an alarm was answered"""
    earlier: Callable[[Any], Earlier | None] = lambda run: None
    """what an earlier process saw of the run, where this one goes on with it"""
    started: bool = field(default=False, init=False)
    """the self-test is done"""
    _underway: Underway | None = field(default=None, init=False)
    """what follows the newest alarm, until it is done"""
    _uncalibrated: str = field(default="", init=False)
    _unjudged: str = field(default="", init=False)

    @property
    def due(self) -> bool:
        """Whether it is time for a look, and something was trained on since the last."""
        return bool(self.observer.since) and self.run.cadence.due(self.run.step)

    def start(self, examples: Examples) -> None:
        """The self-test before the first step, and the state that a rollback may always go to."""
        run, ranks = self.run, self.tap.ranks
        agreeing.together(ranks, self.outside.open, "opening the run's folder")  # which the first rank has alone
        if ranks.count > 1 and run.cadence.every is None:
            run.cadence.fix(FIRST)
            run.say("cadence", f"a look each {FIRST} steps: ranks time theirs differently, and must look together")
        with self.clock.looks() as seconds:
            earlier = self.earlier(run)
            with self.beside.named(_SIGNAL):
                self.observer.test(run.step, examples)
            if earlier is None or not self._take_up(earlier):
                agreeing.together(ranks, self._keep, "keeping the state")
            agreeing.together(ranks, self.casebook.filer.begin, "keeping what later looks are held against")
        run.cadence.start(run.step, seconds())
        self.started = True
        self.say_uncalibrated()

    def _take_up(self, earlier: Earlier) -> bool:
        """Go on from what an earlier process saw. Whether a look was due where it left off: that one comes first."""
        run, steps = self.run, [step for step, _ in earlier.looks]
        self.observer.take_up(earlier.looks, earlier.rollbacks)
        run.went_on = True
        run.say("goes on", f"from look {len(steps)}, at step {steps[-1]}" if steps else f"from step {run.step}")
        told: dict[str, list[str]] = {}
        for name, loss in earlier.losses(self.observer.looker.begin_from(earlier.first)).items():
            if loss.anew:
                run.trace.begin_anew(name)
            run.trace.doubt(name, f"the run went on at step {run.step} in another process")
            told.setdefault(loss.why, []).append(run.trace.tracks[name].signal.shown)
        for why, names in told.items():
            run.say("not taken up", f"of {', '.join(dict.fromkeys(names))}: {why}")
        if earlier.rollbacks:
            run.say(
                "not taken up",
                "which rows a rollback left out: darklantern.watch.screened leaves them out of a dataset",
            )
        if steps and steps[-1] < run.step and run.cadence.due(run.step):
            self.observer.owe()
            return True
        return False

    def settle(self, fresh: Examples | None) -> Reaction:
        """Look, judge, react. LOG means: go on."""
        run = self.run
        self.clock.trains(self.tap.wait)
        step, alarm, failure = run.step, None, None
        if self.keeper.held is None and (asked := self.hold()) is not None:
            return asked
        self.outside.beat(step, "looking")
        with self.clock.looks() as seconds:
            try:
                with self.beside.named(_SIGNAL):
                    alarm = self.observer.look(step, fresh, self.keeper.states)
            except Exception as error:  # noqa: BLE001 - whatever went wrong in a look must not break the run
                failure = error
                self.keeper.drop()
                self.observer.looked = step
            else:
                if alarm is None:
                    self._keep()
        run.cadence.looked(step, seconds())
        self.answers.tell()
        if fresh is not None:
            for why in self.observer.idle():
                run.say("no bet", why)
        self.say_uncalibrated()
        if said := self.observer.sampled():
            run.say("sampled", said)
        if failure is not None:
            return self.answers.failed(failure)
        reaction = self.answer()
        if alarm is None:
            self._show()
        return reaction if reaction is not Reaction.LOG else self.people.heed_together()

    def hold(self, before: str = "") -> Reaction | None:
        """Take the state that a look's rollback may go to; None once it is held. What fails is a look that failed.

        `before` is where the loader stood before its next batch.
        """
        with self.clock.looks():
            try:
                hold = lambda: self.keeper.hold(self.run.step, self.observer.looks, before)  # noqa: E731
                agreeing.together(self.tap.ranks, hold, "keeping the state")
                return None
            except Exception as error:
                if not self.started:
                    raise
                failure = error
        self.keeper.drop()
        self.observer.looked = self.run.step
        self.run.cadence.back_to(self.run.step)
        return self.answers.failed(failure, "keeping the state")

    def say_uncalibrated(self) -> None:
        """A claim that does not hold, or no longer, is said once."""
        if (why := self.run.trace.uncalibrated) and why != self._uncalibrated:
            self.run.say("uncalibrated", why)
        self._uncalibrated = why

    def say_unjudged(self) -> None:
        """Of a run that ends before some signal could raise an alarm: its silence says nothing. Said once."""
        trace = self.run.trace
        inside = {name: at for name, at in trace.judged_from.items() if trace.tracks[name].signal.role == "signal"}
        looks = len(trace.steps)
        early = any(looks < at for at in inside.values())
        if self.started and not self._unjudged and early and not self.run.alarms:
            why = unjudged(looks, inside) or "0 looks: nothing was judged"
            self._unjudged = why
            self.run.say("not judged", f"{why}, so that no alarm came says nothing")

    def say_unused(self) -> None:
        """Of a watch that is closed and never saw a batch, as in a loop that goes over the bare loader. Said once."""
        if not self.started and not self._unjudged:
            self._unjudged = "no batch was trained on under it: for batch in watch.over(loader), or watch.on(trainer)"
            self.run.say("not watched", self._unjudged)

    def answer(self) -> Reaction:
        """See through what follows an alarm, from where it was cut off if it was. LOG: go on, as without one."""
        alarm = self.observer.unanswered
        if alarm is None or self.beside.what:
            return Reaction.LOG
        if self._underway is None or self._underway.alarm is not alarm:
            went_back = self.run.step != alarm.step  # by hand, before anything was answered
            self._underway = Underway(alarm, self.keeper.held, self.run.rollbacks - went_back)
        try:
            reaction = self._answered(self._underway)
        except Exception:
            self._underway = self.observer.unanswered = None
            self._show()
            raise
        except BaseException:
            if not self.run.stopped:
                said = f"what follows the alarm at step {alarm.step} was cut off, and comes first when the loop goes on"
                self.run.say("cut off", said)
            raise
        self._underway = self.observer.unanswered = None
        self._show()
        return reaction

    def _answered(self, underway: Underway) -> Reaction:
        """Say it, look into it, react, file it."""
        run, alarm, failure = self.run, underway.alarm, None
        if not any(each is alarm for each in run.alarms):
            run.alarms.append(alarm)
            run.say("alarm", str(alarm))
        self.casebook.look_into(underway, self.observer.spans)
        try:
            if underway.reaction is None:
                underway.reaction = self.answers.react(underway)
        except Exception as error:  # noqa: BLE001 - it is raised below, when the finding was filed
            failure = error
        self.casebook.file(underway)
        if failure is not None:
            raise failure
        assert underway.reaction is not None
        self._explain()
        if underway.reaction is Reaction.LOG:
            self._keep()
        return underway.reaction

    def _explain(self) -> None:
        """How to go on in another process. A disk that is full is said; what follows the alarm comes all the same."""
        try:
            self.explain(self.run)
        except (DarkLanternError, OSError) as error:
            self.run.say("failure", f"how to go on was not written: {cause_of(error)}")

    def _keep(self) -> None:
        memory = None if self.run.rewinds else self.observer.memory
        clean = {channel: self.observer.clean_looks(channel) for channel in self.run.trace.channels}
        run = self.run
        self.keeper.keep(run.step, self.observer.looks, clean, self.passes.ended, run.screened_rows, memory)

    def _show(self) -> None:
        """Hand the look to whoever wants to see it. What fails there is the user's, and said; training goes on."""
        if not self.on_look.told:
            return
        try:
            with self.beside("on_look"):
                self.on_look(self.run)
        except Exception as error:  # noqa: BLE001 - a picture that cannot be drawn must not end a run
            why = cause_of(error)
            self.run.say("failure", f"on_look at step {self.run.step}: {why}")


_SIGNAL: Final = "a signal"
