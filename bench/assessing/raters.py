"""Raters: alpha beside the package of that name, what its bootstrap covers, and the power of a track record."""

import importlib.metadata
from typing import Any

import krippendorff
import numpy as np
from rich.console import Console
from rich.progress import track

from assessing.lines import SEED, Line, line
from darklantern.assess import load
from darklantern.assess.tracking import agreement, alpha, disagreement, every_level, power

MATRICES = 500
PANELS = 300
POWERS = {20: 0.19, 80: 0.50, 160: 0.76}
DIFFER = {"": 0.496, "ANBGEFK": 0.362, "ANBGEFKW": 0.306, "ANBGEFKWU": 0.171, "UWG": 0.309}


def lines() -> list[Line]:
    """All lines of raters."""
    return [_alphas(), _covered(), _powers(), _panels()]


def _alphas() -> Line:
    """Random answers with gaps, nominal and ordinal."""
    rng, apart = np.random.default_rng(SEED), 0.0
    for _ in track(range(MATRICES), "alphas", console=Console(stderr=True)):
        said = rng.integers(4, size=(rng.integers(2, 7), rng.integers(4, 40))).astype(float)
        said[rng.random(said.shape) < rng.choice([0.0, 0.2, 0.5])] = np.nan
        for scale in ("nominal", "ordinal"):
            found = alpha(said, scale)  # type: ignore[arg-type]
            if found is not None:
                given: dict[str, Any] = {"reliability_data": said, "level_of_measurement": scale}
                apart = max(apart, abs(found - krippendorff.alpha(**given, value_domain=[0.0, 1.0, 2.0, 3.0])))
    made = line("raters: alpha, largest difference", 0, "", "≤ 1e-9", apart <= 1e-9, {"matrices": MATRICES})
    return made | {
        "value": float(apart),
        "peer": "krippendorff",
        "peer_version": importlib.metadata.version("krippendorff"),
    }


def _covered() -> Line:
    """How often a bootstrap interval of 20 findings holds the alpha of endlessly many."""
    rng, held = np.random.default_rng(SEED), 0
    truth = alpha(_panel(rng, 20_000)) or 0.0
    for number in track(range(PANELS), "panels", console=Console(stderr=True)):
        found = agreement(_panel(rng, 20), draws=500, seed=number)
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    share = held / PANELS
    made = line("raters: bootstrap interval holds alpha", 0, "share", "0.83 to 0.98", 0.83 <= share <= 0.98, {})
    return made | {
        "value": round(share, 3),
        "detail": {"seed": SEED, "raters": 3, "items": 20, "alpha": round(truth, 3)},
    }


def _panel(rng: np.random.Generator, items: int) -> np.ndarray:
    moved = (rng.random((3, items)) < 0.45) * np.where(rng.random((3, items)) < 0.5, 1, -1)
    return np.clip(rng.integers(3, size=items) + moved, 0, 2)


def _powers() -> Line:
    found = {resolved: power(resolved, draws=40_000, seed=SEED) for resolved in POWERS}
    apart = max(abs(found[resolved] - said) for resolved, said in POWERS.items())
    detail = {"power": {str(resolved): round(each, 3) for resolved, each in found.items()}}
    made = line("raters: power of a track record, largest difference", 0, "", "≤ 0.03", apart <= 0.03, detail)
    return made | {"value": round(apart, 4)}


def _panels() -> Line:
    levels = every_level(load())
    found = {measured: disagreement(levels, measured, seed=SEED) for measured in DIFFER}
    apart = max(abs(found[measured].differ - said) for measured, said in DIFFER.items())
    detail = {"differ": {measured or "none": round(each.differ, 4) for measured, each in found.items()}}
    made = line("raters: two raters differ, largest difference", 0, "", "≤ 0.012", apart <= 0.012, detail)
    return made | {"value": round(apart, 4)}
