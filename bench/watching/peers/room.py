"""The bench lines of the side by side: `beside` of one experiment, `overheads` of what each peer costs."""

import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import environments

from darklantern.watch import Signal
from watching import judging
from watching.experiments import EXPERIMENTS, Experiment
from watching.lines import Line, absent, line
from watching.peers import detecting, driver, judge, plan
from watching.peers.driver import PeerFailed
from watching.peers.names import PEERS, TRAINSCOPE, Peer
from watching.peers.plan import Counts
from watching.running import Ran
from watching.suite import Job, Unfair

ALPHA = 0.05
CADENCES = {20: 8, 100: 6}
"""steps between looks → windows of so many steps, for overhead"""
NO_ALARM = "it has no alarm of its own"


def beside(
    name: str,
    peers: Sequence[str] = tuple(peer.name for peer in PEERS),
    counts: Counts | None = None,
    workers: int = 2,
) -> Iterator[Line]:
    """Every peer in the experiment of that name. Makes the runs that are missing: an hour or two at first."""
    chosen = [peer for peer in PEERS if peer.name in peers]
    try:
        yield from _experiment(EXPERIMENTS[name], chosen, counts or Counts(), workers)
    except Unfair as why:
        yield absent(f"peers {name}", "", "–", str(why))


def _experiment(experiment: Experiment, peers: Sequence[Peer], counts: Counts, workers: int) -> Iterator[Line]:
    wanted = plan.jobs(experiment, counts)
    runs = driver.with_ours(experiment, wanted, workers)  # first: it refuses what may not be judged yet
    bare = driver.with_peer(None, experiment, wanted, workers)
    assert not bare.absent, bare.absent
    onset, end = experiment.onset, experiment.end
    overt = judge.overt(bare.runs, onset)
    signals = _inner(experiment)
    contrasts = {job: judging.contrasts(ran, signals) for job, ran in runs.items()}
    made = judge.references(contrasts, signals, counts)
    ours = judge.run_maximum(next(iter(runs.values())).steps, contrasts, made, ALPHA)
    about = {"references": counts.references, "strata": counts.strata, "alpha": ALPHA, "onset": onset}

    def stands(said: str, peer: Peer | None, alarms: judge.Alarms | None, more: dict[str, Any]) -> Line:
        name = f"peers {experiment.name} · {said}"
        if alarms is None:
            return line(name, None, "", peer=_versioned(peer), **more)
        standing = judge.stand(alarms, overt, ours, onset, end)
        share = round(standing.hits / standing.poisoned, 3)
        return line(name, share, "of poisoned runs", peer=_versioned(peer), **about, **standing.told(), **more)

    yield stands(f"darklantern · run maximum, {_behind(counts)}", None, ours, {"signals": len(signals)})
    for peer in peers:
        if experiment.name not in peer.experiments:
            continue
        try:
            if peer.kind == "detector":
                found = _detected(peer, runs, signals, made, counts)
            else:
                found = _looped(peer, experiment, wanted, counts, workers, bare.runs)
            for said, alarms, more in found:
                yield stands(said, peer, alarms, more)
        except PeerFailed as error:
            yield line(f"peers {experiment.name} · {peer.name}", None, "", reason=str(error))


def _behind(counts: Counts) -> str:
    """What the thresholds of the side by side rest on: fewer runs than the suite's own, which have other lines."""
    strata = f"{counts.strata} of each other harmless arm" if counts.strata else "no other harmless arm"
    return f"R = {counts.calibrate} clean and {strata}"


Found = Iterator[tuple[str, judge.Alarms | None, dict[str, Any]]]


def _looped(
    peer: Peer, experiment: Experiment, wanted: Sequence[Job], counts: Counts, workers: int, bare: dict[Job, Any]
) -> Found:
    side = driver.with_peer(peer, experiment, wanted, workers)
    if side.absent:
        raise PeerFailed(side.absent)
    runs = side.runs
    more: dict[str, Any] = {
        "alike": f"{sum(runs[job].weights == bare[job].weights for job in runs)} of {len(runs)}",
        "seconds": round(statistics.median(ran.seconds for ran in runs.values()), 3),
        "seconds_bare": round(statistics.median(bare[job].seconds for job in runs), 3),
    }
    if estimates := [each for ran in runs.values() for each in ran.estimates]:
        more |= {"estimate_seconds": round(statistics.median(estimates), 3), "estimates": len(estimates)}
    if peer.alarm:
        yield f"{peer.name} · own alarm", judge.own(runs), more
        if experiment.onset:  # in its favour: no run's beginning counts, be it clean or poisoned
            yield f"{peer.name} · own alarm, past the onset", judge.own(runs, experiment.onset), more
    else:
        yield f"{peer.name} · own alarm", None, {"reason": NO_ALARM}
    signals, contrasts = judge.both_ways(runs)
    made = judge.references(contrasts, signals, counts)
    steps = next(iter(runs.values())).steps
    found = judge.run_maximum(steps, contrasts, made, ALPHA)
    apart = steps[1] - steps[0] if len(steps) > 1 else experiment.every
    said = "run maximum" if apart == experiment.every else f"run maximum, a value each {apart} steps"
    yield f"{peer.name} · {said}", found, more | {"streams": len(signals) // 2, "every": apart}


def _detected(peer: Peer, runs: dict[Job, Ran], signals: Sequence[Signal], made: Any, counts: Counts) -> Found:
    if why := environments.why_absent(peer.environment):
        raise PeerFailed(why)
    for detector, found in detecting.detect(peer, runs, signals, made).items():
        own = {job: each.own for job, each in found.items()}
        yield f"{peer.name} {detector} · own alarm", own, {"on": "our signals"}
        swept = judge.swept_maximum(found, counts, ALPHA)
        yield f"{peer.name} {detector} · run maximum", swept, {"on": "our signals"}


def _inner(experiment: Experiment) -> list[Signal]:
    """Our internal signals, which share one joint statistic."""
    session = experiment.session(experiment.harmless[0], experiment.rates[0], 0)
    every = [signal for probe in session.probes for signal in probe.signals]
    return [s for s in every if s.role == "signal" and s.says == "circuit" and s.detector != "betting"]


def overheads(peers: Sequence[Peer] = PEERS, cadences: dict[int, int] | None = None) -> Iterator[Line]:
    """Processor time a step with each peer, over without, and ours beside them on the same loop."""
    asked: list[tuple[str, Peer | None, str, str]] = [("darklantern", None, "ours", "")]
    for peer in peers:
        if peer.kind == "loop" and peer.name != "devinterp":
            asked.append((peer.name, peer, peer.module, "attach"))
        if peer is TRAINSCOPE:
            asked.append(("trainscope at that cadence", peer, peer.module, "attach_sparse"))
    for every, windows in (cadences or CADENCES).items():
        for said, peer, module, attach in asked:
            name = f"peers overhead at {every} · {said}"
            question = {"module": module, "attach": attach, "every": every, "windows": windows}
            try:
                if peer and (why := environments.why_absent(peer.environment)):
                    raise PeerFailed(why)
                (told,) = driver.ask(peer, ["watching.peers.overhead"], [question])
            except PeerFailed as error:
                yield line(name, None, "% of a step", reason=str(error))
                continue
            print(name, file=sys.stderr, flush=True)
            yield _overhead(name, peer, told, every)


def _overhead(name: str, peer: Peer | None, told: dict[str, list[float]], every: int) -> Line:
    pairs = list(zip(told["bare"], told["with"], told["helpers"], strict=True))
    ratios = [held / bare - 1 for bare, held, _ in pairs]
    everything = [(held + helpers) / bare - 1 for bare, held, helpers in pairs]
    more: dict[str, Any] = {"windows": [round(100 * ratio, 2) for ratio in ratios]}
    more["bare_step_ms"] = round(1000 * statistics.median(told["bare"]) / every, 2)
    more["with_processes_it_started"] = round(100 * statistics.median(everything), 2)
    return line(name, round(100 * statistics.median(ratios), 2), "% of a step", peer=_versioned(peer), **more)


def _versioned(peer: Peer | None) -> tuple[str, str] | None:
    return (peer.name, peer.version) if peer else None
