"""One look: one forward pass over the rows of all probes, of which each reads its own part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.attach.tap import Tap
from darklantern.watch.probes import HELD_OUT, Array, Asked, Now, Probe, Reading
from darklantern.watch.seen import Floats, Seen, Values

Scores = tuple[Floats, Floats]
"""anomaly scores of fresh training rows, and of as many fresh trusted ones"""


@dataclass(frozen=True)
class Looked:
    """What came of a look."""

    readings: Mapping[str, Reading]
    """by signal"""
    scores: Mapping[str, Scores]
    """by signal whose detector bets"""


class Looker:
    """The probes of one watch, and the notes that they left at earlier looks.

    Notes are held here and not in the probes, so that one probe may serve two watches, and a rollback takes them back.
    """

    def __init__(self, tap: Tap, probes: Sequence[Probe], history: int) -> None:
        self._tap, self._probes = tap, list(probes)
        self._history = history
        """looks that a rollback may go back"""
        self._first: list[Any] | None = None
        self._notes: list[list[Any]] = []
        """of each look since the first, for each probe"""
        self._sites: dict[str, tuple[str, ...]] = {}

    def look(self, now: Now) -> Looked:
        """Raises SiteError or WatchError: every site must fire, every reading be finite."""
        taken: list[int] = []
        asked = [
            probe.inputs(replace(now, trusted=now.trusted.turn(taken), notes=self._earlier(number, probe)))
            for number, probe in enumerate(self._probes)
        ]
        values = self._run(asked)
        firsts: list[Any] = []
        notes: list[Any] = []
        readings: dict[str, Reading] = {}
        scores: dict[str, Scores] = {}
        for number, (probe, ask, own) in enumerate(zip(self._probes, asked, values, strict=True)):
            seen = Seen(own, now.step, ask.about, self._tap.weights(probe.weights), None, self._earlier(number, probe))
            notes.append(probe.note(seen))
            firsts.append(notes[-1] if self._first is None else self._first[number])
            seen = replace(seen, first=firsts[-1])
            readings |= _read(probe, seen)
            scores |= probe.scores(seen)
        if self._first is None:
            self._first = firsts
        else:
            self._notes.append(notes)
            del self._notes[: -self._history - max(probe.window for probe in self._probes)]
        self._tap.looked()
        return Looked(readings, scores)

    def turn_to(self, tap: Tap) -> None:
        """From now on look through another tap, keeping the notes."""
        self._tap = tap

    @property
    def notes(self) -> list[tuple[Probe, Any]]:
        """What each probe noted at the newest look."""
        newest = self._notes[-1] if self._notes else self._first or [None] * len(self._probes)
        return list(zip(self._probes, newest, strict=True))

    def forget(self, looks: int) -> None:
        """Drop the notes of the newest `looks` looks."""
        if looks:
            del self._notes[-looks:]

    def _earlier(self, number: int, probe: Probe) -> tuple[Any, ...]:
        return tuple(notes[number] for notes in self._notes[-probe.window :]) if probe.window else ()

    def _run(self, asked: Sequence[Asked]) -> list[Values]:
        """One pass for each shape of rows: most often one. It ends at the deepest site that is wanted."""
        values = [Values({})] * len(asked)
        for numbers in _alike(asked):
            probes = [self._probes[number] for number in numbers]
            rows = [_inputs(asked[number]) for number in numbers]
            sites = self._named([probe.sites for probe in probes], rows[0])
            lenses = self._named([probe.lenses for probe in probes], rows[0])
            output = any(probe.output for probe in probes)
            if not sites and not output:
                raise WatchError(
                    f"{', '.join(type(probe).__name__ for probe in probes)} gave rows to run and reads nothing of them",
                    hint="name `sites`, or say `output = True`; a probe of weights alone asks for no rows",
                )
            seen = self._tap.see(np.concatenate(rows), sites, lenses, output)
            ends = np.cumsum([len(each) for each in rows])
            for number, probe, end, each in zip(numbers, probes, ends, rows, strict=True):
                part = seen.part(slice(int(end) - len(each), int(end)))
                own, read_out = self._named([probe.sites], each), self._named([probe.lenses], each)
                values[number] = Values(
                    {site: part.sites[site] for site in own},
                    part.output if probe.output else None,
                    {site: part.lenses[site] for site in read_out},
                )
        return values

    def _named(self, patterns: Sequence[Sequence[str]], inputs: Array) -> tuple[str, ...]:
        """The sites that patterns name in a run on `inputs`, each once."""
        for pattern in {pattern for each in patterns for pattern in each} - self._sites.keys():
            self._sites[pattern] = self._tap.sites(pattern, inputs)
        return tuple(dict.fromkeys(site for each in patterns for pattern in each for site in self._sites[pattern]))


def _alike(asked: Sequence[Asked]) -> Iterator[list[int]]:
    """Numbers of those whose rows can stand in one pass: of one shape and kind."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, each in enumerate(asked):
        if each.inputs is not None and len(each.inputs):
            kind = "i" if each.inputs.dtype.kind in "ui" else each.inputs.dtype.kind
            groups.setdefault((each.inputs.shape[1:], kind), []).append(number)
    yield from groups.values()


def _inputs(asked: Asked) -> Array:
    assert asked.inputs is not None
    return asked.inputs


def _read(probe: Probe, seen: Seen) -> dict[str, Reading]:
    found = list(probe.read(seen))
    if len(found) != len(probe.signals):
        raise WatchError(
            f"{type(probe).__name__} has {len(probe.signals)} signals and gave {len(found)} readings "
            f"at step {seen.step}",
            hint="`read` returns one reading for each signal, in their order",
        )
    readings = {signal.name: reading for signal, reading in zip(probe.signals, found, strict=True)}
    for signal in probe.signals:
        reading = readings[signal.name]
        if not (np.isfinite(reading.value) and np.isfinite(reading.placebo)):
            said = f"{HELD_OUT} read no finite number" if signal.held_out else f"signal {signal.name!r} read {reading}"
            raise WatchError(
                f"{said} at step {seen.step}",
                hint="the model's values are no longer finite; training has probably diverged",
            )
    return readings
