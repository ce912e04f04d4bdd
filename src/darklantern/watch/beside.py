"""What is run beside the training and only looks: signals, and the functions that a user gave for looks and alarms."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from darklantern.errors import WatchError
from darklantern.watch.attach.tap import Tap

ON_ALARM: Final = "a function in on_alarm"


class Beside:
    """Keeps the training from whoever only looks: `with beside("on_look"): ...`."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self.what = ""
        """what is run now, for people; empty while nothing is"""

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Around a user's own function: it is refused a rollback, and what `Tap.aside` names is put back after it."""
        with self.named(what), self._tap.aside():
            yield

    @contextmanager
    def named(self, what: str) -> Iterator[None]:
        """The same around what sees to the guard itself."""
        outer, self.what = self.what, what
        try:
            yield
        finally:
            self.what = outer

    def over(self) -> None:
        """Nothing is run beside the training any more: what was cut off may not have come to say so itself."""
        self.what = ""

    def check_not_within(self) -> None:
        """Raises WatchError for a rollback from within: the loop would go on with a batch of another state."""
        if self.what:
            answered = self.what == ON_ALARM
            raise WatchError(
                f"{self.what} cannot roll the run back: it only {'answers' if answered else 'looks'}",
                hint="return Reaction.ROLL_BACK from it: then it counts, and what else is asked for is done too"
                if answered
                else "on_alarm=Reaction.ROLL_BACK, or roll_back() in the loop's body, or after the loop",
            )
