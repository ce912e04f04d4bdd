"""Reference runs: what a watch's signals do in clean runs of one recipe, and how high they reach."""

from typing import Annotated

import msgspec

from darklantern.records.exact import Name, Sha256, Value


class SignalReference(Value, frozen=True, kw_only=True):
    """How the contrast (value − placebo) of one signal changes within clean runs, look by look."""

    name: Name
    mean: tuple[float, ...]
    spread: Annotated[float, msgspec.Meta(gt=0)]
    """standard deviation over runs, pooled over looks"""


class References(Value, frozen=True, kw_only=True):
    """A calibration: clean runs in two parts, one to standardise, one for run maxima."""

    recipe: Sha256
    """hash of training recipe and watch configuration: the calibration holds for no other"""
    data: Sha256
    """hash of the text that the reference runs trained on"""
    signals: tuple[SignalReference, ...]
    standardised_on: tuple[int, ...]
    """seeds of the runs behind mean and spread"""
    calibrated_on: tuple[int, ...]
    """seeds of the runs behind the maxima"""
    maxima: tuple[float, ...]
    """the joint statistic's maximum in each calibration run, in the order of their seeds"""
    behaviours: dict[str, tuple[float, ...]]
    """behavioural monitor → its own statistic's maxima, one for each calibration run"""
    versions: dict[str, str]
