"""`ask`: fit a reporter on one half, let it answer on the other, and check each answer by interchange."""

from collections.abc import Callable
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.asking.answers import Answers
from darklantern.methods.asking.baseline import Prompt, outside
from darklantern.methods.asking.checking import PARTNERS, interchange
from darklantern.methods.asking.fits import FITS, Line, Numbers, check_labels, contrast, sigmoid
from darklantern.methods.asking.questions import Question, Seen, seen
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.models.opened import Model
from darklantern.models.shim import is_array, numbers, without_gradients

Reporter = Callable[[Numbers], Numbers]
"""values (example, dim) → log-odds of answer 1; a `.direction` (dim,) says along what it reads"""


def ask(
    model: Model,
    question: Question,
    fit: Any,
    labels: Any,
    check: Any,
    *,
    truth: Any = None,
    how: str | Reporter = "logistic",
    other: Any = None,
    prompt: Prompt | bool = True,
    partners: int = PARTNERS,
    seed: int = 0,
) -> Answers:
    """Fit a reporter on `fit` with its `labels`, answer on `check`, and check each answer by its effect.

    `fit` and `check` are batches, or lists of them, that share no example; `labels` hold a 0 or 1 for each of `fit`,
    `truth` for each of `check` where it is known. `how` is means, logistic, contrast (Burns et al. 2022: `fit` is a
    pair of the same examples with the claim and with its denial, and labels decide the sign alone), or a reporter of
    your own, for which `fit` may be None. The reporter sees no output of the model.

    The check puts into each example, along the reporter's direction, what other examples have there, and counts how
    often the model does just what `question.predicts` says; controls are a random change as long, another variable
    (the line fitted to the labels `other`, or else the widest direction besides), and partners with the same answer.
    What is decodable but not used comes out as unsupported. `prompt` says what the reader sees that knows only prompt
    and output; False leaves it out. Costs a run over each half, and 4 × `partners` over `check`.

    Raises MethodError for labels of one kind, for a site without one value an example, and for halves that are one.
    """
    check_opened(model)
    if fit is check:
        raise MethodError("a reporter cannot be checked on what it was fitted on", hint="two sets of examples")
    with without_gradients(), making("ask", model, seed) as under_way:
        under_way.saw(question.text, str(question.at), fit, labels, check, truth, how if isinstance(how, str) else None)
        fitted, line, wrong = _fitted(model, question, fit, labels, how, other, seed)
        examples = seen(model, question, check)
        true = None if truth is None else _numbers(truth)
        if true is not None and true.shape != (len(examples),):
            raise MethodError(f"{len(examples)} examples to check, truth {true.shape}", hint="one for each")
        chances = sigmoid(np.asarray(line(examples.values), dtype=np.float64))
        along, answers = getattr(line, "direction", None), (chances > 0.5).astype(np.int64)
        along = None if along is None else _numbers(along)
        held = interchange(model, question, examples, answers, along, wrong, partners, seed)
        blind = None
        if prompt is not False and fitted is not None and labels is not None:
            show = None if prompt is True else prompt
            blind = outside(fitted, _numbers(labels), examples, show, seed)
    name = how if isinstance(how, str) else getattr(how, "name", type(how).__name__)
    read = line if isinstance(line, Line) else None
    made = under_way.made()
    return Answers(question, name, read, chances, examples.done, held, true, blind, seed, made=made)


def _fitted(
    model: Model, question: Question, fit: Any, labels: Any, how: str | Reporter, other: Any, seed: int
) -> tuple[Seen | None, Reporter, Numbers | None]:
    """The first half, the reporter, and the direction of another variable where it has labels."""
    if callable(how):
        fitted = None if fit is None else seen(model, question, fit)
        return fitted, how, None if other is None or fitted is None else _line(fitted.values, _numbers(other)).direction
    if how not in (*FITS, "contrast"):
        raise MethodError(
            f"no reporter is called {how!r}", hint=f"{', '.join(FITS)}, contrast, or a function from values to log-odds"
        )
    if how != "contrast":
        fitted = seen(model, question, fit)
        line = _line(fitted.values, _numbers(labels), how)
    else:
        fitted, line = _contrasted(model, question, fit, _numbers(labels), seed)
    return fitted, line, None if other is None else _line(fitted.values, _numbers(other)).direction


def _line(values: Numbers, labels: Numbers, how: str = "logistic") -> Line:
    check_labels(labels, len(values), "the first half")
    return FITS[how](values, labels)


def _contrasted(model: Model, question: Question, fit: Any, labels: Numbers, seed: int) -> tuple[Seen, Line]:
    if not isinstance(fit, tuple) or len(fit) != 2:
        raise MethodError(
            "contrast takes a pair: the examples with the claim, and the same with its denial", hint="fit=(yes, no)"
        )
    yes, no = (seen(model, question, each) for each in fit)
    if len(yes) != len(no):
        raise MethodError(f"{len(yes)} claims and {len(no)} denials", hint="the same examples in both")
    check_labels(labels, len(yes), "the first half")
    line = contrast(yes.values, no.values, seed)
    agrees = ((line(yes.values) > 0) == (labels == 1)).mean()
    return yes, line if agrees >= 0.5 else Line(-line.direction, -line.offset)


def _numbers(given: Any) -> Numbers:
    found: Numbers = np.asarray(numbers(given) if is_array(given) else given, dtype=np.float64)
    return found
