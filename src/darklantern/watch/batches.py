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
    """A batch that was drawn, and that a failure kept from the loop: the pass it was of goes on with it.

    Where a look is due the loader is put back instead, since a state kept there must have the batch before it. Between
    looks nobody asks the loader where it stands: that would cost more than most steps of a watch. So no state is kept
    while a batch `waits`.
    """

    def __init__(self) -> None:
        self._held: tuple[Any, Iterator[Any], Iterable[Any], str] | None = None

    @property
    def waits(self) -> bool:
        """Whether there is one."""
        return self._held is not None

    def hold(self, batch: Any, rest: Iterator[Any], loader: Iterable[Any], at: str) -> None:
        """Keep `batch`, and the `rest` of its pass over `loader`, which stands `at` the place after it, if it says."""
        self._held = batch, rest, loader, at

    def then(self, loader: Iterable[Any], at: Callable[[], str]) -> Iterator[Any]:
        """The batch that is held and the rest of its pass; without one a new pass over `loader`.

        A batch of another loader, or of one that stands elsewhere by now, is let go.
        """
        if self._held is not None:
            _, rest, held_of, stood = self._held
            if loader is held_of and at() == stood:
                return chain(self._given(), rest)
        self._held = None  # a rollback, or its user, put the loader elsewhere
        return iter(loader)

    def _given(self) -> Iterator[Any]:
        if self._held is not None:
            batch, self._held = self._held[0], None
            yield batch
