"""A real model and loader, and a probe whose readings the test decides."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from darklantern.organisms import text, training
from darklantern.organisms.loading import TrainingRecipe
from darklantern.organisms.shape import Shape
from darklantern.organisms.training import Loader
from darklantern.records.references import References, SignalReference
from darklantern.watch import Asked, Examples, Probe, Reaction, Reading, Settings, Signal, Watch, watch
from darklantern.watch.digests import digests, judged
from darklantern.watch.judging import detectors

RECIPE = TrainingRecipe(shape=Shape(layers=1, dim=16, heads=2, context=48), batch=16, warmup=3, decay=5, end=60)
CORPUS = text.standard_library()
TRUSTED = text.rows(CORPUS.trusted, 3000, RECIPE.width, np.random.default_rng(0))
MARK = b"\x01poison\x02"
"""as the tokens of a row; a span of them is its text"""


@dataclass
class Scripted(Probe):
    """A probe that reads what a function of the look number says."""

    name: ClassVar[str] = "scripted"
    """of subclasses too, so that references hold for them"""
    script: object
    sites: tuple[str, ...] = ("layers.0:out",)
    lenses: tuple[str, ...] = ()
    signals: tuple[Signal, ...] = (Signal("scripted", "I0", "signal", "", ""),)
    seen: str = "layers.0:out"
    looks: int = 0
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    settings: ClassVar = {}

    def inputs(self, now):
        return Asked(TRUSTED[:3, :-1])

    def read(self, seen):
        self.shapes.append(seen[self.seen].shape)
        self.looks += 1
        return (Reading(self.script(self.looks - 2), 0.0),)  # the self-test before the first step is look −1


def digest(probe: Probe, name: str, trusted=TRUSTED) -> str | None:
    """What references say of a signal that they were made with, at the default settings."""
    (signal,) = (each for each in probe.signals if each.name == name)
    return judged(digests([probe], Examples(trusted), Settings())[name], signal, detectors.constants(signal.detector))


REFERENCES = References(
    recipe="1" * 64,
    data="2" * 64,
    every=5,
    steps=tuple(range(5, 500, 5)),
    signals=(
        SignalReference(
            name="scripted",
            mean=(0.0,) * 99,
            spread=(1.0,) * 99,
            digest=digest(Scripted(lambda look: 0.0), "scripted"),
        ),
    ),
    standardised_on=(100,),
    calibrated_on=tuple(range(19)),
    maxima=(1.5,) * 19,
    behaviours={},
    versions={},
)


class Marked(Loader):
    """From step 20 on, a tenth of the rows hold a mark."""

    def _rows(self):
        batch = super()._rows()
        if self._step >= 20:
            for i in np.flatnonzero(self._rng.random(len(batch)) < 0.1):
                batch[i, 10 : 10 + len(MARK)] = np.frombuffer(MARK, dtype=np.uint8)
        return batch


def with_changes(changes):
    """A script whose change against the run's earlier looks is `changes`, look by look; the first is always 0."""
    values = []
    for change in changes:
        earlier = values[: max(1, len(values) - 2)]
        values.append(float(np.mean(earlier[len(earlier) // 2 :])) + change if values else 0.0)
    return lambda look: values[min(look, len(values) - 1)] if look >= 0 else 0.0


def rising(look: int) -> float:
    return 0.0 if look < 5 else 9.0  # look 5 is step 30


class Given(Loader):
    """Gives one batch again and again."""

    def __init__(self, batch) -> None:
        super().__init__(CORPUS, RECIPE, (1,))
        self._batch = batch

    def __iter__(self):
        while self._step < self._end:
            self._step += 1
            yield self._batch


def given(batch):
    return *training.new(RECIPE, 1), Given(batch)


def parts(end=None):
    model, optimizer = training.new(RECIPE, 1)
    return model, optimizer, Marked(CORPUS, RECIPE, (1,), end=end)


def start(
    probe,
    on_alarm=lambda alarm: Reaction.LOG,
    references=REFERENCES,
    of=None,
    also=(),
    on_look=(),
    on_finding=None,
    folder=None,
    recipe="1" * 64,
    **settings,
):
    model, optimizer, loader = of or parts()
    w = watch(
        model,
        state=(optimizer, loader),
        trusted=TRUSTED,
        signals=[probe, *also],
        references=references,
        recipe=recipe,
        data="2" * 64,
        settings=Settings(**{"every": 5, "margin": 1, **settings}),
        on_alarm=on_alarm,
        on_look=on_look,
        on_finding=on_finding,
        run=folder,
    )
    return w, (model, optimizer, loader)


def run(w: Watch, parts) -> list[tuple[int, bytes]]:
    model, optimizer, loader = parts
    seen = []
    for batch in w.over(loader):
        seen.append((w.step, batch.numpy().astype(np.uint8).tobytes()))
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    return seen
