"""Reading out: an activation of one run put into a prompt that makes a model say what it holds (Patchscopes)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darklantern.drawing import Axis, Field, fields
from darklantern.errors import MethodError
from darklantern.methods.asking.checking import Check, interchange
from darklantern.methods.asking.fits import Numbers
from darklantern.methods.asking.questions import Question, seen
from darklantern.methods.asking.reporters import as_numbers, line
from darklantern.methods.making import making
from darklantern.methods.metrics import Token, logits_of, number_of
from darklantern.methods.opened import check_opened
from darklantern.methods.results import Result
from darklantern.models.edits import put
from darklantern.models.opened import Model
from darklantern.models.picture import Picture
from darklantern.models.shim import convert, is_array, log_probs, namespace, without_gradients
from darklantern.models.sites import Site, parse
from darklantern.models.tokens import Batch
from darklantern.records.findings import Figure, Grid

_SHOWN = 64
"""examples in a picture and in evidence"""


@dataclass(frozen=True, repr=False)
class ReadOut(Result):
    """What a reading prompt says with each example's activation in it, and what it says with none or another's."""

    source: Site
    target: Site
    answers: tuple[str, ...]
    chances: Numbers
    """of each answer as the next token, (example, answer)"""
    without: Numbers
    """the same by the prompt as it is, (answer,)"""
    labels: Numbers | None
    """which answer is right, (example,), where that is known"""
    written: tuple[str, ...]
    """what the reader wrote on, for each example, where it was asked to"""
    checked: Check | None = None
    """of two answers, on examples of their own: does the model act on what was read out?"""

    @property
    def said(self) -> Numbers:
        """The likeliest answer of each example, by its number."""
        found: Numbers = self.chances.argmax(1)
        return found

    @property
    def moved(self) -> float:
        """Total variation by which an activation moves the prompt's own answer: 0 where the prompt hears nothing."""
        return float(np.abs(_shares(self.chances) - _shares(self.without[None])).sum(1).mean() / 2)

    @property
    def differ(self) -> float:
        """Total variation between examples: 0 where any activation makes the prompt say the same."""
        shares = _shares(self.chances)
        return float(np.abs(shares - np.roll(shares, 1, axis=0)).sum(1).mean() / 2)

    @property
    def verdict(self) -> str:
        """supported or unsupported by interchange, or unchecked."""
        if self.checked is None:
            return "unchecked"
        return "supported" if self.checked.supported.mean() > 0.5 else "unsupported"

    @property
    def says(self) -> str:
        right = "" if self.labels is None else f"; {self._accuracy:.0%} are right"
        return (
            f"{self.source} read out at {self.target}: chances move by {self.moved:.2f} from the prompt's own "
            f"and by {self.differ:.2f} between examples{right}; {self.verdict}"
        )

    @property
    def _accuracy(self) -> float:
        return float((self.said == self.labels).mean())

    @property
    def figures(self) -> tuple[Figure, ...]:
        made = [
            Figure(name="moved from the prompt's own answer", value=self.moved, unit="total variation"),
            Figure(name="differ between examples", value=self.differ, unit="total variation"),
            Figure(name="chance of any of the answers", value=float(self.chances.sum(1).mean()), unit="probability"),
        ]
        if self.labels is not None:
            own = float((self.without.argmax() == self.labels).mean())
            made.append(Figure(name="accuracy", value=self._accuracy, unit="share"))
            made.append(Figure(name="accuracy of the prompt by itself", value=own, unit="share"))
        if self.checked is not None:
            made += [Figure(name=name, value=value, unit="share") for name, value in self.checked.shares.items()]
        return tuple(made)

    @property
    def grids(self) -> tuple[Grid, ...]:
        rows = ("no activation", *(str(number) for number in range(min(len(self.chances), _SHOWN))))
        table = np.concatenate([self.without[None], self.chances[:_SHOWN]])
        values = tuple(tuple(row.tolist()) for row in table)
        return (Grid(name="chances", unit="probability", rows=rows, columns=self.answers, values=values),)

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.source, self.target)

    def show(self) -> Picture:
        """Chances of the answers, examples down; the first row is the prompt by itself."""
        grid = self.grids[0]
        rows, columns = Axis("example", range(-1, len(grid.rows) - 1), grid.rows), range(len(self.answers))
        svg = fields(
            [Field("", grid.values)],
            rows,
            Axis("answer", columns, self.answers),
            title=f"{self.source} read out at {self.target}",
            says=self.says,
            notes=("Probability of each answer as the next token.",),
        )
        return Picture(svg, f"{self.source} read out at {self.target}", self.says)


def read_out(
    model: Model,
    inputs: Any,
    source: str | Site,
    prompt: Any,
    target: str | Site,
    answers: Sequence[Token],
    *,
    reader: Model | None = None,
    change: Callable[[Any], Any] | None = None,
    labels: Any = None,
    question: Question | None = None,
    check: Any = None,
    write: int = 0,
    seed: int = 0,
) -> ReadOut:
    """Put what `source` holds on each of `inputs` into a run on `prompt` at `target`, and ask for the next token.

    `prompt` is one text or one row of token numbers (1, pos); `source` and `target` are pinned to a position, so that
    each example has one value (dim,). `reader` is the model that reads, the same one if none is given; `change` maps
    values (example, dim) of the one to the other. `answers` are tokens as text or number; `labels` say which of
    them is right. With `write`, the reader also writes so many tokens on, where its engine generates.

    A read-out says what a prompt makes of an activation, not that the model acts on it. With a `question` of two
    answers, and examples to `check`, which are others, it is checked as `ask` does: the difference of means between
    the values that read out as either is interchanged among these. Costs three runs, and the check's. Source:
    Ghandeharioun et al. 2024.

    Raises MethodError for sites that are not pinned so, for no answers, and for a reader without generation.
    """
    check_opened(model)
    there = model if reader is None else reader
    check_opened(there)
    if not answers:
        raise MethodError("expected answers to look for, got none", hint="answers=[' yes', ' no']")
    where, into = (parse(each) if isinstance(each, str) else each for each in (source, target))
    if (question is None) != (check is None) or (question is not None and len(answers) != 2) or check is inputs:
        raise MethodError(
            f"a check takes a question, two answers and other examples, got {len(answers)} answers",
            hint="question=Question(...), check=inputs that were not read out",
        )
    with without_gradients(), making("read_out", model, seed) as under_way:
        under_way.saw(inputs, str(where), prompt, str(into), [str(each) for each in answers], labels, check)
        chosen = [number_of(there, each) for each in answers]

        def said(batches: Any) -> tuple[Numbers, Numbers, Any, Any]:
            values, given = _values(model, there, batches, where, change)
            rows = _repeated(there, prompt, int(given.shape[0]))
            return _chances(there.run(rows, {into: put(given)}), chosen), values, rows, given

        chances, values, rows, given = said(inputs)
        without = _chances(there.run(_repeated(there, prompt, 1)), chosen)[0]
        written = _written(there, rows, into, given, write) if write else ()
        held = None
        if question is not None:
            about = replace(question, site=where)
            examples = seen(model, about, check)
            towards = line(values, chances.argmax(1).astype(np.float64), "means").direction
            answered = np.concatenate([said(batch)[0].argmax(1) for batch in examples.batches])
            held = interchange(model, about, examples, answered, towards, seed=seed)
    right = None if labels is None else np.asarray(labels)
    if right is not None and right.shape != (len(chances),):
        raise MethodError(f"{len(chances)} examples, labels {right.shape}", hint="the number of an answer for each")
    names = tuple(each if isinstance(each, str) else f"token {each}" for each in answers)
    return ReadOut(where, into, names, chances, without, right, written, held, made=under_way.made())


def _values(
    model: Model, reader: Model, inputs: Any, where: Site, change: Callable[[Any], Any] | None
) -> tuple[Numbers, Any]:
    """What the source holds, in NumPy, and as the reader takes it."""
    value = model.record(inputs, where, stop=True)[where]
    if len(value.axes) != 2 or value.axes[0] != "batch":
        raise MethodError(f"a value at {where} has axes {' '.join(value.axes)}", hint="pin it: layers.3:out[pos=-1]")
    given = value.array if change is None else change(value.array)
    return as_numbers(value.array), convert(given, reader.framework, copy=False)


def _repeated(reader: Model, prompt: Any, count: int) -> Any:
    """The prompt, `count` times."""
    if isinstance(prompt, str):
        return reader.batch([prompt] * count)
    if not is_array(prompt) or prompt.ndim != 2 or prompt.shape[0] != 1:
        raise MethodError("expected one prompt", hint="a text, or token numbers (1, pos)")
    return namespace(prompt).concat([prompt] * count, axis=0)


def _chances(output: Any, answers: Sequence[int]) -> Numbers:
    logits = logits_of(output)
    if logits.ndim != 3:
        raise MethodError(f"expected logits (batch, pos, token), got {tuple(logits.shape)}", hint="a causal model")
    found: Numbers = np.exp(log_probs(logits[:, -1]))[:, list(answers)]
    return found


def _written(reader: Model, rows: Any, into: Site, given: Any, count: int) -> tuple[str, ...]:
    """What the reader writes on, greedily; the activation stands in the prompt."""
    generate: Any = getattr(reader, "generate", None)
    tokenizer: Any = getattr(reader, "tokenizer", None)
    if generate is None or tokenizer is None:
        raise MethodError(
            f"this reader of {reader.framework} has no {'tokenizer' if generate else 'generation'}",
            hint="write=0; chances of answers need neither",
        )
    kept = dict(rows) if isinstance(rows, Batch) else {"input_ids": rows}
    start = int(kept["input_ids"].shape[1])
    made = generate(kept, edits={into.at(step=0): put(given)}, max_new_tokens=count, do_sample=False).output
    return tuple(tokenizer.decode([int(each) for each in row[start:]]) for row in made)


def _shares(chances: Numbers) -> Numbers:
    """Chances among the answers."""
    found: Numbers = chances / np.maximum(chances.sum(1, keepdims=True), 1e-300)
    return found
