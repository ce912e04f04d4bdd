"""Which rows to leave out after a rollback: those that hold a span which trusted text hardly has."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.rows import Bytes
from darklantern.watch.spans import Candidate

SUSPICIOUS = 60.0
"""nats of surprise; in clean pilot runs no span came near it"""


@dataclass(frozen=True)
class Screen:
    """Spans, most surprising first; a row that holds one is suspect."""

    spans: tuple[Candidate, ...]

    def suspect(self, rows: Bytes) -> NDArray[np.bool_]:
        """True for each row (n, width) that holds one of the spans."""
        texts = [row.tobytes() for row in rows]
        return np.array([any(c.span in text for c in self.spans) for text in texts], dtype=bool)


def screen(suspects: Sequence[Candidate]) -> Screen:
    """A screen from suspected spans. Raises WatchError when there are none."""
    if not suspects:
        raise WatchError(
            f"no span of the rows since the last clean state has more than {SUSPICIOUS:g} nats of surprise",
            hint="stop and look at the rows; going on unscreened would train the same thing again",
        )
    return Screen(tuple(suspects))
