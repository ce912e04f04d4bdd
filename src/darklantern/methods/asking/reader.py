"""A trained reader: a small network that answers several questions about another model's activations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Bar, bars
from darklantern.errors import MethodError
from darklantern.methods.asking.fits import Numbers, check_labels
from darklantern.methods.asking.questions import batches_of
from darklantern.methods.asking.training import HIDDEN, STEPS, Net, trained
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.methods.results import Result
from darklantern.methods.shares import interval
from darklantern.models.opened import Model
from darklantern.models.picture import Picture
from darklantern.models.shim import numbers, without_gradients
from darklantern.models.sites import Site, parse
from darklantern.records.findings import Figure


@dataclass(frozen=True, eq=False)
class Asked:
    """A trained reader on one of its questions: what `ask` takes as a reporter."""

    name: str
    net: Net
    number: int
    direction: Numbers
    """along which its answer changes most, on the examples that it was trained on"""

    def __call__(self, values: Numbers) -> Numbers:
        return self.net(values, np.full(len(values), self.number))


@dataclass(frozen=True, repr=False, eq=False)
class TrainedReader(Result):
    """A reader with its held-out accuracies. Accuracy says that an answer is decodable, not that the model uses it."""

    site: Site
    questions: tuple[str, ...]
    net: Net
    accuracy: tuple[float, ...]
    """held out, by question"""
    majority: tuple[float, ...]
    """what always the commoner answer would get there"""
    intervals: tuple[tuple[float, float], ...]
    """95 % of each accuracy, by a bootstrap over examples"""
    directions: tuple[Numbers, ...]

    def reporter(self, question: str) -> Asked:
        """The reader on one question, for `ask(..., how=reader.reporter("is it true?"))`, which checks its answers."""
        if question not in self.questions:
            raise MethodError(f"the reader was not asked {question!r}", hint=f"one of {', '.join(self.questions)}")
        number = self.questions.index(question)
        return Asked(f"a trained reader of {question!r}", self.net, number, self.directions[number])

    @property
    def says(self) -> str:
        told = ", ".join(f"{name} {share:.0%}" for name, share in zip(self.questions, self.accuracy, strict=True))
        return f"A reader of {self.site} answers held-out questions rightly: {told}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        made = []
        for name, share, most in zip(self.questions, self.accuracy, self.majority, strict=True):
            made.append(Figure(name=f"accuracy: {name}", value=share, unit="share"))
            made.append(Figure(name=f"commoner answer: {name}", value=most, unit="share"))
        return tuple(made)

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.site,)

    def show(self) -> Picture:
        """Accuracy by question, each over what the commoner answer would get."""
        items = []
        for name, share, most, spread in zip(self.questions, self.accuracy, self.majority, self.intervals, strict=True):
            items.append(Bar(label=name, value=share, interval=spread))
            items.append(Bar(label=f"always the commoner answer to {name}", value=most, control=True))
        title = f"What a trained reader of {self.site} gets right"
        note = "Held-out examples; whiskers: 95 % over them. Right is not yet used: `ask` checks that."
        return Picture(bars(items, title=title, unit="share", note=note), title, self.says)


def train_reader(
    model: Model,
    site: str | Site,
    fit: Any,
    labels: Mapping[str, Any],
    check: Any,
    truth: Mapping[str, Any],
    *,
    hidden: int = HIDDEN,
    steps: int = STEPS,
    seed: int = 0,
) -> TrainedReader:
    """Train one reader on all questions: activations at `site` and a question's number → its answer, 0 or 1.

    `labels` has for each question a 0 or 1 for each example of `fit`, `truth` the same for `check`, on which accuracy
    is measured. The site is pinned so that each example has one value (dim,). The reader is a layer of `hidden` ReLUs
    beside a linear map, trained by the backend's Adam in float32; the model is not. Costs a run over each half.
    Raises MethodError for labels of one kind, and for questions that only one half has.
    """
    check_opened(model)
    where = parse(site) if isinstance(site, str) else site
    if not labels or set(labels) != set(truth) or fit is check:
        raise MethodError(
            f"questions {sorted(labels)} to train on and {sorted(truth)} to check, on "
            f"{'the same' if fit is check else 'two'} examples",
            hint="the same questions in both, on two sets of examples",
        )
    names = tuple(labels)
    with without_gradients(), making("train_reader", model, seed) as under_way:
        under_way.saw(str(where), fit, dict(labels), check, dict(truth), hidden, steps)
        values, held = (_values(model, where, each) for each in (fit, check))
        answers, true = (_table(names, each, len(of)) for each, of in ((labels, values), (truth, held)))
        asked = np.repeat(np.arange(len(names)), len(values))
        every = np.tile(values, (len(names), 1))
        net = trained(model.framework, every, asked, answers.reshape(-1), len(names), hidden, steps, seed)
        hits = [
            ((net(held, np.full(len(held), i)) > 0) == (true[i] == 1)).astype(np.float64) for i in range(len(names))
        ]
    rates = [float(each.mean()) for each in true]
    return TrainedReader(
        where,
        names,
        net,
        tuple(float(each.mean()) for each in hits),
        tuple(max(rate, 1 - rate) for rate in rates),
        tuple(interval(float(each.mean()), len(each)) for each in hits),
        tuple(net.direction(values, i) for i in range(len(names))),
        made=under_way.made(),
    )


def _table(names: tuple[str, ...], given: Mapping[str, Any], count: int) -> Numbers:
    rows = [np.asarray(given[name], dtype=np.float64) for name in names]
    for name, row in zip(names, rows, strict=True):
        check_labels(row, count, repr(name))
    return np.stack(rows)


def _values(model: Model, site: Site, inputs: Any) -> NDArray[np.float64]:
    made = []
    for batch in batches_of(inputs):
        value = model.record(batch, site, stop=True)[site]
        if len(value.axes) != 2 or value.axes[0] != "batch":
            raise MethodError(f"a value at {site} has axes {' '.join(value.axes)}", hint="pin it: layers.3:out[pos=-1]")
        made.append(numbers(value.array).astype(np.float64))
    return np.concatenate(made)
