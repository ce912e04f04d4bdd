"""Reading out: an activation of one run put into a prompt that makes a model say what it holds (Patchscopes)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.asking.checking import Check, interchange
from darklantern.methods.asking.fits import Numbers
from darklantern.methods.asking.questions import Question, seen
from darklantern.methods.asking.read_outs import ReadOut
from darklantern.methods.asking.reporters import as_numbers, line
from darklantern.methods.making import making
from darklantern.methods.metrics import Token, check_tokens, logits_of, token_number
from darklantern.methods.opened import check_opened
from darklantern.models.edits import put
from darklantern.models.opened import Model
from darklantern.models.shim import convert, is_array, log_probs, namespace, without_gradients
from darklantern.models.sites import Site, parse
from darklantern.models.tokens import Batch


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
        reading = _Reading(model, there, where, into, prompt, [token_number(there, each) for each in answers], change)
        values, given = reading.values(inputs)
        chances = reading.chances(given)
        right = _right(labels, len(chances), len(answers))
        without = _chances(there.run(_repeated(there, prompt, 1)), reading.answers)[0]
        written = reading.written(given, write) if write else ()
        held = (
            None if question is None else _checked(reading, values, chances, replace(question, site=where), check, seed)
        )
    found = (where, into, tuple(map(str, answers)), chances, without, right, written, held)
    return ReadOut(*found, made=under_way.made())


@dataclass(frozen=True, eq=False)
class _Reading:
    """Who reads what, and how."""

    model: Model
    reader: Model
    source: Site
    target: Site
    prompt: Any
    answers: Sequence[int]
    change: Callable[[Any], Any] | None

    def values(self, inputs: Any) -> tuple[Numbers, Any]:
        """What the source holds, in NumPy, and as the reader takes it."""
        value = self.model.record(inputs, self.source, stop=True)[self.source]
        if len(value.axes) != 2 or value.axes[0] != "batch":
            raise MethodError(
                f"a value at {self.source} has axes {' '.join(value.axes)}", hint="pin it: layers.3:out[pos=-1]"
            )
        given = value.array if self.change is None else self.change(value.array)
        return as_numbers(value.array), convert(given, self.reader.framework, copy=False)

    def chances(self, given: Any) -> Numbers:
        """Of each answer, with each of `given` in the prompt."""
        rows = _repeated(self.reader, self.prompt, int(given.shape[0]))
        return _chances(self.reader.run(rows, {self.target: put(given)}), self.answers)

    def written(self, given: Any, count: int) -> tuple[str, ...]:
        """What the reader writes on, greedily; the activation stands in the prompt."""
        generate, tokenizer = (getattr(self.reader, name, None) for name in ("generate", "tokenizer"))
        if generate is None or tokenizer is None:
            raise MethodError(
                f"this reader of {self.reader.framework} has no {'tokenizer' if generate else 'generation'}",
                hint="write=0; chances of answers need neither",
            )
        rows = _repeated(self.reader, self.prompt, int(given.shape[0]))
        kept = dict(rows) if isinstance(rows, Batch) else {"input_ids": rows}
        edits = {self.target.at(step=0): put(given)}
        made = generate(kept, edits=edits, max_new_tokens=count, do_sample=False).output
        start = int(kept["input_ids"].shape[1])
        return tuple(tokenizer.decode([int(each) for each in row[start:]]) for row in made)


def _checked(reading: _Reading, values: Numbers, chances: Numbers, question: Question, check: Any, seed: int) -> Check:
    """Whether the model acts, on other examples, on what tells apart those that read out as either answer."""
    towards = line(values, chances.argmax(1).astype(np.float64), "means").direction
    examples = seen(reading.model, question, check)
    answered = [reading.chances(reading.values(batch)[1]).argmax(1) for batch in examples.batches]
    return interchange(reading.model, question, examples, np.concatenate(answered), towards, seed=seed)


def _right(labels: Any, count: int, answers: int) -> Numbers | None:
    if labels is None:
        return None
    found = as_numbers(labels)
    if found.shape != (count,):
        raise MethodError(f"{count} examples, labels {found.shape}", hint="the number of an answer for each")
    if not np.isin(found, range(answers)).all():
        raise MethodError(
            f"labels are {_some(found)}, of {answers} answers", hint=f"numbers of answers: 0 to {answers - 1}"
        )
    return found


def _some(labels: Numbers) -> str:
    return ", ".join(f"{each:g}" for each in np.unique(labels)[:4])


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
    check_tokens(answers, int(logits.shape[-1]))
    found: Numbers = np.exp(log_probs(logits[:, -1]))[:, list(answers)]
    return found
