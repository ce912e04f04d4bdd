"""One run under a watch that only keeps the record, written down whole: readings, bets, truth, times."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.files import write_whole
from darklantern.watch import Reaction, Settings, watch
from darklantern.watch.digests import digests
from darklantern.watch.examples import examples
from watching.experiments import Experiment, Session


@dataclass(frozen=True)
class Ran:
    """What was written down of one run."""

    steps: list[int]
    """of the looks"""
    readings: dict[str, NDArray[np.float64]]
    """signal → (looks, 2): value and placebo"""
    wealth: dict[str, list[float]]
    """signal that bets → the logarithm of its wealth at each look, in nats"""
    overt: list[float]
    task: float
    seconds: float
    overhead: float


def run(experiment: Experiment, arm: str, rate: float, seed: int) -> Ran:
    """Train from `seed` to the planned end, looking every `experiment.every` steps."""
    started = time.process_time()
    session = experiment.session(arm, rate, seed)
    truth: list[float] = []
    w = watch(
        session.model,
        state=(session.optimizer, session.loader),
        trusted=session.trusted,
        signals=session.probes,
        readout=session.readout,
        settings=Settings(every=experiment.every, states=1),
        on_alarm=Reaction.LOG,
        on_look=lambda watch: truth.append(session.overt()),
        seed=seed,
    )
    for batch in w.over(session.loader):
        session.step(w.step, batch)
    # A watch goes on after a look that failed; a run that lacks one is no run to judge, or be judged by.
    if failed := [event.text for event in w.events if event.label == "failure"]:
        raise RuntimeError(f"{len(failed)} looks failed, the first: {failed[0]}")
    return Ran(
        steps=w.trace.steps,
        readings={
            name: np.array([[reading.value, reading.placebo] for reading in track.readings])
            for name, track in w.trace.tracks.items()
        },
        wealth={name: list(track.statistic) for name, track in w.trace.tracks.items() if track.bets},
        overt=truth,
        task=session.task(),
        seconds=time.process_time() - started,
        overhead=w.overhead,
    )


def digested(session: Session, every: int) -> dict[str, str]:
    """Signal → hash of what its readings come from in a run."""
    return digests(session.probes, examples(session.trusted, "trusted examples"), Settings(every=every))


def save(path: Path, ran: Ran, under: Mapping[str, str] | None = None) -> None:
    """Whole or not at all; with what it was made under: the source, and the thresholds that were frozen before it."""
    held: dict[str, Any] = ran.__dict__ | {
        "readings": {name: np.round(values, 9).tolist() for name, values in ran.readings.items()},
        "under": dict(under or {}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(held).encode())


def load(path: Path) -> Ran:
    """What `save` wrote."""
    return load_under(path)[0]


def load_under(path: Path) -> tuple[Ran, dict[str, str]]:
    """What `save` wrote, and what it was made under; nothing where that was not said."""
    held = json.loads(path.read_bytes())
    under = held.pop("under", {})
    return Ran(**held | {"readings": {name: np.array(values) for name, values in held["readings"].items()}}), under
