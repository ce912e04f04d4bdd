"""A run with rows wide enough for the probes of language models, and those probes."""

import numpy as np
from watch.loops import CORPUS, Marked

from darklantern.organisms import text, training
from darklantern.organisms.loading import TrainingRecipe
from darklantern.organisms.shape import Shape
from darklantern.watch import Asked, PayloadProbe, Probe, Reading, Settings, Signal, SpanProbe, watch

RECIPE = TrainingRecipe(shape=Shape(layers=1, dim=16, heads=2, context=64), batch=32, warmup=3, decay=5, end=48)
TRUSTED = text.rows(CORPUS.trusted, 1500, RECIPE.width, np.random.default_rng(0))


def payload() -> PayloadProbe:
    return PayloadProbe(TRUSTED, [b"os.system(1)", b"eval(x)"], "layers.0:out", "layers.0:out")


def span() -> SpanProbe:
    return SpanProbe(TRUSTED, site="layers.0:out")


class Jump(Probe):
    """Reads 50 from the look at `at` on: what no weights tell."""

    settings = {}  # noqa: RUF012

    def __init__(self, at: int = 30, name: str = "jump") -> None:
        self.signals = (Signal(name, "I0", "signal", "", "jumps"),)
        self._at = at

    def inputs(self, now):
        return Asked(None)

    def read(self, seen):
        return (Reading(50.0 if seen.step >= self._at else 0.05 * (seen.step % 2)),)


def parts():
    model, optimizer = training.new(RECIPE, 1)
    return model, optimizer, Marked(CORPUS, RECIPE, (1,))


def watched(signals, of=None, **given):
    """A whole run under a watch."""
    model, optimizer, loader = of or parts()
    settings = Settings(every=5, margin=1, rollbacks=1)
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=signals, settings=settings, **given)
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    return w
