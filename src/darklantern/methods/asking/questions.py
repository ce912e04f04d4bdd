"""A question about a model: where its answer is read, what the model does, and what it would do on another answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.metrics import logits_of
from darklantern.methods.patching.suffixes import Suffixes
from darklantern.methods.repeating import check_repeats
from darklantern.models.edits import put
from darklantern.models.opened import Model
from darklantern.models.shim import convert, is_array, listed, numbers
from darklantern.models.sites import Site, parse
from darklantern.models.tokens import Batch

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]


def last_choice(output: Any, batch: Any) -> Any:
    """The likeliest token after each prompt's own last: the model's behaviour where a question says no other."""
    logits = logits_of(output)
    if logits.ndim == 3:
        count, width = int(logits.shape[0]), int(logits.shape[1])
        ends = [length - 1 for length in batch.lengths] if isinstance(batch, Batch) else [width - 1] * count
        logits = logits[listed(list(range(count)), logits), listed(ends, logits)]
    return logits.argmax(-1)


@dataclass(frozen=True, eq=False)
class Question:
    """A question with the answers 0 and 1.

    `predicts` is what makes an answer checkable. It is given what the model did on each example, its answer, and
    another answer, and says what the model will do if that is put in its place: the one output, not just a change.
    """

    text: str
    site: str | Site
    """where the answer is read: pinned so that each example has one value (dim,), as `layers.3:out[pos=-1]`"""
    predicts: Callable[[Whole, Whole, Whole], Whole]
    """(done, answer, other answer) → what will be done instead, all (example,)"""
    does: Callable[[Any], Any] | None = None
    """the model's output → which choice each example's is, (example,); without it, the likeliest next token"""
    claims: Callable[[Whole], Whole] | None = None
    """what the model does → the answer that its output gives; None where it gives none"""

    @property
    def at(self) -> Site:
        return parse(self.site) if isinstance(self.site, str) else self.site

    def done(self, output: Any, batch: Any) -> Whole:
        """What the model did, (example,). Raises MethodError where that is not a number each."""
        found = last_choice(output, batch) if self.does is None else self.does(output)
        array = numbers(found) if is_array(found) else np.asarray(found)
        if array.ndim != 1 or array.dtype.kind not in "iub":
            raise MethodError(
                f"{self.text!r}: `does` must return a whole number for each example, got shape {array.shape}",
                hint="lambda output: output[:, -1].argmax(-1)",
            )
        return array.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Seen:
    """Examples as they went through the model, unchanged."""

    batches: tuple[Any, ...]
    values: Numbers
    """at the question's site, (example, dim)"""
    done: Whole
    """(example,)"""
    framework: str

    def __len__(self) -> int:
        return len(self.values)


def batches_of(inputs: Any) -> tuple[Any, ...]:
    """Inputs as batches: one, or a list of them."""
    several = isinstance(inputs, Sequence) and not isinstance(inputs, str) and not _is_prompts(inputs)
    made = tuple(inputs) if several else (inputs,)
    if not made:
        raise MethodError("expected at least one batch of examples, got none", hint="a batch, or a list of batches")
    return made


def _is_prompts(inputs: Sequence[Any]) -> bool:
    return bool(inputs) and all(isinstance(each, str) for each in inputs)


def seen(model: Model, question: Question, inputs: Any) -> Seen:
    """Runs the model once over each batch. Raises MethodError for a site at which examples have no one value each."""
    batches = tuple(model.batch(each) if _is_text(each) else each for each in batches_of(inputs))
    values: list[Numbers] = []
    done: list[Whole] = []
    for batch in batches:
        recording = model.record(batch, question.at)
        if not done:
            check_repeats(model, batch, recording.output)
        value = recording[question.at]
        if value.axes[0] != "batch" or len(value.axes) != 2:
            raise MethodError(
                f"{question.text!r} is read at {question.at}, where a value has axes {' '.join(value.axes)}",
                hint="pin all but batch and the last one: layers.3:out[pos=-1]",
            )
        values.append(numbers(value.array).astype(np.float64))
        done.append(question.done(recording.output, batch))
        if len(done[-1]) != len(values[-1]):
            raise MethodError(
                f"{question.text!r}: {len(done[-1])} choices for {len(values[-1])} examples", hint="one for each"
            )
    found = np.concatenate(values)
    if not np.isfinite(found).all():
        raise MethodError(f"values at {question.at} are not finite", hint="NaN or ∞ in a run: look at the model first")
    return Seen(batches, found, np.concatenate(done), model.framework)


def _is_text(given: Any) -> bool:
    return isinstance(given, str) or (isinstance(given, Sequence) and _is_prompts(given))


Entrance = tuple[Any, Site]
"""what a run begins from, and where the question's value is put then"""


def entrances(model: Model, question: Question, examples: Seen) -> list[Entrance]:
    """For each batch, the block behind the question's site, where the model can start there; else its inputs."""
    made = []
    for batch in examples.batches:
        suffixes = Suffixes(model, batch, [question.at])
        recording = model.record(batch, question.at.whole, *suffixes.besides)
        made.append(suffixes.start(question.at, recording))
    return made


def done_with(model: Model, question: Question, examples: Seen, starts: Sequence[Entrance], values: Numbers) -> Whole:
    """What the model does on each example with `values` (example, dim) in place of its own at the question's site."""
    made, first = [], 0
    for batch, (start, place) in zip(examples.batches, starts, strict=True):
        count = _count(batch)
        given = convert(values[first : first + count], examples.framework)
        output = model.run(start, {place: put(given)})
        made.append(question.done(output, batch))
        first += count
    return np.concatenate(made)


def _count(batch: Any) -> int:
    if isinstance(batch, Batch):
        return len(batch.tokens)
    array = next((each for each in (batch.values() if isinstance(batch, dict) else [batch]) if is_array(each)), None)
    if array is None:
        raise MethodError(f"expected a batch of arrays, got {type(batch).__name__}", hint="model.batch(prompts)")
    return int(array.shape[0])
