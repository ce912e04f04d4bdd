"""A loop's batch as the watch has it: as it was given, and as the examples in it; and one that waits to be given."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.attach.filtering import check
from darklantern.watch.attach.tap import Tap
from darklantern.watch.examples import Examples


class Batch:
    """A batch as the loop gave it, read at most once, and only when asked: to copy each is dear, and makes a device
    wait."""

    def __init__(self, given: Any, tap: Tap, examples: Examples | None = None) -> None:
        self.given, self._tap, self._examples = given, tap, examples

    @property
    def examples(self) -> Examples:
        """Read now, if they were not before."""
        if self._examples is None:
            self._examples = self._tap.examples(self.given)
        return self._examples

    def later(self) -> Callable[[], Examples]:
        """Its examples, whatever the loop does with it meanwhile."""
        if self._examples is None:
            return self._tap.later(self.given)
        held = self._examples
        return lambda: held

    def only(self, kept: NDArray[np.bool_]) -> "Batch | None":
        """The batch of its examples that are `kept`, (n,): itself where all are, None where none is.

        Raises WatchError where that cannot be made, and where what was made does not hold those examples alone: rows
        that are said to be screened and are trained on all the same would be worse than a run that ends.
        """
        if kept.all():
            return self
        if not kept.any():
            return None
        made = self._tap.keep(self.given, kept)
        check(self._tap.examples(made), self.examples.take(self._tap.order(kept)))
        return Batch(made, self._tap, self.examples.take(kept))


class InHand:
    """A batch that was drawn, and that a failure kept from the loop: the next pass over its loader begins with it.

    Where a look is due the loader is put back instead, since a state kept there must have the batch before it. Between
    looks nobody asks the loader where it stands: that would cost more than most steps of a watch.
    """

    def __init__(self) -> None:
        self._held: tuple[Any, Iterable[Any], str] | None = None

    def hold(self, batch: Any, loader: Iterable[Any], at: str) -> None:
        """Keep `batch` of `loader`, which stands `at` the place after it, where it says so."""
        self._held = batch, loader, at

    def then(self, loader: Iterable[Any], at: Callable[[], str]) -> Iterator[Any]:
        """The batch that is held, if it is of `loader` and that stands where it stood; then what `loader` has."""
        if self._held is None:
            return iter(loader)
        _, held_of, stood = self._held
        if loader is not held_of or at() != stood:  # a rollback, or its user, put it elsewhere
            self._held = None
            return iter(loader)
        return chain(self._given(), iter(loader))

    def _given(self) -> Iterator[Any]:
        if self._held is not None:
            batch, self._held = self._held[0], None
            yield batch
