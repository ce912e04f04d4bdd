"""Reporters: what reads an answer off a value, fitted here or brought along."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.asking.fits import FITS, Line, Numbers, check_labels, searched
from darklantern.methods.asking.questions import Question, Seen, seen
from darklantern.models.opened import Model
from darklantern.models.shim import is_array, numbers


@dataclass(frozen=True, eq=False)
class Reporter:
    """What answers, and along what it reads."""

    name: str
    score: Callable[[Numbers], Any]
    direction: Numbers | None
    """(dim,); None for one that names none, whose values are interchanged whole"""

    def __call__(self, values: Numbers) -> Numbers:
        """Log-odds of answer 1 of each value (example, dim). Raises MethodError for other than a number each."""
        found = as_numbers(self.score(values))
        if found.shape != (len(values),) or not np.isfinite(found).all():
            raise MethodError(
                f"{self.name} must give a finite number for each of {len(values)} values, got shape {found.shape}",
                hint="lambda values: values @ direction + offset",
            )
        return found


def reporting(
    model: Model, question: Question, fit: Any, labels: Any, how: Any, seed: int
) -> tuple[Seen | None, Reporter]:
    """The first half as the model saw it, where there is one, and the reporter. Raises as `ask` does."""
    if not isinstance(how, str):
        return None if fit is None else seen(model, question, fit), _brought(how)
    if how not in (*FITS, "consistent"):
        raise MethodError(
            f"no reporter is called {how!r}",
            hint=f"{', '.join(FITS)}, consistent, or a function from values to log-odds",
        )
    if fit is None or labels is None:
        raise MethodError(f"{how} is fitted, which takes examples and labels", hint="how= takes a reporter made before")
    if how == "consistent":
        fitted, made = _consistent(model, question, fit, as_numbers(labels), seed)
    else:
        fitted = seen(model, question, fit)
        made = line(fitted.values, as_numbers(labels), how)
    return fitted, Reporter(how, made, made.direction)


def line(values: Numbers, labels: Numbers, how: str = "logistic") -> Line:
    """The line between two answers. Raises MethodError for labels of one kind."""
    check_labels(labels, len(values), "the first half")
    return FITS[how](values, labels)


def as_numbers(given: Any) -> Numbers:
    """An array of any framework, or a list, in NumPy's float64."""
    found: Numbers = np.asarray(numbers(given) if is_array(given) else given, dtype=np.float64)
    return found


def _brought(how: Any) -> Reporter:
    score = getattr(how, "scores", how)
    if not callable(score):
        raise MethodError(
            f"expected a reporter, got {type(how).__name__}", hint="a function from values (example, dim) to log-odds"
        )
    along = next((held for name in ("direction", "vector") if (held := getattr(how, name, None)) is not None), None)
    name = getattr(how, "name", getattr(how, "__name__", type(how).__name__))
    return Reporter(str(name), score, None if along is None else as_numbers(along))


def _consistent(model: Model, question: Question, fit: Any, labels: Numbers, seed: int) -> tuple[Seen, Line]:
    if not isinstance(fit, tuple) or len(fit) != 2:
        raise MethodError(
            "consistent takes a pair: the examples with the claim, and the same with its denial", hint="fit=(yes, no)"
        )
    yes, no = (seen(model, question, each) for each in fit)
    if len(yes) != len(no):
        raise MethodError(f"{len(yes)} claims and {len(no)} denials", hint="the same examples in both")
    check_labels(labels, len(yes), "the first half")
    line = searched(yes.values, no.values, seed)
    agrees = ((line(yes.values) > 0) == (labels == 1)).mean()
    return yes, line if agrees >= 0.5 else Line(-line.direction, -line.offset)
