"""What a run's looks read, written whole into its folder as it goes, so that the run can be a reference for others.

In: a watch with a folder, after each look. Out: `looks.jsonl`, of which the first line says what was watched and how,
and each other one is a look. Held-out monitors are in neither: a folder is for whoever may see the run.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from darklantern.errors import WatchError
from darklantern.files import read_plain
from darklantern.records.exact import Value
from darklantern.watch import table
from darklantern.watch.attach.tap import Tap
from darklantern.watch.digests import hashed
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


class Look(Value, frozen=True, kw_only=True, tag_field="line", tag="look"):
    """One look. `looks` are those that stood after it: a rollback takes some away."""

    step: int
    looks: int
    readings: dict[str, tuple[float, float]]
    """signal → value and placebo"""


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
        self._begun = False
        self._written = 0
        self._failed = False

    def __call__(self, watch: Any) -> None:
        """Raises StoreError, once: a record that lacks a look is none, so nothing is added to it."""
        folder, trace = watch.folder, watch.trace
        if folder is None or self._failed:
            return
        self._failed = True
        if not self._begun:
            add_line(folder / LOOKS, self._what(watch), sync=False)
            self._begun = True
        for past in trace.past[self._written :]:
            shown = {name: past.readings[name] for name in trace.shown}
            readings = {name: (float(each.value), float(each.placebo)) for name, each in shown.items()}
            add_line(folder / LOOKS, Look(step=past.step, looks=len(trace.steps), readings=readings), sync=False)
        self._written, self._failed = len(trace.past), False

    def _what(self, watch: Any) -> Begun:
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
        )


def _brief(value: Any) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def recorded(folder: Path) -> Recorded:
    """The run that a folder holds. Raises WatchError for one that is not there, cut off, or more than one run."""
    path = folder / LOOKS
    try:
        data = read_plain(path, LARGEST)
        lines = [msgspec.json.decode(line, type=Begun | Look) for line in data.splitlines() if line]
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise WatchError(
            f"{folder} holds no whole record of a run: {LOOKS}: {why}",
            hint="a watch with run=FOLDER writes one, from its first look on",
        ) from error
    heads = [line for line in lines if isinstance(line, Begun)]
    looks = [line for line in lines if isinstance(line, Look)]
    if len(heads) != 1 or not looks or not isinstance(lines[0], Begun):
        raise WatchError(
            f"{folder} holds {len(heads)} beginnings of a run and {len(looks)} looks",
            hint="a reference run is one watch from its start to its end, in a folder of its own",
        )
    _check_whole(folder, heads[0], looks)
    return Recorded(folder, heads[0], tuple(looks))


def _check_whole(folder: Path, begun: Begun, looks: Sequence[Look]) -> None:
    names = {signal.name for signal in begun.signals}
    for number, look in enumerate(looks, 1):
        if look.looks != number:
            raise WatchError(
                f"the run in {folder} was rolled back at step {look.step}",
                hint="in reference runs alarms are only logged: on_alarm=Reaction.LOG",
            )
        if look.readings.keys() != names:
            raise WatchError(
                f"the look at step {look.step} in {folder} reads {sorted(look.readings)}, not {sorted(names)}",
                hint="the file was altered; run it again",
            )
    for earlier, look in pairwise(looks):
        if look.step <= earlier.step:
            raise WatchError(
                f"in {folder} the look at step {look.step} comes after that at step {earlier.step}",
                hint="the file was altered; run it again",
            )
