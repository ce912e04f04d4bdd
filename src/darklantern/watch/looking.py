"""One look: one forward pass over the rows of all probes, of which each reads its own part."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.attach.tap import Tap
from darklantern.watch.first_notes import matters, unpack
from darklantern.watch.probes import HELD_OUT, Array, Asked, Now, Probe, Reading
from darklantern.watch.seen import Floats, Seen, Values

_DTYPES = {"i": np.int64, "b": np.bool_, "c": np.complex64}
LARGEST: Final = 1e150
"""contrast that is believed: its square, and sums of such squares, are finite too, as spreads over looks need them"""
Scores = tuple[Floats, Floats]
"""anomaly scores of fresh training rows, and of as many fresh trusted ones"""


@dataclass(frozen=True)
class Looked:
    """What came of a look."""

    readings: Mapping[str, Reading]
    """by signal"""
    scores: Mapping[str, Scores]
    """by signal whose detector bets"""


class Pass(NamedTuple):
    """One forward pass: the shape of its rows, their kind, and the numbers of the probes that have rows in it."""

    shape: tuple[int, ...]
    """of one row"""
    kind: str
    """`i` for whole numbers, otherwise NumPy's"""
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Noted:
    """What looks left behind, as of one of them."""

    earlier: tuple[Sequence[Any], ...] = ()
    """of the newest looks since the first, as far as any window reaches: for each probe, None where it has none"""
    newest: Sequence[Any] | None = None
    """of the newest look alone, for each probe"""


class Looker:
    """The probes of one watch, and the notes that they left at earlier looks.

    Notes are held here and not in the probes, so that one probe may serve two watches, and a rollback takes them back.
    """

    def __init__(self, tap: Tap, probes: Sequence[Probe]) -> None:
        self._tap, self._probes = tap, list(probes)
        self._window = max((probe.window for probe in probes), default=0)
        self._first: list[Any] | None = None
        self.noted = Noted()
        """what a state is kept with, to be set again when it is restored"""
        self._sites: dict[str, tuple[str, ...]] = {}

    def look(self, now: Now) -> Looked:
        """Raises SiteError or WatchError: every site must fire, every reading and contrast be finite."""
        with self.aside():
            asked = self.ask(now)
            return self.read(now.step, asked, self.passes(asked))

    def aside(self) -> AbstractContextManager[None]:
        """Around `ask` and `read`: probes draw random numbers, and call the model, without the training noticing."""
        return self._tap.aside()

    def ask(self, now: Now) -> list[Asked]:
        """What each probe wants to run. Runs nothing."""
        taken: list[int] = []
        return [
            probe.inputs(replace(now, trusted=now.trusted.turn(taken), notes=self._earlier(number, probe)))
            for number, probe in enumerate(self._probes)
        ]

    def passes(self, asked: Sequence[Asked]) -> list[Pass]:
        """One pass for each shape of rows: most often one."""
        groups: dict[tuple[tuple[int, ...], str], list[int]] = {}
        for number, each in enumerate(asked):
            if each.inputs is not None and len(each.inputs):
                groups.setdefault(_shape(each.inputs), []).append(number)
        return [Pass(*shape, tuple(numbers)) for shape, numbers in groups.items()]

    def read(self, step: int, asked: Sequence[Asked], passes: Sequence[Pass]) -> Looked:
        """Run `passes`, and read what the probes asked for. On several ranks all make the same passes."""
        values = self._run(asked, passes)
        weights = self._weights()
        firsts: list[Any] = []
        notes: list[Any] = []
        readings: dict[str, Reading] = {}
        scores: dict[str, Scores] = {}
        for number, (probe, ask, own) in enumerate(zip(self._probes, asked, values, strict=True)):
            held = {name: each for name, each in weights.items() if any(fnmatchcase(name, p) for p in probe.weights)}
            seen = Seen(own, step, ask.about, held, None, self._earlier(number, probe))
            notes.append(probe.note(seen))
            firsts.append(notes[-1] if self._first is None else self._first[number])
            seen = replace(seen, first=firsts[-1])
            readings |= _read(probe, seen)
            scores |= probe.scores(seen)
        if self._first is None:
            self._first = firsts
        else:
            windowed = [note if probe.window else None for probe, note in zip(self._probes, notes, strict=True)]
            earlier = (*self.noted.earlier, windowed)[-self._window :] if self._window else ()
            self.noted = Noted(earlier, notes)
        self._tap.looked()
        return Looked(readings, scores)

    def turn_to(self, tap: Tap) -> None:
        """From now on look through another tap, keeping the notes."""
        self._tap = tap

    @property
    def notes(self) -> list[tuple[Probe, Any]]:
        """What each probe noted at the newest look."""
        return list(zip(self._probes, self.noted.newest or self._first or [None] * len(self._probes), strict=True))

    @property
    def first(self) -> dict[int, Any]:
        """What the probes noted at the first look and hold later ones against, by their numbers."""
        return {at: note for at, note in enumerate(self._first or ()) if matters(self._probes[at])}

    def begin_from(self, data: bytes) -> frozenset[int]:
        """Hold later looks against the first one of an earlier process. The numbers of the probes that can."""
        found = unpack(data, self.first)
        self._first = [found.get(at, note) for at, note in enumerate(self._first or ())]
        return frozenset(found)

    def _earlier(self, number: int, probe: Probe) -> tuple[Any, ...]:
        return tuple(notes[number] for notes in self.noted.earlier[-probe.window :]) if probe.window else ()

    def _weights(self) -> Mapping[str, Floats]:
        """Those that any probe reads, fetched once: of a model on a device or over several ranks each is a transfer."""
        patterns = tuple(dict.fromkeys(pattern for probe in self._probes for pattern in probe.weights))
        return self._tap.weights(patterns) if patterns else {}

    def _run(self, asked: Sequence[Asked], passes: Sequence[Pass]) -> list[Values]:
        """Each pass ends at the deepest site that is wanted."""
        values = [Values({})] * len(asked)
        for each in passes:
            probes = [self._probes[number] for number in each.numbers]
            numbers = [number for number in each.numbers if _is_of(asked[number], each)]
            # On a rank that has nothing for a pass of the others, a row of zeros goes along.
            rows = [_inputs(asked[number]) for number in numbers] or [_nothing(each)]
            sites = self._named([probe.sites for probe in probes], rows[0])
            lenses = self._named([probe.lenses for probe in probes], rows[0])
            output = any(probe.output for probe in probes)
            if not sites and not output:
                raise WatchError(
                    f"{', '.join(type(probe).__name__ for probe in probes)} gave rows to run and reads nothing of them",
                    hint="name `sites`, or say `output = True`; a probe of weights alone asks for no rows",
                )
            seen = self._tap.see(np.concatenate(rows), sites, lenses, output)
            end = 0
            for number in numbers:
                probe, inputs = self._probes[number], _inputs(asked[number])
                part, end = seen.part(slice(end, end + len(inputs))), end + len(inputs)
                own, read_out = self._named([probe.sites], inputs), self._named([probe.lenses], inputs)
                values[number] = Values(
                    {site: part.sites[site] for site in own},
                    part.output if probe.output else None,
                    {site: part.lenses[site] for site in read_out},
                    part.natives,
                )
        return values

    def _named(self, patterns: Sequence[Sequence[str]], inputs: Array) -> tuple[str, ...]:
        """The sites that patterns name in a run on `inputs`, each once."""
        for pattern in {pattern for each in patterns for pattern in each} - self._sites.keys():
            self._sites[pattern] = self._tap.sites(pattern, inputs)
        return tuple(dict.fromkeys(site for each in patterns for pattern in each for site in self._sites[pattern]))


def _nothing(one: Pass) -> Array:
    return np.zeros((1, *one.shape), _DTYPES.get(one.kind, np.float32))


def _shape(inputs: Array) -> tuple[tuple[int, ...], str]:
    return tuple(inputs.shape[1:]), "i" if inputs.dtype.kind in "ui" else inputs.dtype.kind


def _is_of(asked: Asked, one: Pass) -> bool:
    return asked.inputs is not None and len(asked.inputs) > 0 and _shape(asked.inputs) == (one.shape, one.kind)


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
        # Finite parts may differ by more than a float holds: one such look would raise an alarm, or blind its channel.
        contrast = signal.contrast(Reading(float(reading.value), float(reading.placebo)))
        if not abs(contrast) <= LARGEST:
            said = f"signal {signal.name!r} read {reading}, whose contrast is {contrast}"
            raise WatchError(
                f"{f'{HELD_OUT} read too large a number' if signal.held_out else said} at step {seen.step}",
                hint=f"a contrast lies within ±{LARGEST:g}; read its logarithm where a signal grows beyond that",
            )
    return readings
