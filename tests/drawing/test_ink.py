"""Inks can be read on white, and neighbours told apart by colour-blind readers."""

from itertools import combinations

import numpy as np
import pytest

from darklantern.drawing.ink import ALARM, CONTROL, INK, INSIDE, MAIN, NEUTRAL, OUTSIDE, SOFT, contrast, ramp

# Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB.
SIGHT = {
    "full": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
# Ottosson 2020, linear RGB to Oklab; two colours about 0.02 apart are just noticeably different.
LMS = np.array([[0.41222, 0.53633, 0.05145], [0.2119, 0.6807, 0.1074], [0.0883, 0.28172, 0.62998]])
LAB = np.array([[0.21045, 0.79362, -0.00407], [1.978, -2.42859, 0.45059], [0.0259, 0.78277, -0.80868]])


def seen(colour: str, sight: str) -> np.ndarray:
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return LAB @ np.cbrt(LMS @ np.clip(np.array(SIGHT[sight]) @ linear, 0, 1))


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("palette", [INSIDE, OUTSIDE, NEUTRAL, (MAIN, CONTROL), (ramp(-0.7), ramp(0.7))])
def test_neighbours_differ_at_three_times_the_just_noticeable(palette: tuple[str, ...], sight: str) -> None:
    for one, two in combinations(palette, 2):
        assert np.linalg.norm(seen(one, sight) - seen(two, sight)) >= 0.06, (one, two)


@pytest.mark.parametrize("ink", [INK, SOFT, ALARM, MAIN, *INSIDE, *OUTSIDE, *NEUTRAL])
def test_inks_can_be_read_on_paper(ink: str) -> None:
    assert contrast(ink, "#ffffff") >= 4.5


def test_contrast_of_the_extremes() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_zero_is_near_white_and_signs_differ() -> None:
    assert ramp(0) == "#f6f7f9" and ramp(1) == "#062c5e" and ramp(-1) == "#622a00"
