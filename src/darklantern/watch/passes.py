"""Passes over a loader, counted so that a rollback over the border of two loses none and adds none."""


class Passes:
    """How many passes are over in the state that a run stands at, and how many its loop has asked for.

    `for epoch in range(3): for batch in watch.over(loader)` counts its passes itself, and no rollback can take that
    count back. So a call of `over` goes on until as many passes are over as the loop has asked for: after a rollback
    into an earlier one it gives what is left of that and those after it.
    """

    def __init__(self) -> None:
        self.ended = 0
        """passes that are over, in the state as it is"""
        self._asked = 0

    def ask(self) -> None:
        """The loop calls `over`. One that was left in the middle of a pass, or rolled back since, goes on with it."""
        if self.ended >= self._asked:
            self._asked = self.ended + 1

    def end(self) -> None:
        """The loader has no more batches for now."""
        self.ended += 1

    def back_to(self, ended: int) -> None:
        """The state is one after which so many passes were over."""
        self.ended = ended

    @property
    def left(self) -> int:
        """Passes until the loop has what it asked for, the one under way counted."""
        return max(0, self._asked - self.ended)
