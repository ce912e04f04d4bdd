"""An alarm: what crossed which threshold, what was clean before, and what stands out since."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from darklantern.drawing.lettering import harmless
from darklantern.watch.judging.detectors import Threshold, percent
from darklantern.watch.keeping import Kept
from darklantern.watch.monitors import HeldOutScreen
from darklantern.watch.probes import HELD_OUT
from darklantern.watch.screening import Screen
from darklantern.watch.spans import Candidate


@dataclass(frozen=True, repr=False)
class Alarm:
    """A crossing of a threshold. Of one by a held-out monitor nothing here tells more than that: see `sealed`."""

    step: int
    signal: str
    """the signal that stood highest"""
    statistic: float
    threshold: Threshold
    """of a run's first alarm with the rate of its channel; later ones claim none, since a reaction makes the run
    another"""
    clean: Kept | None
    """the last state from before the rise, however old; None when the statistic rose with the first looks"""
    suspects: tuple[Candidate, ...]
    """spans that stand out in the token rows trained on since then, `Settings.history` looks back at most; none is told
    where a held-out monitor alarms"""
    screen: Screen | None = None
    """tells the suspect examples; None when nothing stands out, so that a person must look"""
    says: Literal["circuit", "novelty"] = "circuit"
    """what it claims: novelty is what new but harmless data raises too"""
    channel: str = "joint"
    """in which it was raised: the joint statistic of signals that claim a circuit, or a signal of its own"""
    earlier: int = 0
    """alarms of this run before it, the undone ones too"""
    over_all: float | None = None
    """the rate of a false alarm in any channel that claims one, where several share it"""

    @property
    def held_out(self) -> bool:
        """Whether a held-out monitor raised it."""
        return self.signal == HELD_OUT

    def __repr__(self) -> str:
        return f"<alarm at {self}>"

    def __str__(self) -> str:
        limit = self.threshold
        rate = f"false-alarm rate at most {percent(limit.alpha)} a run" if limit.calibrated else "uncalibrated"
        if limit.calibrated and self.over_all is not None:
            rate += f" in its channel, {percent(self.over_all)} over all"
        what = "" if self.says == "circuit" else ", which new but harmless data raises too"
        how = "" if self.held_out else f", threshold {limit.value:.1f}"
        return harmless(  # a signal's name may be a peer's, and this goes to terminals
            f"step {self.step}: {self.signal} {f'at {self.statistic:.1f}' if how else 'alarms'}{what}{how} "
            f"({rate}; {limit.reason}). Last clean state: {f'step {self.clean.step}' if self.clean else 'none'}"
        )


def sealed(alarm: Alarm, spans_shown: bool = False) -> Alarm:
    """`alarm` as its owner may see it: of a held-out monitor not how high it stood, against what, and in which channel.

    Nor what stands out in the rows, unless `spans_shown`: it is what the monitor alarmed at, most often. What the loop
    needs stays: the clean state, and the screen, which says nothing of itself.
    """
    if not alarm.held_out:
        return alarm
    unseen = replace(alarm.threshold, value=math.nan)
    alarm = replace(alarm, statistic=math.nan, threshold=unseen, channel=HELD_OUT)
    if spans_shown:
        return alarm
    return replace(alarm, suspects=(), screen=None if alarm.screen is None else HeldOutScreen(alarm.screen))


def claimed(limit: Threshold, earlier: int) -> Threshold:
    """What a channel's limit claims at an alarm that `earlier` ones of its run came before."""
    if not earlier or not limit.calibrated:
        return limit
    return replace(limit, alpha=math.nan, calibrated=False, reason="no rate is claimed after an earlier alarm of a run")
