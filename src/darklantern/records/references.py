"""Reference runs: what a watch's signals do in harmless runs of one recipe, and how high they reach."""

from typing import Annotated, Literal

import msgspec

from darklantern.records.exact import Name, Sha256, Text, Value

Detector = Literal["ewma", "cusum", "anchored"]
"""what a signal's change is counted from, and how it is gathered over looks"""


class SignalReference(Value, frozen=True, kw_only=True):
    """How the contrast (value − placebo) of one signal changes within clean runs, look by look."""

    name: Name
    mean: tuple[float, ...]
    spread: tuple[Annotated[float, msgspec.Meta(gt=0)], ...]
    """standard deviation over runs, look by look, each pooled with the looks around it"""
    detector: Detector = "ewma"
    top: Annotated[float, msgspec.Meta(ge=1)] = 1.0
    """the signal's scale: how high its detector comes in about 1 clean run of 20; at least one standard deviation"""
    digest: Sha256 | None = None
    """hash of all that its readings come from and of how they are judged; None when it was not noted, and then no rate
    is claimed"""


class Stratum(Value, frozen=True, kw_only=True):
    """Calibration runs of one harmless arm other than clean: benign boilerplate, an inert trigger, a harmless shift."""

    name: Name
    calibrated_on: tuple[int, ...]
    """seeds, none of which a standardising run has"""
    maxima: tuple[float, ...]
    """the joint statistic's maximum in each run, in the order of their seeds"""
    behaviours: dict[str, tuple[float, ...]]
    """behavioural monitor → its own statistic's maxima, one for each run"""


class Origin(Value, frozen=True, kw_only=True):
    """Where reference runs come from, for a person who wants to make them again."""

    code: str = ""
    """darklantern's version"""
    machine: str = ""
    made: Text = ""
    """how: the command, or who collected the runs and from where"""


class References(Value, frozen=True, kw_only=True):
    """A calibration: harmless runs in two parts, one to standardise, one for run maxima.

    `calibrated_on`, `maxima` and `behaviours` are of clean runs; each other harmless arm is a stratum of its own,
    so that a false-alarm rate can hold in each and not only on average.
    """

    v: Literal[3] = 3
    recipe: Sha256
    """hash of training recipe and watch configuration: the calibration holds for no other"""
    data: Sha256
    """hash of the text that the reference runs trained on"""
    every: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """steps between looks; None when it was not noted"""
    steps: tuple[int, ...] = ()
    """at which the runs were looked at; none when it was not noted, and then no rate is claimed"""
    ranks: Annotated[int, msgspec.Meta(ge=1)] = 1
    """processes that trained together in each run: of each signal the highest of theirs counts"""
    signals: tuple[SignalReference, ...]
    standardised_on: tuple[int, ...]
    """seeds of the clean runs behind mean, spread and top"""
    calibrated_on: tuple[int, ...]
    """seeds of the clean runs behind the maxima"""
    maxima: tuple[float, ...]
    """the joint statistic's maximum in each calibration run, in the order of their seeds"""
    behaviours: dict[str, tuple[float, ...]]
    """behavioural monitor, or signal of novelty → its own statistic's maxima, one for each calibration run"""
    strata: tuple[Stratum, ...] = ()
    versions: dict[str, str]
    origin: Origin = Origin()
