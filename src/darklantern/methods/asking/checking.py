"""The causal check of an answer: put another example's value of that variable in its place, and see what follows.

Not circular: nothing that was fitted saw these examples or any output, what is put in is a value that the model itself
made elsewhere, and what must follow is one output, said beforehand. A variable that is only decodable fails.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.asking.questions import Numbers, Question, Seen, Whole, done_with, entrances
from darklantern.models.opened import Model

PARTNERS: Final = 4
"""other examples that each is interchanged with"""
SUPPORT: Final = 0.5
"""share of interchanges after which the model must do what was said"""


@dataclass(frozen=True, eq=False)
class Check:
    """What interchanges did, each a share of an example's interchanges, (example,)."""

    followed: Numbers
    """did what was predicted, with the value of an example whose answer is the other one"""
    stayed: Numbers
    """did as before, with the value of an example whose answer is the same"""
    by_norm: Numbers
    """did what was predicted, after a random change as long"""
    by_other: Numbers
    """did what was predicted, with that other example's value of another variable"""

    @property
    def shares(self) -> dict[str, float]:
        """The means over examples, as they are called in figures."""
        found = {
            "supported": self.supported,
            "followed another answer": self.followed,
            "stayed with the same answer": self.stayed,
            "followed a random change as long": self.by_norm,
            "followed another variable": self.by_other,
        }
        return {name: float(each.mean()) for name, each in found.items()}

    @property
    def supported(self) -> NDArray[np.bool_]:
        """Which answers hold: the model follows, more than it does by either control, and stays where it should."""
        control = np.maximum(self.by_norm, self.by_other)
        good = (self.followed > SUPPORT) & (self.followed > control) & (self.stayed > SUPPORT)
        return np.asarray(good, dtype=bool)


def interchange(
    model: Model,
    question: Question,
    examples: Seen,
    answers: Whole,
    directions: Numbers | None,
    other: Numbers | None = None,
    partners: int = PARTNERS,
    seed: int = 0,
) -> Check:
    """Interchange the part of each value in the span of `directions` (n, dim), or all of it, with other examples'.

    `other` spans another variable, the control; without it, the direction of the largest variance that is not in the
    first span. Costs 4 × `partners` runs over the examples, from the site's own
    block on where the model can start there. Raises MethodError where only one answer
    occurs, and where another answer predicts nothing else. Source: Geiger et al. 2021, interchange interventions.
    """
    if partners < 1 or len(np.unique(answers)) < 2:
        raise MethodError(
            f"interchange takes partners of both answers, got {partners} and answers {np.unique(answers).tolist()}",
            hint="examples on which the reporter's answers differ",
        )
    rng = np.random.default_rng(seed)
    values = examples.values
    own = None if directions is None else _basis(directions, values.shape[1])
    wrong = _besides(values, own) if other is None else _basis(other, values.shape[1])
    table = {name: np.zeros(len(examples)) for name in ("followed", "stayed", "by_norm", "by_other")}
    starts = entrances(model, question, examples)
    for _ in range(partners):
        unlike, like = (_partners(answers, same, rng) for same in (False, True))
        expected = _expected(question, examples, answers, answers[unlike])
        step = _within(own, values[unlike] - values)
        cases = {
            "followed": (step, expected),
            "stayed": (_within(own, values[like] - values), examples.done),
            "by_norm": (_as_long(rng.normal(size=step.shape), step), expected),
            "by_other": (_within(wrong, values[unlike] - values), expected),
        }
        for name, (change, true) in cases.items():
            table[name] += done_with(model, question, examples, starts, values + change) == true
    return Check(**{name: counts / partners for name, counts in table.items()})


def _expected(question: Question, examples: Seen, answers: Whole, new: Whole) -> Whole:
    """What the model should do on the other answers. Raises MethodError where that is always what it did."""
    expected = np.asarray(question.predicts(examples.done, answers, new))
    if expected.shape != examples.done.shape or (expected == examples.done).all():
        raise MethodError(
            f"{question.text!r} predicts {'the same as before' if expected.ndim else 'one number'} for all examples",
            hint="predicts=lambda done, answer, other: what each example's output will be; answers without effect "
            "cannot be checked",
        )
    return expected


def _partners(answers: Whole, same: bool, rng: np.random.Generator) -> Whole:
    """For each example another one, drawn among those with the same answer, or with the other."""
    made = np.zeros(len(answers), dtype=np.int64)
    for answer in (0, 1):
        mine, others = np.flatnonzero(answers == answer), np.flatnonzero(answers != answer)
        if same:
            # So many places further on: never itself, unless it is alone.
            steps = rng.integers(1, max(len(mine), 2), len(mine))
            made[mine] = mine[(np.arange(len(mine)) + steps) % len(mine)]
        else:
            made[mine] = rng.choice(others, len(mine))
    return made


def _basis(directions: Numbers, size: int) -> Numbers:
    """An orthonormal basis of a span, (dim, n)."""
    rows = np.atleast_2d(directions)
    if rows.shape[1] != size:
        raise MethodError(f"directions of {rows.shape[1]} numbers, values of {size}", hint="directions (n, dim)")
    left, sizes, _ = np.linalg.svd(rows.T, full_matrices=False)
    if not sizes.max():
        raise MethodError("the directions to interchange are all zero", hint="a reporter that tells answers apart")
    found: Numbers = left[:, sizes > 1e-10 * sizes.max()]
    return found


def _within(basis: Numbers | None, change: Numbers) -> Numbers:
    """The part of changes (example, dim) in a span; all of them for None."""
    return change if basis is None else (change @ basis) @ basis.T


def _besides(values: Numbers, basis: Numbers | None) -> Numbers:
    """The direction of the largest variance outside a span; where that is everything, the one of the least."""
    centred = values - values.mean(0)
    if basis is None:
        return np.linalg.svd(centred, full_matrices=False)[2][-1:].T
    found: Numbers = np.linalg.svd(centred - _within(basis, centred), full_matrices=False)[2][:1].T
    return found


def _as_long(change: Numbers, step: Numbers) -> Numbers:
    lengths = np.linalg.norm(step, axis=1, keepdims=True) / np.linalg.norm(change, axis=1, keepdims=True)
    made: Numbers = change * lengths
    return made
