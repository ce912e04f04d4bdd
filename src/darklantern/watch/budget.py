"""How often to look: as often as the budget allows, by the measured times of steps and looks."""

import math
from collections import deque
from statistics import median

from darklantern.errors import WatchError

WARM_UP = 12
"""steps that are timed before the first look is due; the first two, which warm caches and compilers, do not count"""
FIRST = 100
"""steps at most to the first look, whatever the self-test took: what it costs is known only then"""
NEAR = 50
"""newest steps and looks whose median is taken"""


class Cadence:
    """When looks are due, and what they cost.

    With `every`, each so many steps. Without, so that looks take `overhead` of the time that steps take: measured on
    the first steps, and again after each look, since a longer context or a busier machine changes both. A cadence
    that references hold for is kept, and what it costs beyond the budget is said.
    """

    def __init__(self, every: int | None, overhead: float) -> None:
        if not 0 < overhead < 1:
            raise WatchError(
                f"expected an overhead between 0 and 1, got {overhead:g}", hint="overhead=0.01 is one per cent"
            )
        self.overhead = overhead
        self.every, self._fixed = every, every is not None
        self._last = 0
        self._steps: deque[float] = deque(maxlen=NEAR)
        self._looks: deque[float] = deque(maxlen=NEAR)
        self._timed = 0
        self._tested = False
        """the only look so far is the self-test, which also warmed up caches and compilers"""

    def start(self, step: int, seconds: float) -> None:
        """The self-test before the first step took so long. It warms up too: as a measure it is dropped later."""
        self._last, self._tested = step, True
        self._looks.append(seconds)

    def fix(self, every: int) -> None:
        """Look each so many steps, whatever it costs."""
        self.every, self._fixed = every, True

    def stepped(self, seconds: float) -> None:
        """One step of the loop took so long."""
        self._timed += 1
        if self._timed > 2:
            self._steps.append(seconds)
        if not self._fixed and self.every is None and self._timed >= WARM_UP:
            self._choose()

    def looked(self, step: int, seconds: float) -> None:
        """A look at `step` took so long."""
        if self._tested:
            self._looks.clear()
            self._tested = False
        self._last = step
        self._looks.append(seconds)
        if not self._fixed:
            self._choose()

    def back_to(self, step: int) -> None:
        """The loop goes on from `step`."""
        self._last = step

    def due(self, step: int) -> bool:
        """Whether a look is due after `step` updates."""
        if self.every is None:
            return False
        return step % self.every == 0 if self._fixed else step >= self._last + self.every

    @property
    def expected(self) -> float | None:
        """The share of the steps' time that looks take at this cadence; None before both were measured."""
        if not self._steps or not self._looks or self.every is None:
            return None
        return median(self._looks) / (self.every * median(self._steps))

    def _choose(self) -> None:
        if self._steps and self._looks:
            wanted = median(self._looks) / (self.overhead * max(median(self._steps), 1e-9))
            self.every = max(1, min(math.ceil(wanted), FIRST) if self._tested else math.ceil(wanted))
