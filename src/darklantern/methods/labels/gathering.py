"""One pass over the data for any number of features: histograms, counts of what stands around, bounded spans."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.labels.contexts import VIEWS, Codes, views
from darklantern.methods.labels.counting import Counts
from darklantern.methods.labels.features import Feature
from darklantern.methods.labels.levels import Histogram, level
from darklantern.methods.labels.reading import Read, Words, batches
from darklantern.methods.labels.spans import Kept, Page
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model

Places = NDArray[np.bool_]
_LEAST = 8
"""examples without which nothing is held out that could be scored"""


@dataclass
class Part:
    """What one part of the data shows of a feature: that from which its label is made, or that which is held out."""

    histogram: Histogram = field(default_factory=Histogram)
    counts: Mapping[str, Counts] = field(default_factory=lambda: {view: Counts() for view in VIEWS})
    spans: Kept = field(default_factory=Kept)

    def add(self, page: Page, chosen: Places, rng: np.random.Generator) -> None:
        if chosen.any():
            self.histogram.add(page.activations[chosen])
            _count(self.counts, page.codes, level(page.activations), chosen)
            self.spans.add(page, chosen, rng)


@dataclass
class Gathered:
    """What one pass keeps of a feature."""

    feature: Feature
    rng: np.random.Generator
    fitted: Part = field(default_factory=Part)
    held: Part = field(default_factory=Part)
    shuffled: Mapping[str, Counts] = field(default_factory=lambda: {view: Counts() for view in VIEWS})
    """counts of the fitted part, its activations dealt out anew within each batch"""


def gather(
    model: Model,
    data: Any,
    wanted: Sequence[Feature],
    held_out: float,
    skip: int,
    seed: int,
    text: Callable[[int], str] | None,
    saw: Callable[[object], None],
) -> tuple[list[Gathered], Words]:
    """Runs the model once over each batch, up to the last site, and keeps what labels are made of."""
    words, rng = Words(model, text), np.random.default_rng(seed)
    # Each feature draws by a stream of its own: a label is the same alone and in company.
    made = [Gathered(feature, np.random.default_rng([seed, 1])) for feature in wanted]
    sites = list(dict.fromkeys(feature.recorded for feature in wanted))
    first = 0
    for batch in tracked(batches(model, data), "reading activations"):
        saw(batch.inputs)
        codes, chosen = views(batch.ids, words), batch.real & (np.arange(batch.ids.shape[1]) >= skip)
        held = rng.random(len(batch.ids)) < held_out
        recording = model.record(batch.inputs, *sites, stop=True)
        for each in made:
            page = Page(batch.ids, batch.lengths, _read(each.feature, recording, batch), codes, words, first)
            _take(each, page, chosen, held[:, None])
        first += len(batch.ids)
    # Each feature has seen the same tokens.
    if not made[0].fitted.histogram.total or (held_out and not made[0].held.histogram.total):
        raise MethodError(
            f"{first} examples leave nothing to label or nothing to score",
            hint=f"at least {_LEAST} examples, or held_out=0 for no scores",
        )
    return made, words


def _read(feature: Feature, recording: Any, batch: Read) -> NDArray[np.float64]:
    found = feature.read(recording)
    if found.shape != batch.ids.shape:
        raise MethodError(
            f"{feature} has numbers {found.shape} for tokens {batch.ids.shape}",
            hint="a site at which each token has its own place, no [pos=...]",
        )
    return found


def _take(into: Gathered, page: Page, chosen: Places, held: Places) -> None:
    into.fitted.add(page, chosen & ~held, into.rng)
    into.held.add(page, chosen & held, into.rng)
    dealt = level(page.activations)
    there = chosen & ~held
    dealt[there] = into.rng.permutation(dealt[there])
    _count(into.shuffled, page.codes, dealt, there)


def _count(counts: Mapping[str, Counts], codes: Codes, levels: Codes, chosen: Places) -> None:
    for each, view in zip(counts.values(), codes[:, chosen], strict=True):
        each.add(view, levels[chosen])


def check_varies(made: Gathered) -> None:
    """Raises MethodError for a feature that is the same at every token."""
    seen = made.fitted.histogram
    if seen.low == seen.high:
        raise MethodError(
            f"{made.feature} is {seen.low:g} at every token, so nothing can be said of when it is active",
            hint="more data, or another feature: this one may be dead",
        )
