"""`ask`: fit a reporter on one half, let it answer on the other, and check each answer by interchange."""

from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.asking.answers import Answers
from darklantern.methods.asking.baseline import Prompt, outside
from darklantern.methods.asking.checking import PARTNERS, interchange
from darklantern.methods.asking.fits import sigmoid
from darklantern.methods.asking.questions import Question, seen
from darklantern.methods.asking.reporters import as_numbers, line, reporting
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.models.opened import Model
from darklantern.models.shim import without_gradients


def ask(
    model: Model,
    question: Question,
    fit: Any,
    labels: Any,
    check: Any,
    *,
    truth: Any = None,
    how: Any = "logistic",
    other: Any = None,
    prompt: Prompt | bool = True,
    partners: int = PARTNERS,
    seed: int = 0,
) -> Answers:
    """Fit a reporter on `fit` with its `labels`, answer on `check`, and check each answer by its effect.

    `fit` and `check` are batches, or lists of them, that share no example; `labels` hold a 0 or 1 for each of `fit`,
    `truth` for each of `check` where it is known. `how` is means, logistic, consistent (Burns et al. 2022: `fit` is a
    pair of the same examples with the claim and with its denial, and labels decide the sign alone), or a reporter of
    your own, for which `fit` may be None: a function from values (example, dim) to log-odds, with a `.direction`, or an
    object with `.scores` and a `.vector`. Without a direction, values are interchanged whole. No reporter is shown an
    output of the model.

    The check puts into each example, along the reporter's direction, what other examples have there, and counts how
    often the model does just what `question.predicts` says; controls are a random change as long, another variable
    (the line fitted to the labels `other`, or else the widest direction besides), and partners with the same answer.
    What is decodable but not used comes out as unsupported. Along `logistic` a change is less than all of the
    difference where noise is correlated; `means` interchanges the difference itself. `prompt` says what the reader
    sees that knows only prompt and output; False leaves it out. Costs a run over each half, and 4 × `partners` over
    `check`, from the site on.

    Raises MethodError for labels of one kind, for a site without one value an example, and for one object as both
    halves.
    """
    check_opened(model)
    if fit is check:
        raise MethodError("a reporter cannot be checked on what it was fitted on", hint="two sets of examples")
    with without_gradients(), making("ask", model, seed) as under_way:
        under_way.saw(question.text, str(question.at), fit, labels, check, truth, how if isinstance(how, str) else None)
        fitted, reporter = reporting(model, question, fit, labels, how, seed)
        wrong = None if other is None or fitted is None else line(fitted.values, as_numbers(other)).direction
        examples = seen(model, question, check)
        true = None if truth is None else as_numbers(truth)
        if true is not None and (true.shape != (len(examples),) or not np.isin(true, (0, 1)).all()):
            raise MethodError(f"{len(examples)} examples to check, truth {true!r:.60}", hint="a 0 or 1 for each")
        chances = sigmoid(reporter(examples.values))
        answers = (chances > 0.5).astype(np.int64)
        held = interchange(model, question, examples, answers, reporter.direction, wrong, partners, seed)
        blind = None
        if prompt is not False and fitted is not None and labels is not None:
            show = None if prompt is True else prompt
            blind = outside(fitted, as_numbers(labels), examples, show, seed)
    found = (question, reporter, chances, examples.done, held, true, blind)
    return Answers(*found, made=under_way.made())
