"""One look: one forward pass over the rows of all probes, of which each reads its own part."""

from collections.abc import Mapping, Sequence

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.attach.tap import Tap
from darklantern.watch.probes import Floats, Probe, Reading, Seen
from darklantern.watch.rows import Bytes
from darklantern.watch.spans import SpanCounter


class Looker:
    """The probes of one watch, and what their sites held at its first look.

    The first look is held here and not in the probes, so that one probe may serve two watches.
    """

    def __init__(self, tap: Tap, probes: Sequence[Probe]) -> None:
        self._tap, self._probes = tap, list(probes)
        self._first: list[Mapping[str, Floats]] = []

    def look(self, history: SpanCounter, step: int) -> dict[str, Reading]:
        """Signal → reading. Raises SiteError or WatchError: every site must fire, every reading be finite."""
        parts = [probe.rows(history) for probe in self._probes]
        sites = tuple(dict.fromkeys(site for probe in self._probes for site in probe.sites))
        lenses = tuple(dict.fromkeys(site for probe in self._probes for site in probe.lenses))
        seen = self._tap.see(_together(parts), sites, lenses)
        ends = np.cumsum([len(rows) for rows in parts])
        pieces = [_part(seen, slice(end - len(rows), end)) for end, rows in zip(ends, parts, strict=True)]
        firsts = self._first or [piece.sites for piece in pieces]
        readings: dict[str, Reading] = {}
        for probe, piece, first in zip(self._probes, pieces, firsts, strict=True):
            readings |= _read(probe, Seen(piece.sites, piece.log_probs, piece.lenses, first), step)
        self._first = firsts
        return readings


def _read(probe: Probe, seen: Seen, step: int) -> dict[str, Reading]:
    readings = dict(zip((signal.name for signal in probe.signals), found := probe.read(seen), strict=False))
    if len(found) != len(probe.signals):
        raise WatchError(
            f"{type(probe).__name__} has {len(probe.signals)} signals and gave {len(found)} readings at step {step}",
            hint="`read` returns one reading for each signal, in their order",
        )
    for name, reading in readings.items():
        if not np.isfinite(reading.contrast):
            raise WatchError(
                f"signal {name!r} read {reading} at step {step}",
                hint="the model's values are no longer finite; training has probably diverged",
            )
    return readings


def _together(parts: Sequence[Bytes]) -> Bytes:
    if len(widths := {rows.shape[1] for rows in parts}) != 1:
        raise WatchError(
            f"the probes' rows are {', '.join(map(str, sorted(widths)))} bytes wide",
            hint="make all probes from the same trusted rows: they run in one forward pass",
        )
    return np.concatenate(parts)


def _part(seen: Seen, part: slice) -> Seen:
    return Seen(
        sites={site: value[part] for site, value in seen.sites.items()},
        log_probs=seen.log_probs[part],
        lenses={site: value[part] for site, value in seen.lenses.items()},
    )
