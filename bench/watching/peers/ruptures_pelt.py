"""ruptures' PELT, which is offline, run anew at each look on what there is: its documentation's setting, and swept."""

from collections.abc import Sequence

import numpy as np
import ruptures

from watching.peers.grids import GRIDS
from watching.peers.sweeping import Detector, First, serve

LEAST = 6
"""values below which there is nothing to split"""
PENALTY = 10.0
"""of the documentation's example, with the same cost"""


def _first(stream: Sequence[float], penalty: float, start: int, jump: int) -> First:
    values = np.asarray(stream, dtype=float)[:, None]
    for look in range(max(start, LEAST - 1), len(values)):
        if len(ruptures.Pelt(model="rbf", jump=jump).fit(values[: look + 1]).predict(pen=penalty)) > 1:
            return look
    return None


if __name__ == "__main__":
    pelt = Detector(
        lambda stream: _first(stream, PENALTY, 0, jump=5),
        lambda stream, strictness, start: _first(stream, strictness, start, jump=1),
    )
    serve({"PELT": pelt}, GRIDS)
