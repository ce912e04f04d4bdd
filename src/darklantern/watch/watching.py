"""A watch as its user has it: what it saw and did, and the loop that it is put around."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darklantern.drawing.lettering import harmless
from darklantern.files import write_whole
from darklantern.records.findings import Event
from darklantern.watch.ablating import Ablations
from darklantern.watch.alarms import Alarm
from darklantern.watch.answering import Answers
from darklantern.watch.attach.tap import Tap
from darklantern.watch.batches import InHand
from darklantern.watch.beside import Beside
from darklantern.watch.budget import Cadence
from darklantern.watch.casebook import Casebook
from darklantern.watch.clock import Clock
from darklantern.watch.examples import Examples
from darklantern.watch.filing import Filed, Filer, Filing
from darklantern.watch.going_back import GoingBack
from darklantern.watch.going_on import Earlier
from darklantern.watch.inquiring import Investigated, Investigation
from darklantern.watch.keeping import Keeper
from darklantern.watch.looping import Loop
from darklantern.watch.observing import Observer
from darklantern.watch.onlookers import Each
from darklantern.watch.outside import Outside
from darklantern.watch.passes import Passes
from darklantern.watch.people import People
from darklantern.watch.probes import Probe
from darklantern.watch.reactions import Chosen, OnAlarm, Reaction, places
from darklantern.watch.resume_lines import explain
from darklantern.watch.screening import Screen
from darklantern.watch.sentry import Sentry
from darklantern.watch.settings import Settings
from darklantern.watch.stepping import Steps, Turn
from darklantern.watch.trace import Trace
from darklantern.watch.viewing import unjudged, view

LOG = logging.getLogger("darklantern.watch")


@dataclass
class Parts:
    """What `darklantern.watch` puts together for a Watch."""

    tap: Tap
    probes: Sequence[Probe]
    trusted: Examples
    trace: Trace
    settings: Settings
    cadence: Cadence
    on_alarm: OnAlarm = Reaction.LOG
    on_look: Each = field(default_factory=Each)
    step: int = 0
    seed: int = 0
    """of the order in which trusted examples are drawn"""
    investigate: Sequence[Investigation] = ()
    data: str = ""
    """hash of what is trained on; empty where it is not known"""
    filing: Filing | None = None
    run: str | Path | None = None
    hang_after: float | None = None
    earlier: Callable[["Watch"], Earlier | None] = lambda watch: None
    """what an earlier process saw of the run, where this one goes on with it"""


class Watch:
    """A watch over one training run. `darklantern.watch` makes it.

        for batch in watch.over(loader):
            train_step(batch)

    Costs one forward pass over the probes' rows and one copy of the training state at each look; `overhead` says
    what that came to. Without reference runs it still alarms at something large, and `events` says from the start
    that no false-alarm rate is claimed.
    """

    def __init__(self, parts: Parts) -> None:
        tap, settings = parts.tap, parts.settings
        self.trace, self.settings, self.step = parts.trace, settings, parts.step
        self.cadence = parts.cadence
        self.alarms: list[Alarm] = []
        self.events: list[Event] = []
        self.screen: Screen | None = None
        self.screened_rows = 0
        self.rollbacks = 0
        self.went_on = False
        """whether it took up the looks of an earlier process"""
        self.resume = ""
        """the lines that go on from before the rise, without the suspects, in another process: once a trainer was
        stopped, whose data cannot be rewound, or a loop of a run was, or a checkpoint was written"""
        self.filer = Filer(parts.filing, tap, tuple(parts.probes), parts.trusted, parts.data, parts.seed)
        self._tap, self._beside, self._clock, self._passes = tap, Beside(tap), Clock(), Passes()
        self._casebook = Casebook(self, self.filer, parts.investigate, self._beside)
        self._observer = Observer(tap, parts.probes, parts.trusted, parts.trace, settings, parts.seed)
        in_hand = InHand()
        self._keeper = Keeper(tap, settings.states, settings.margin, len(parts.trace.channels), in_hand)
        self._outside = Outside(parts.run, tap.ranks, self.say, parts.hang_after, places(parts.on_alarm))
        self._people = People(self, self._outside)
        self._ablations = Ablations(tap, self.say)
        self._answers = Answers(
            run=self,
            tap=tap,
            outside=self._outside,
            people=self._people,
            ablations=self._ablations,
            on_alarm=parts.on_alarm,
            settings=settings,
            beside=self._beside,
        )
        self._answers.check_attached()
        self._back = GoingBack(self, tap, self._observer, self._keeper, self._passes, self._answers, self._beside)
        self._sentry = Sentry(
            run=self,
            tap=tap,
            observer=self._observer,
            keeper=self._keeper,
            outside=self._outside,
            people=self._people,
            answers=self._answers,
            casebook=self._casebook,
            clock=self._clock,
            passes=self._passes,
            beside=self._beside,
            on_look=parts.on_look,
            explain=lambda watch: None if self._steps.on_trainer else explain(watch, tap),
            earlier=parts.earlier,
        )
        self._steps = Steps(
            run=self,
            tap=tap,
            sentry=self._sentry,
            observer=self._observer,
            keeper=self._keeper,
            outside=self._outside,
            people=self._people,
            answers=self._answers,
            ablations=self._ablations,
            back=self._back,
            clock=self._clock,
            beside=self._beside,
        )
        self._loop = Loop(
            run=self,
            tap=tap,
            steps=self._steps,
            sentry=self._sentry,
            keeper=self._keeper,
            answers=self._answers,
            back=self._back,
            clock=self._clock,
            passes=self._passes,
            in_hand=in_hand,
        )
        self._sentry.say_uncalibrated()
        self._back.attached()

    def __repr__(self) -> str:
        shown = self.trace.shown
        looks, judged_from = len(self.trace.steps), {name: self.trace.judged_from[name] for name in shown}
        judged = {name: track.statistic for name, track in shown.items() if looks and looks >= judged_from[name]}
        last = ", ".join(f"{name} {statistic[-1]:+.1f}" for name, statistic in judged.items())
        waits = unjudged(looks, judged_from)
        channels = [name for name in self.trace.channels if name == "joint" or name in shown]
        limits = ", ".join(f"{name} {self.trace.limits[name].value:.1f}" for name in channels)
        said = "; ".join(f"alarm at {alarm}" for alarm in self.alarms) or "no alarm"
        return harmless(
            f"watch at step {self.step}, {len(self.trace.steps)} looks, {said}; threshold {limits}"
            f"{' (uncalibrated)' if self.trace.uncalibrated else ''}{'; ' if last else ''}{last}"
            f"{'; ' if waits else ''}{waits}"
        )

    @property
    def alarm(self) -> Alarm | None:
        """The first alarm."""
        return self.alarms[0] if self.alarms else None

    @property
    def asked(self) -> list[Chosen]:
        """What was agreed to do about the newest alarm, mildest first."""
        return self._answers.chosen

    @property
    def investigated(self) -> list[tuple[Alarm, list[Investigated]]]:
        """What `investigate` found at each alarm."""
        return self._casebook.investigated

    @property
    def findings(self) -> list[Filed]:
        """Of each alarm, where `on_finding` asks for them."""
        return self._casebook.findings

    @property
    def folder(self) -> Path | None:
        """Where the files of its `run` lie, once it began; None without a run, and on all ranks but the first."""
        return self._outside.folder

    @property
    def digests(self) -> Mapping[str, str]:
        """Signal → hash of what its readings come from, for `calibrate`. Held-out monitors are not among them."""
        return {name: digest for name, digest in self.trace.digests.items() if name in self.trace.shown}

    @property
    def overhead(self) -> float:
        """Time that the watch takes in the loop, as a share of the time spent in the user's loop body."""
        return self._clock.overhead

    @property
    def seconds_looking(self) -> float:
        """Time that the watch took in the loop."""
        return self._clock.looking

    @property
    def seconds_training(self) -> float:
        """Time spent in the user's loop body."""
        return self._clock.training

    @property
    def checkpoints(self) -> Mapping[str, Path]:
        """Where CHECKPOINT wrote the states of the newest alarm on this rank: "clean" and "alarm" → file."""
        return dict(self._answers.checkpoints)

    @property
    def stopped(self) -> str:
        """Why the watch ended the loop, or what must be done before it goes on; empty while there is nothing."""
        return self._people.stopped or self._back.unfinished

    @property
    def rewinds(self) -> str:
        """Empty where a rollback can put everything back; otherwise what stands in its way."""
        return self._back.barred

    @property
    def notes(self) -> list[tuple[Probe, Any]]:
        """What each probe noted at the newest look: of a SpanProbe, for instance, what inserting each span does.

        Held-out monitors are not among them.
        """
        noted = self._observer.looker.notes
        return [(probe, note) for probe, note in noted if not any(signal.held_out for signal in probe.signals)]

    @property
    def first_notes(self) -> Mapping[int, Any]:
        """What probes noted at the first look and hold later ones against, by their numbers, for the run's record."""
        return self._observer.looker.first

    @property
    def state(self) -> Any:
        """What a JAX loop trains: taken before each step, handed back after it, another one after a rollback.

            watch.state, loss = step(watch.state, batch)

        Raises WatchError for a state that was not taken from here, and in a torch loop, which needs none.
        """
        return self._tap.state

    @state.setter
    def state(self, new: Any) -> None:
        self._tap.state = new

    def report(self, path: str | Path, title: str = "Training watch") -> Path:
        """Write what may be shown of this watch as one self-contained HTML page; `path`. Raises StoreError."""
        from darklantern.watch.reporting import report

        write_whole(Path(path), report(view(self), title).encode())
        return Path(path)

    def say(self, label: str, text: str) -> None:
        """Note something that happened at this step, and log it: line by line, without what a terminal obeys."""
        text = "\n".join(map(harmless, text.split("\n")))
        self.events.append(Event(step=self.step, label=label, text=text))
        level = logging.INFO if label in _INFORMS else logging.WARNING
        LOG.log(level, "%s: %s", label, text)

    # the loop

    def over(self, loader: Iterable[Any], *, until: int | None = None) -> Iterator[Any]:
        """Yield `loader`'s batches; look, and react, between them, and once more when they end, or at step `until`.

        A batch that was handed out counts as a step, also when `break` or an exception ends the loop
        there; calling `over` again goes on from it, and first finishes what followed an alarm and was cut off. Nothing
        is looked at at a `break`: `finish()` takes the last look of a loop that was left by it. After a rollback the
        loader stands where the clean state was taken, and batches come without the suspect examples (in JAX with clean
        ones in their places, since each shape would be compiled anew); one that loses all is skipped.

        In a loop over epochs that calls `over` in each, a rollback into an earlier epoch is made up in the call under
        way: it gives the rest of that epoch, and those up to its own, so that all planned batches are trained. What
        such a loop does between epochs is its own, and not done again.

        Raises WatchError after a stop, for a loop in which a rollback could not work, and with a run after `close`.
        """
        return self._loop.over(loader, until=until)

    def on(self, trainer: Any) -> "Watch":
        """Watch what `trainer` trains, a Trainer of transformers or of Lightning; the watch itself comes back.

            w = watch(model, trusted=rows, signals=[SpanProbe(rows)]).on(trainer)
            trainer.train()

        Its data cannot be rewound: an alarm that asks for a rollback stops the training, and `resume` says how to go
        on from the last clean checkpoint without the suspect rows. Raises WatchError for what is no such trainer.
        """
        from darklantern.watch import attach

        self._answers.check(trainer=True)
        attach.on(self, self._tap, trainer)
        self._steps.on_trainer = True
        return self

    def before(self, batch: Any) -> Turn:
        """A batch is about to be trained on: look if a look is due, react to what it shows, screen the batch.

        For loops that are not `for batch in watch.over(loader)`: adapters call this before each batch and `after`
        after each update, which may be made of several batches: there is one look before the first of them. When the
        loop ends they call `finish`, for the last look, and `left`.
        Raises WatchError for a batch that the watch cannot read, after a stop, and with a run after `close`.
        """
        return self._steps.before(batch)

    def ran(self) -> None:
        """The batch in hand was run, and what comes next is no training: for adapters whose updates take several.

        A validation in the middle of an update must see the model without preventative edits.
        """
        self._steps.ran()

    def after(self) -> None:
        """The update on what `before` handed out is done."""
        self._steps.after()

    def finish(self) -> Reaction:
        """The loop has ended: one more look at what it trained on since the last. `over` does it at its own end.

        ROLL_BACK: the state is an earlier one, and the loop should go on; STOP: the run was stopped, at this look or
        before. Raises WatchError where there is something to look at in a run that was closed, or stands half way.
        """
        return self._steps.finish()

    def left(self) -> None:
        """The loop is over for now, by its end or an error; for adapters, as `before`."""
        self._steps.left()

    def lift(self) -> None:
        """Take out of the model what `Ablate` put in: it computes what its weights say. On each rank that trains."""
        if lifted := self._ablations.lift():
            self.say("lifted", lifted)

    def close(self) -> None:
        """The run is over: nothing of the watch stays in the model, its folder is free for another, its watchdog goes.

        Folder and watchdog end with the process anyway; what was ablated stays until here, or until `lift`. What it saw
        stays to be read; with a run no loop goes on.
        """
        self.lift()
        self._sentry.say_unused()
        self._sentry.say_unjudged()
        self._outside.close(self.step)

    def roll_back(self) -> Screen:
        """Restore the last clean state; from then on leave out the examples suspected at the alarm.

        For the loop's body, or after the loop; a function in `on_alarm` returns Reaction.ROLL_BACK.
        Raises WatchError, changing nothing, without an alarm, when no state is known to be clean, where the loop
        cannot be rewound, when nothing stands out (then a person must look), and from within what only looks. One that
        fails or is cut off after that leaves the watch `stopped`, until another call comes to its end.
        """
        return self._back()


_INFORMS = frozenset({"uncalibrated", "signals", "goes on", "rollback", "states", "told"})
