"""Rows that the vision probes run: trusted ones that stay the same, and fresh ones with trusted partners."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.examples import Array, Examples
from darklantern.watch.probes import Now


def labels(examples: Examples, what: str) -> NDArray[np.int64]:
    """The class of each example, (n,). Raises WatchError where there is none, or where targets are no classes."""
    given = examples.targets
    if given is None or given.ndim != 1 or (given.dtype.kind not in "uib" and (given != np.floor(given)).any()):
        came = "none" if given is None else f"targets {given.shape} of {given.dtype}"
        raise WatchError(
            f"expected {what} with a class for each example, (n,), got {came}",
            hint="give (inputs, targets) with whole numbers as targets",
        )
    return given.astype(np.int64)


def balanced(examples: Examples, count: int, seed: int, what: str) -> Examples:
    """`count` of them, as evenly over their classes as they allow, drawn with `seed`.

    Raises WatchError for fewer examples than that, and for examples of fewer than two classes.
    """
    given = labels(examples, what)
    classes = np.unique(given)
    if len(examples) < count or len(classes) < 2:
        raise WatchError(
            f"expected at least {count} {what} of two or more classes, got {len(examples)} of {len(classes)}",
            hint="give more of them, or ask for fewer rows",
        )
    order = np.random.default_rng(seed).permutation(len(given))
    # Rank within its class: the first of every class come before any second.
    turn = np.empty(len(given), dtype=np.int64)
    for each in classes:
        mine = order[given[order] == each]
        turn[mine] = np.arange(len(mine))
    chosen = order[np.argsort(turn[order], kind="stable")][:count]
    return examples.take(chosen)


@dataclass(frozen=True)
class Drawn:
    """Fresh training rows, and as many trusted rows to hold them against."""

    train: Examples
    trusted: Examples
    paired: bool
    """whether the trusted rows are fresh draws too, as the paired test needs; once the pool is used up they are not"""

    @property
    def count(self) -> int:
        """Rows of either kind."""
        return len(self.train)

    @property
    def inputs(self) -> Array:
        """Training rows, then trusted rows, (2 · count, …)."""
        return np.concatenate([self.train.inputs, self.trusted.inputs.astype(self.train.inputs.dtype)])


class Familiar:
    """Examples that a score is fitted on, or made with: they score low for having been there, so no bet may hold them.

    A pool that they are in gives them out as trusted rows sooner or later, and a training set may hold them as well.
    Both sides go without them: leaving them out of one alone would make the other look strange.
    """

    def __init__(self, *fitted: Examples) -> None:
        self._held = {key for each in fitted for key in _keys(each.inputs)}

    def without(self, rows: Examples) -> Examples:
        """Those of `rows` that are none of them."""
        strange = [key not in self._held for key in _keys(rows.inputs)]
        return rows if all(strange) else rows.take(np.array(strange, dtype=bool))


def drawn(now: Now, rows: int, familiar: Familiar | None = None) -> Drawn | None:
    """Up to `rows` of the batch that comes next, with as many trusted ones, and none that is `familiar`.

    None when the loop has ended, or nothing is left of the batch. When the pool of trusted examples is used up, its
    rows come again, familiar ones if it has no others: a reading holds for them, a bet does not. Raises WatchError
    for trusted examples of another shape.
    """
    if now.fresh is None or not len(now.fresh):
        return None
    train = (now.fresh if familiar is None else familiar.without(now.fresh)).take(slice(0, rows))
    if not len(train):
        return None
    trusted = _partners(now, len(train), familiar)
    paired = len(trusted) == len(train)
    if not paired:
        pool = now.trusted.examples
        strange = pool if familiar is None else familiar.without(pool)
        pool = strange if len(strange) else pool
        trusted = pool.take(np.arange(len(train)) % max(len(pool), 1))
    if trusted.inputs.shape[1:] != train.inputs.shape[1:]:
        raise WatchError(
            f"the trusted examples are {trusted.inputs.shape[1:]} each, those trained on {train.inputs.shape[1:]}",
            hint="trusted examples must be what the loader would yield, augmented and scaled alike",
        )
    return Drawn(train, trusted, paired)


def _partners(now: Now, count: int, familiar: Familiar | None) -> Examples:
    """`count` fresh trusted rows, or fewer when the pool is used up."""
    pool = now.trusted
    if pool.left < count:
        return pool.examples.take(slice(0, 0))
    found = pool.draw(count)
    if familiar is None:
        return found
    found = familiar.without(found)
    while len(found) < count and pool.left:
        more = familiar.without(pool.draw(min(count - len(found), pool.left)))
        found = _joined(found, more)
    return found


def _joined(one: Examples, other: Examples) -> Examples:
    targets = None
    if one.targets is not None and other.targets is not None:
        targets = np.concatenate([one.targets, other.targets])
    return Examples(np.concatenate([one.inputs, other.inputs]), targets)


def _keys(inputs: Array) -> list[bytes]:
    """What tells an example from others, as float32: the loader's numbers and the trusted set's may differ in kind."""
    return [row.tobytes() for row in np.ascontiguousarray(inputs, dtype=np.float32)]


def highest(scores: NDArray[np.floating], share: float) -> float:
    """The mean of the highest `share` of the scores, at least one of them; NaN where there is one."""
    count = max(1, int(np.ceil(share * len(scores))))
    return float(np.sort(scores)[-count:].mean())  # NaN is sorted last
