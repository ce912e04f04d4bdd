"""Reference runs: what a watch's signals do in harmless runs of one recipe, and how high they reach."""

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from darklantern.errors import RecordError
from darklantern.records.exact import Name, Sha256, Text, Value

T = TypeVar("T")
Detector = Literal["ewma", "cusum", "anchored"]
"""what a signal's change is counted from, and how it is gathered over looks"""
LEAST_SPREAD: Final = 2.0**-126
"""the smallest float32 above 0 in full precision: models read nothing finer. The largest contrast that a look believes,
1e150, divided by it is finite; by 5e-324 any change would be infinitely many deviations, and an alarm"""


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


def check_references(references: References) -> None:
    """Raises RecordError, naming what is wrong, where the numbers of `references` cannot be those of any runs.

    For references that were read: each field is of its type by then, but they may be of a peer, or written by hand.
    """
    arms = {"clean": references.calibrated_on} | {arm.name: arm.calibrated_on for arm in references.strata}
    if twice := _twice([signal.name for signal in references.signals]):
        raise _refused(f"signal {twice[0]!r} once", "it twice")
    if twice := _twice(["clean", *(arm.name for arm in references.strata)]):
        raise _refused(f"one arm called {twice[0]!r}", "two")
    if not references.standardised_on:
        raise _refused("seeds that were standardised on", "none")
    for name, seeds in {"the runs standardised on": references.standardised_on, **arms}.items():
        if again := _twice(seeds):
            raise _refused(f"seed {again[0]} once among those of {name}", "it twice")
    for name, seeds in arms.items():
        if shared := sorted(set(seeds) & set(references.standardised_on)):
            raise _refused(f"seed {shared[0]} of {name} on one side", "it among those standardised on too")
    for signal in references.signals:
        _check_signal(signal)
    for what, runs, maxima in _all_maxima(references):
        if not runs or len(maxima) != len(runs):
            raise _refused(f"a maximum {what} for each of the seeds", f"{len(maxima)} for {len(runs)}")
        _check_finite(f"maxima {what}", maxima)


def _check_signal(signal: SignalReference) -> None:
    name, looks = repr(signal.name), len(signal.mean)
    if not looks or looks != len(signal.spread):
        raise _refused(f"a mean and a spread of {name} for each look", f"{looks} and {len(signal.spread)}")
    _check_finite(f"means of {name}", signal.mean)
    _check_finite(f"spreads of {name}", signal.spread)
    _check_finite(f"the scale of {name}", [signal.top])
    for look, (mean, spread) in enumerate(zip(signal.mean, signal.spread, strict=True), 1):
        # What is less than a mean's own last bit is no deviation from it that a float could tell.
        least = max(LEAST_SPREAD, abs(mean) * sys.float_info.epsilon)
        if spread < least:
            raise _refused(f"a spread of {name} of at least {least:.3g} at look {look}", f"{spread:.3g}")


def _check_finite(what: str, values: Sequence[float]) -> None:
    if wrong := [value for value in values if not math.isfinite(value)]:
        raise _refused(f"{what} that are finite", str(wrong[0]))


def _all_maxima(references: References) -> Iterator[tuple[str, Sequence[int], Sequence[float]]]:
    """Of each arm, the joint statistic's and each monitor's: what it is called, its seeds, its maxima."""
    arms: list[tuple[str, Sequence[int], Sequence[float], Mapping[str, Sequence[float]]]] = [
        ("clean", references.calibrated_on, references.maxima, references.behaviours),
        *((arm.name, arm.calibrated_on, arm.maxima, arm.behaviours) for arm in references.strata),
    ]
    for arm, seeds, joint, apart in arms:
        yield f"in {arm}", seeds, joint
        for name, maxima in apart.items():
            yield f"of {name!r} in {arm}", seeds, maxima


def _twice(values: Sequence[T]) -> list[T]:
    return [value for value, count in Counter(values).items() if count > 1]


def _refused(expected: str, got: str) -> RecordError:
    return RecordError(
        f"these references are not to be believed: expected {expected}, got {got}",
        hint="they were altered, or made by hand: make them anew with `darklantern watch calibrate`",
    )
