"""Brute force: the level and the run of every one of the 78,732 full assignments."""

from itertools import product

import numpy as np
import pytest

from darklantern.assess import evaluate
from darklantern.assess.table import RUNS
from darklantern.records.assessments import LEVELS

from .answers import TABLE


@pytest.fixture(scope="session")
def outcomes() -> tuple[np.ndarray, np.ndarray]:
    scales = [criterion.values for criterion in TABLE.criteria.values()]
    found = [evaluate(TABLE, dict(zip(TABLE.criteria, values, strict=True))) for values in product(*scales)]
    shape = [len(scale) for scale in scales]
    return (
        np.array([LEVELS.index(outcome.level) for outcome in found]).reshape(shape),
        np.array([RUNS.index(outcome.run) for outcome in found]).reshape(shape),
    )


@pytest.fixture(scope="session")
def levels(outcomes) -> np.ndarray:
    return outcomes[0]


@pytest.fixture(scope="session")
def runs(outcomes) -> np.ndarray:
    return outcomes[1]
