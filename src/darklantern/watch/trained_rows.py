"""The rows that a run was trained on between its checkpoints, as a look after the fact has them.

In: a user's function from a step to the rows trained on since the checkpoint before. Out: those rows as examples, and
of them the batch that came next, or an error that says what was expected.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from darklantern.errors import DarkLanternError, WatchError
from darklantern.watch.examples import Examples, Reader, check_alike, examples
from darklantern.watch.probes import Probe

_EXPECTED = "a function from a step to the rows trained on since the checkpoint before, as the loader yielded them"


def wanting(probes: Sequence[Probe], rows: Any) -> None:
    """Raises WatchError for `rows` that are no function, and for signals that need rows where there is none."""
    if rows is not None and not callable(rows):
        raise WatchError(
            f"rows: expected {_EXPECTED}, got {type(rows).__name__}",
            hint="rows=lambda step: (inputs[...], targets[...]), or rows[...] of tokens",
        )
    names = _names(probes, spans=True)
    if names and rows is None:
        raise WatchError(
            f"{names}: read from rows of the training data, which checkpoints do not hold",
            hint=f"give rows=, {_EXPECTED} (from --setup, as 'rows' in a dict), or leave these signals out",
        )


class TrainedRows:
    """The rows between checkpoints at `steps`, asked for when they are wanted; the newest answer alone is held."""

    def __init__(
        self,
        given: Callable[[int], Any],
        steps: Sequence[int],
        probes: Sequence[Probe],
        trusted: Examples,
        reader: Reader | None,
    ) -> None:
        self._given, self._steps, self._trusted, self._reader = given, steps, trusted, reader
        self._needed_by = _names(probes)
        self._held: tuple[int, Examples] | None = None

    def since(self, number: int) -> Examples:
        """Those trained on between checkpoint `number` − 1 and `number`, which is 1 or more. Raises WatchError."""
        if self._held is None or self._held[0] != number:
            before, self._held = self._held, None
            told = None if before is None or before[0] != number - 1 else (len(before[1]), _digest(before[1]))
            del before  # two answers at once may be more than there is room for
            self._held = number, self._read(self._steps[number])
            if told is not None:
                self._check_since(number, *told)
        return self._held[1]

    def _check_since(self, number: int, count: int, digest: str) -> None:
        """Raises WatchError for rows that begin with all of those before: from the run's start, and not since then."""
        assert self._held is not None
        rows, (first, before, now) = self._held[1], self._steps[number - 2 : number + 1]
        grows = len(rows) * (before - first) > count * (now - before)  # more a step: no epoch of the same rows
        if count and grows and _digest(rows.take(slice(count))) == digest:
            raise WatchError(
                f"rows({now}) begins with all {count:,} rows of rows({before})",
                hint=f"give those trained on since step {before}, and none from before it",
            )

    def next(self, number: int) -> Examples | None:
        """As many as a step takes, of the first trained on after checkpoint `number`; after the last, of the newest.

        None where the function gives none. Raises WatchError where a probe needs them.
        """
        is_last = number == len(self._steps) - 1
        after = number if is_last else number + 1
        rows = self.since(after)
        if not len(rows):
            if self._needed_by:
                raise WatchError(
                    f"rows({self._steps[after]}) gave no rows, which {self._needed_by} are read from",
                    hint=f"rows= is {_EXPECTED}",
                )
            return None
        count = -(-len(rows) // (self._steps[after] - self._steps[after - 1]))  # an epoch's last batch may be smaller
        return rows.take(slice(len(rows) - count, None) if is_last else slice(count))

    def _read(self, step: int) -> Examples:
        try:
            batch = self._given(step)
        except DarkLanternError:
            raise
        except Exception as error:  # whatever a user's function raises
            raise WatchError(
                f"rows({step}) failed: {type(error).__name__}: {error}", hint=f"rows= is {_EXPECTED}"
            ) from error
        found = examples(batch, f"rows({step})", self._reader)
        check_alike(found, self._trusted, f"rows({step}) gave examples")
        return found


def _digest(rows: Examples) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows.inputs).tobytes()).hexdigest()


def _names(probes: Sequence[Probe], spans: bool = False) -> str:
    """The signals of probes that take fresh rows, or, with `spans`, count spans, for whoever may read them."""
    needs = [probe for probe in probes if probe.takes_fresh or (spans and probe.counts_spans)]
    return ", ".join(dict.fromkeys(signal.shown for probe in needs for signal in probe.signals))
