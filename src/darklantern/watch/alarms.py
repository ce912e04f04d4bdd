"""An alarm: what crossed which threshold, what was clean before, and what stands out since."""

from dataclasses import dataclass
from typing import Literal

from darklantern.watch.judging.detectors import Threshold
from darklantern.watch.keeping import Kept
from darklantern.watch.probes import HELD_OUT
from darklantern.watch.screening import Screen
from darklantern.watch.spans import Candidate


@dataclass(frozen=True, repr=False)
class Alarm:
    """A crossing of a threshold. Of one by a held-out monitor neither its text nor its repr tells more than that."""

    step: int
    signal: str
    """the signal that stood highest"""
    statistic: float
    threshold: Threshold
    clean: Kept | None
    """the last state from before the rise, however old; None when the statistic rose with the first looks"""
    suspects: tuple[Candidate, ...]
    """spans that stand out in the token rows trained on since then, `Settings.history` looks back at most"""
    screen: Screen | None = None
    """tells the suspect examples; None when nothing stands out, so that a person must look"""
    says: Literal["circuit", "novelty"] = "circuit"
    """what it claims: novelty is what new but harmless data raises too"""
    channel: str = "joint"
    """in which it was raised: the joint statistic of signals that claim a circuit, or a signal of its own"""

    @property
    def held_out(self) -> bool:
        """Whether a held-out monitor raised it."""
        return self.signal == HELD_OUT

    def __repr__(self) -> str:
        return f"<alarm at {self}>"

    earlier: int = 0
    """alarms of this run before it: the rate is of a first alarm, since a reaction makes the run another"""

    def __str__(self) -> str:
        limit = self.threshold
        rate = f"false-alarm rate at most {limit.alpha:.1%} a run" if limit.calibrated else "uncalibrated"
        if limit.calibrated and self.earlier:
            rate = "no rate is claimed after an earlier alarm"
        what = "" if self.says == "circuit" else ", which new but harmless data raises too"
        how = "" if self.held_out else f", threshold {limit.value:.1f}"
        return (
            f"step {self.step}: {self.signal} {f'at {self.statistic:.1f}' if how else 'alarms'}{what}{how} "
            f"({rate}; {limit.reason}). Last clean state: {f'step {self.clean.step}' if self.clean else 'none'}"
        )
