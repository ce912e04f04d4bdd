"""A run that goes on in another process: what the one before it saw, as far as its record holds it.

In: the run's looks.jsonl and first.npz, the watch that goes on, the step. Out: the looks that stand at that step, with
what each signal loses; or what differs, so that the watch begins anew. A record that no watch wrote is refused whole.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Final

from darklantern.errors import WatchError
from darklantern.files import read_plain
from darklantern.watch import agreeing
from darklantern.watch.attach.tap import Tap
from darklantern.watch.collecting import difference, settings_difference
from darklantern.watch.first_notes import FIRST, MOST, matters
from darklantern.watch.probes import Probe, Reading, Signal
from darklantern.watch.recording import LOOKS, Begun, Line, Look, Recorder, WentOn, lines_of

_LARGEST: Final = 1e150
"""that a reading may be, so that sums and squares of readings are finite"""
_STEPS: Final = 1 << 53


@dataclass(frozen=True)
class Loss:
    """What a signal loses where its run goes on in another process."""

    why: str
    anew: bool = False
    """whether its earlier readings are none to hold later ones against"""


@dataclass(frozen=True)
class Earlier:
    """What an earlier process saw of a run."""

    looks: Sequence[tuple[int, Mapping[str, Reading]]]
    """those that stand: step, and the reading of each signal that is shown"""
    rollbacks: int
    """that came before the step"""
    first: bytes
    """what probes noted at its first look"""
    losses: Callable[[frozenset[int]], Mapping[str, Loss]]
    """by signal, where the probes of these numbers go on from those notes"""


class GoesOn:
    """Takes up the record of a run for the watch that goes on with it, in its folder."""

    def __init__(self, tap: Tap, probes: Sequence[Probe], recorder: Recorder) -> None:
        self._tap, self._probes, self._recorder = tap, probes, recorder

    def __call__(self, watch: Any) -> Earlier | None:
        """The looks up to the step, alike on all ranks; None where there are none to take up, which is said.

        Raises WatchError for a record that is damaged; nothing of it was taken up then, and the file is as it was.
        """
        self._recorder.begins(watch.step)
        said = agreeing.together(self._tap.ranks, lambda: self._read(watch), "going on with the run")[0]
        if isinstance(said, list):
            watch.say(*said)
            return None
        looks = [(step, {name: Reading(*pair) for name, pair in readings.items()}) for step, readings in said["looks"]]
        first = bytes.fromhex(said["first"])
        return Earlier(looks, said["rollbacks"], first, partial(self._losses, watch.step, said["begun"], len(looks)))

    def _losses(self, step: int, begun: int, looks: int, kept: frozenset[int]) -> dict[str, Loss]:
        """Of each signal that loses something; the record says so too, and goes on from here."""
        found = {} if step == begun else losses(self._probes, step, kept)
        signals = [signal for probe in self._probes for signal in probe.signals]
        told = {signal.name for signal in signals if not signal.held_out and signal.detector != "betting"}
        lost = tuple(name for name in found if name in told)
        self._recorder.goes_on(WentOn(step=step, looks=looks, lost=lost), looks)
        return found

    def _read(self, watch: Any) -> Any:
        """On the first rank, which alone has the folder: JSON values; a label and a text if nothing is taken up."""
        folder: Path | None = watch.folder
        if folder is None:
            return None
        if not (folder / LOOKS).exists():
            said = f"{folder.name} holds no looks of an earlier process, so the watch begins at step {watch.step}"
            return ["goes on", said]
        lines = _lines(folder)
        heads = [at for at, line in enumerate(lines) if isinstance(line, Begun)]
        if not heads:
            raise _damaged(folder, "it does not say what was watched")
        begun = lines[heads[-1]]
        assert isinstance(begun, Begun)
        if differ := _differences(begun, self._recorder.what(watch)):
            return ["begins anew", f"the run in {folder.name} was watched with other {'; other '.join(differ)}"]
        stood, rollbacks = standing(folder, begun, lines[heads[-1] + 1 :])
        kept = [[look.step, look.readings] for look in stood if look.step <= watch.step]
        first = _first(folder, begun).hex()
        return {"looks": kept, "rollbacks": rollbacks, "begun": begun.step, "first": first}


def begins(watch: Any, recorder: Recorder | None) -> None:
    """Of a watch that was not asked to go on: its record says where it begins, and it says what it could have taken up
    from a later step on."""
    if recorder is not None:
        recorder.begins(watch.step)
    if watch.step and watch.folder is not None and (watch.folder / LOOKS).exists():
        watch.say("goes on", f"{watch.folder.name} holds looks of an earlier process: goes_on=True takes them up")


def losses(probes: Sequence[Probe], step: int, kept: frozenset[int] = frozenset()) -> dict[str, Loss]:
    """Of each signal whose readings, or bets, stand on more than what a record holds, what is missing from `step` on.

    Of the probes of the numbers `kept` there is what they noted at the first look. Signals that are not named read, and
    are judged, as if the run had not been interrupted.
    """
    return {
        signal.name: loss
        for number, probe in enumerate(probes)
        for signal in probe.signals
        if (loss := _loss(probe, signal, step, number in kept)) is not None
    }


def _loss(probe: Probe, signal: Signal, step: int, kept: bool) -> Loss | None:
    if signal.held_out:
        return Loss("what it read is in no file, so it begins anew", anew=True)
    if signal.detector == "betting":
        return Loss(
            f"its bet begins again at wealth 1, and nobody knows any more which rows were trained on before step {step}"
        )
    if matters(probe) and not kept:
        return Loss(f"it is held against its first look, which is that at step {step} now", anew=True)
    if probe.window:
        return Loss(f"its notes of the looks before step {step} are gone")
    if probe.counts_spans:
        return Loss(f"the rows that were counted before step {step} are gone")
    return None


def standing(folder: Path, begun: Begun, lines: Sequence[Line]) -> tuple[list[Look], int]:
    """The looks that stand at the end of what `begun`, and how many rollbacks there were. Raises WatchError.

    A rollback took away the newest; a process that went on from an earlier step, those after it.
    """
    looks: list[Look] = []
    rollbacks = 0
    for line in lines:
        if isinstance(line, WentOn):
            if line.looks != sum(look.step <= line.step for look in looks):
                raise _damaged(folder, f"another process went on from step {line.step} with {line.looks} looks")
            del looks[line.looks :]
        elif isinstance(line, Look):
            before = len(looks) if line.before is None else line.before
            _check(folder, begun, line, looks, before)
            rollbacks += (before < len(looks)) + (line.looks <= before)
            looks[before:] = [line]
            del looks[line.looks :]
    return looks, rollbacks


def _check(folder: Path, begun: Begun, look: Look, looks: Sequence[Look], before: int) -> None:
    """Raises WatchError for a look that no watch wrote."""
    names = sorted(signal.name for signal in begun.signals)
    if sorted(look.readings) != names:
        raise _damaged(folder, f"the look at step {look.step} reads {sorted(look.readings)} and not {names}")
    if not 0 <= before <= len(looks) or look.looks < 0:
        raise _damaged(folder, f"the look at step {look.step} comes after {before} looks, of {len(looks)}")
    earlier = looks[before - 1].step if before else -1
    if not earlier < look.step <= _STEPS:
        raise _damaged(folder, f"a look at step {str(look.step)[:40]} comes after one at step {earlier}")
    for name, pair in look.readings.items():
        if not all(isfinite(each) and abs(each) <= _LARGEST for each in pair):
            raise _damaged(folder, f"{name!r} reads {pair} at step {look.step}")


def _first(folder: Path, begun: Begun) -> bytes:
    """What probes noted at the first look; nothing where it is not what was written."""
    if not begun.first:
        return b""
    try:
        data = read_plain(folder / FIRST, 2 * MOST)
    except OSError:
        return b""
    return data if hashlib.sha256(data).hexdigest() == begun.first else b""


def _lines(folder: Path) -> list[Line]:
    try:
        return lines_of(folder)
    except WatchError as error:
        raise WatchError(error.message, hint=_ANEW) from error


def _damaged(folder: Path, why: str) -> WatchError:
    return WatchError(f"{folder} holds no record that a run could go on from: {LOOKS}: {why}", hint=_ANEW)


_ANEW = "nothing was changed; without goes_on=True the watch begins anew, and writes after what is there"


def _differences(begun: Begun, now: Begun) -> list[str]:
    """In what the watch of an earlier process differs from this one: the earlier one's first."""
    every = now.every if now.every is None else begun.every  # one that times its steps looks when it can afford to
    parts = {
        "signals": (now.signals, begun.signals),
        "settings of probes or watch": (now.digests, begun.digests),
        "steps between looks": (now.every, every),
        "recipe": (now.recipe, begun.recipe),
        "data": (now.data, begun.data),
        "seed": (now.seed, begun.seed),
        "number of ranks": (now.ranks, begun.ranks),
        "versions": (now.versions, begun.versions),
    }
    of_probes = "settings of probes or watch"
    return [
        f"{what}{settings_difference(now, begun) if what == of_probes else difference(one, other)}"
        for what, (one, other) in parts.items()
        if one != other and not (what == of_probes and now.signals != begun.signals)
    ]
