"""A loop's batch as the watch has it: as it was given, and as the examples in it."""

from collections.abc import Callable
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
