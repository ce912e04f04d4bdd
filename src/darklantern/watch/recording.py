"""What a run's looks read, written whole into its folder as it goes, so that the run can be a reference for others.

In: a watch with a folder, after each look. Out: `looks.jsonl`, of which the first line says what was watched and how,
and each other one is a look, or says that another process went on with the run. Held-out monitors are in none: a folder
is for whoever may see the run.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from darklantern.errors import WatchError
from darklantern.files import read_plain, write_whole
from darklantern.records.exact import Value
from darklantern.watch import table
from darklantern.watch.attach.tap import Tap
from darklantern.watch.digests import hashed
from darklantern.watch.first_notes import FIRST, pack
from darklantern.watch.judging.calibration import versions
from darklantern.watch.probes import Reading, Signal
from darklantern.watch.runs.files import add_line

LOOKS: Final = "looks.jsonl"
LARGEST: Final = 1 << 28
"""bytes of a run's looks that are read: a hundred thousand looks at forty signals"""
TEXT: Final = 200
"""characters of a recipe's text that are kept, to name it"""


class Begun(Value, frozen=True, kw_only=True, tag_field="line", tag="begun"):
    """What was watched: two runs that differ in any of it but the seed are not of one kind."""

    v: Literal[1] = 1
    seed: int
    recipe: str
    data: str
    every: Annotated[int, msgspec.Meta(ge=1)] | None
    ranks: Annotated[int, msgspec.Meta(ge=1)]
    versions: dict[str, str]
    signals: tuple[Signal, ...]
    digests: dict[str, str]
    """signal → hash of what its readings come from"""
    settings: dict[str, dict[str, bool | int | float | str | None]] = msgspec.field(default_factory=dict)
    """signal → its probe's settings, to name what differs: numbers as they are, all else by the start of a hash"""
    texts: dict[str, str] = msgspec.field(default_factory=dict)
    """recipe and data as they were given, where that was no hash; to name what differs"""
    step: Annotated[int, msgspec.Meta(ge=0)] = 0
    """at which it was begun"""
    first: str = ""
    """hash of the file of what probes noted at the first look; empty without one"""


class Look(Value, frozen=True, kw_only=True, tag_field="line", tag="look"):
    """One look. `looks` are those that stood after it: a rollback takes some away."""

    step: int
    looks: int
    readings: dict[str, tuple[float, float]]
    """signal → value and placebo"""
    before: int | None = None
    """looks that stood before it: fewer than the line above left, where a rollback came between"""


class WentOn(Value, frozen=True, kw_only=True, tag_field="line", tag="went on"):
    """Another process went on with the run from `step`, with the first `looks` of those that stood."""

    step: Annotated[int, msgspec.Meta(ge=0)]
    looks: Annotated[int, msgspec.Meta(ge=0)]
    lost: tuple[str, ...]
    """signals that read, or are judged, otherwise from there on than in a run that was not interrupted"""


Line = Begun | Look | WentOn


@dataclass(frozen=True)
class Recorded:
    """A run as its folder holds it."""

    folder: Path
    begun: Begun
    looks: tuple[Look, ...]

    @property
    def steps(self) -> tuple[int, ...]:
        """At which it was looked at."""
        return tuple(look.step for look in self.looks)

    @property
    def contrasts(self) -> dict[str, list[float]]:
        """Signal → what each look says of it, its placebo taken off."""
        return {
            s.name: [s.contrast(Reading(*look.readings[s.name])) for look in self.looks] for s in self.begun.signals
        }


class Recorder:
    """Writes the looks of one watch, as its `on_look`. Costs a line for each."""

    def __init__(self, tap: Tap, seed: int, recipe: str, data: str) -> None:
        self._tap, self._seed, self._recipe, self._data = tap, seed, hashed(recipe), hashed(data)
        self._texts = {what: text[:TEXT] for what, text in (("recipe", recipe), ("data", data)) if text != hashed(text)}
        self._step = 0
        self._went_on: WentOn | None = None
        self._begun = False
        self._written = 0
        self._failed = False

    def begins(self, step: int) -> None:
        """The watch begins so, or goes on from there: with a trainer, that is known only as it starts to train."""
        self._step = step

    def goes_on(self, told: WentOn, written: int) -> None:
        """What it writes comes after what an earlier process wrote: so many looks are there already."""
        self._went_on, self._written = told, written

    def __call__(self, watch: Any) -> None:
        """Raises StoreError, once: a record that lacks a look is none, so nothing is added to it."""
        folder, trace = watch.folder, watch.trace
        if folder is None or self._failed:
            return
        self._failed = True
        if not self._begun:
            add_line(folder / LOOKS, self._went_on or self._beginning(watch, folder), sync=False)
            self._begun = True
        for at, past in enumerate(trace.past[self._written :], self._written + 1):
            # What stood once it was answered. A look that comes late, since that was cut off, is not followed by what
            # happened after others.
            looks = len(trace.steps) if at == len(trace.past) else trace.past[at].before
            shown = {name: past.readings[name] for name in trace.shown}
            readings = {name: (float(each.value), float(each.placebo)) for name, each in shown.items()}
            look = Look(step=past.step, looks=looks, readings=readings, before=past.before)
            add_line(folder / LOOKS, look, sync=False)
        self._written, self._failed = len(trace.past), False

    def _beginning(self, watch: Any, folder: Path) -> Begun:
        begun = self.what(watch)
        # Of several ranks each has notes of its own.
        data = pack(watch.first_notes) if self._tap.ranks.count == 1 and watch.first_notes else b""
        if not data:
            return begun
        write_whole(folder / FIRST, data)
        return msgspec.structs.replace(begun, first=hashlib.sha256(data).hexdigest())

    def what(self, watch: Any) -> Begun:
        """What is watched, and how."""
        return Begun(
            seed=self._seed,
            recipe=self._recipe,
            data=self._data,
            every=watch.cadence.every,
            ranks=self._tap.ranks.count,
            versions=versions(self._tap.framework),
            signals=tuple(track.signal for track in watch.trace.shown.values()),
            digests=dict(watch.digests),
            texts=self._texts,
            settings={
                signal.name: {key: _brief(value) for key, value in table.stated(probe).items()}
                for probe in watch.filer.probes
                for signal in probe.signals
                if not signal.held_out
            },
            step=self._step,
        )


def _brief(value: Any) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def recorded(folder: Path) -> Recorded:
    """The run that a folder holds. Raises WatchError for one that is not there, cut off, or more than one run."""
    lines = lines_of(folder)
    heads = [line for line in lines if isinstance(line, Begun)]
    looks = [line for line in lines if isinstance(line, Look)]
    if len(heads) != 1 or not looks or not isinstance(lines[0], Begun):
        raise WatchError(
            f"{folder} holds {len(heads)} beginnings of a run and {len(looks)} looks",
            hint="a reference run is one watch from its start to its end, in a folder of its own; a process that goes "
            "on with another's run says so: watch(..., goes_on=True, step=...)",
        )
    return Recorded(folder, heads[0], tuple(_whole(folder, heads[0], lines[1:])))


def lines_of(folder: Path) -> list[Line]:
    """What stands in the record of a folder. Raises WatchError for one that is not there, or cut off."""
    path = folder / LOOKS
    try:
        data = read_plain(path, LARGEST)
        return [msgspec.json.decode(line, type=Line) for line in data.splitlines() if line]
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise WatchError(
            f"{folder} holds no whole record of a run: {LOOKS}: {why}",
            hint="a watch with run=FOLDER writes one, from its first look on",
        ) from error


def _whole(folder: Path, begun: Begun, lines: Sequence[Line]) -> list[Look]:
    """The looks of a run that lost nothing on its way."""
    names = {signal.name for signal in begun.signals}
    looks: list[Look] = []
    for line in lines:
        if isinstance(line, Look):
            if line.looks != len(looks) + 1:
                raise WatchError(
                    f"the run in {folder} was rolled back at step {line.step}",
                    hint="in reference runs alarms are only logged: on_alarm=Reaction.LOG",
                )
            if line.readings.keys() != names:
                raise WatchError(
                    f"the look at step {line.step} in {folder} reads {sorted(line.readings)}, not {sorted(names)}",
                    hint="the file was altered; run it again",
                )
            if looks and line.step <= looks[-1].step:
                raise WatchError(
                    f"in {folder} the look at step {line.step} comes after that at step {looks[-1].step}",
                    hint="the file was altered; run it again",
                )
            looks.append(line)
        elif isinstance(line, WentOn):
            if line.lost:
                raise WatchError(
                    f"the run in {folder} was interrupted, and went on from step {line.step} without what "
                    f"{', '.join(map(repr, line.lost[:3]))}{' and others' * (len(line.lost) > 3)} knew of before",
                    hint="such a run is no reference: run it again, from its start to its end",
                )
            del looks[line.looks :]
    return looks
