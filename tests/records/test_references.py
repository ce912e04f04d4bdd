"""References that were read are judged: each wrong one is named by what is wrong."""

import math

import pytest
from msgspec.structs import replace

from darklantern.demo.reference_runs import shipped
from darklantern.errors import RecordError
from darklantern.records.references import LEAST_SPREAD, References, SignalReference, Stratum, check_references
from darklantern.watch.judging import detectors
from darklantern.watch.looking import LARGEST

SIGNAL = SignalReference(name="a", mean=(0.0, 1.0), spread=(0.5, 0.5))
ARM = Stratum(name="inert", calibrated_on=(10, 11), maxima=(1.0, 2.0), behaviours={"b": (1.0, 2.0)})
GOOD = References(
    recipe="1" * 64,
    data="2" * 64,
    steps=(5, 10),
    signals=(SIGNAL, replace(SIGNAL, name="b")),
    standardised_on=(1, 2),
    calibrated_on=(3, 4, 5),
    maxima=(1.5, -0.5, 2.0),
    behaviours={"b": (1.0, 1.0, 1.0)},
    strata=(ARM,),
    versions={},
)


def signal(**changes: object) -> dict[str, object]:
    return {"signals": (replace(SIGNAL, **changes),)}


def arm(**changes: object) -> dict[str, object]:
    return {"strata": (replace(ARM, **changes),)}


def test_those_that_are_right_pass_and_those_that_are_shipped_do() -> None:
    check_references(GOOD)
    check_references(shipped())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (signal(mean=(), spread=()), "a mean and a spread of 'a' for each look, got 0 and 0"),
        (signal(mean=()), "'a' for each look, got 0 and 2"),
        (signal(spread=(0.5,)), "'a' for each look, got 2 and 1"),
        (signal(mean=(0.0, math.nan)), "means of 'a' that are finite, got nan"),
        (signal(spread=(0.5, math.inf)), "spreads of 'a' that are finite, got inf"),
        (signal(top=math.inf), "the scale of 'a' that are finite, got inf"),
        (signal(spread=(0.5, 5e-324)), "a spread of 'a' of at least 2.22e-16 at look 2, got 4.94e-324"),
        (signal(spread=(5e-324, 0.5)), "a spread of 'a' of at least 1.18e-38 at look 1"),
        (signal(mean=(1e20, 0.0)), "a spread of 'a' of at least 2.22e+04 at look 1, got 0.5"),
        ({"signals": (SIGNAL, SIGNAL)}, "signal 'a' once, got it twice"),
        ({"maxima": (1.5,) * 100}, "a maximum in clean for each of the seeds, got 100 for 3"),
        ({"maxima": ()}, "a maximum in clean for each of the seeds, got 0 for 3"),
        ({"maxima": (1.5, math.nan, 2.0)}, "maxima in clean that are finite, got nan"),
        ({"calibrated_on": (), "maxima": (), "behaviours": {}}, "in clean for each of the seeds, got 0 for 0"),
        ({"behaviours": {"b": (1.0,)}}, "a maximum of 'b' in clean for each of the seeds, got 1 for 3"),
        ({"standardised_on": ()}, "seeds that were standardised on, got none"),
        ({"standardised_on": (1, 1)}, "seed 1 once among those of the runs standardised on"),
        ({"calibrated_on": (3, 4, 4)}, "seed 4 once among those of clean, got it twice"),
        ({"calibrated_on": (3, 4, 2)}, "seed 2 of clean on one side, got it among those standardised on too"),
        (arm(calibrated_on=(10, 1)), "seed 1 of inert on one side"),
        (arm(maxima=(1.0,)), "a maximum in inert for each of the seeds, got 1 for 2"),
        (arm(behaviours={"b": (1.0, math.inf)}), "maxima of 'b' in inert that are finite, got inf"),
        (arm(name="clean"), "one arm called 'clean', got two"),
        ({"strata": (ARM, ARM)}, "one arm called 'inert', got two"),
    ],
)
def test_what_no_runs_can_have_given_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    with pytest.raises(RecordError) as caught:
        check_references(replace(GOOD, **changes))
    assert said in caught.value.message


def test_a_change_of_any_contrast_that_is_believed_is_finite_in_the_least_spread_that_is() -> None:
    least = replace(SIGNAL, mean=(0.0,), spread=(LEAST_SPREAD,))
    assert math.isfinite(detectors.standardise(least, 0, 2 * LARGEST))
    assert not math.isfinite(detectors.standardise(replace(least, spread=(5e-324,)), 0, 1.0))
