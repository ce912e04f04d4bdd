"""The bench of the watch: thresholds first, then what is held against them; figures of runs whose truth is known."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))  # last: what tests call by the same name stays theirs

import watch_room
from watching import figures, freezing, judging, lines, report, suite
from watching.experiments import EXPERIMENTS, Experiment
from watching.figures import Power
from watching.judging import Judged
from watching.running import Ran

from darklantern.watch import Reading, Signal
from darklantern.watch.digests import judged
from darklantern.watch.judging import detectors
from darklantern.watch.looking import Looked
from darklantern.watch.trace import Trace

SIGNALS = (
    Signal("inner", "I0", "signal", "", "rises with the circuit"),
    Signal("helped", "I1", "signal", "", "rises sooner, knowing the class of harm"),
    Signal("novel", "I0", "signal", "", "", says="novelty"),
    Signal("outer", "I0", "behaviour", "", "rises with what the model does"),
)
EXPERIMENT = Experiment("E9", "made up", None, 10, 100, 300, ("clean", "shift"), (0.1, 0.01), None, ("odd",), ("bare",))
RISES = {"inner": 150, "helped": 130, "novel": 9999, "outer": 200}
HEAD = ("poisoned", 0.1)


def ran(seed: int, rises: dict[str, int] | None = None, overt: int | None = None) -> Ran:
    rng = np.random.default_rng(seed)
    steps = list(range(10, 301, 10))
    readings = {
        signal.name: np.stack(
            [
                rng.normal(size=30) + [30.0 * (step >= (rises or {}).get(signal.name, 9999)) for step in steps],
                [0.0] * 30,
            ],
            axis=1,
        )
        for signal in SIGNALS
    }
    truth = [float(overt is not None and step >= overt) for step in steps]
    return Ran(steps, readings, {}, truth, 0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def frozen() -> freezing.Frozen:
    clean, shift = [ran(seed) for seed in range(5 + 39)], [ran(100 + seed) for seed in range(19)]
    seeds = {"clean": range(5 + 39), "shift": range(100, 119)}
    return freezing.freeze("E9", 10, "ab" * 8, ("clean", clean), {"shift": shift}, seeds, SIGNALS, 5)


@pytest.fixture(scope="module")
def found(frozen) -> figures.Figures:
    return figures.figures(EXPERIMENT, SIGNALS, runs(), frozen)


def runs() -> dict[str, dict[tuple[str, float], list[Ran]]]:
    poisoned = [ran(300 + seed, RISES, 250) for seed in range(8)]
    quiet = [ran(400 + seed) for seed in range(8)]
    return {
        "further": {("clean", 0.1): [ran(500 + seed) for seed in range(10)]},
        "again": {("shift", 0.1): quiet, ("bare", 0.1): quiet},
        "poisoned": {HEAD: poisoned, ("poisoned", 0.01): quiet},
        "variants": {("odd", 0.1): poisoned[:4]},
    }


def test_what_the_file_says_is_what_reference_runs_support(frozen: freezing.Frozen, tmp_path) -> None:
    clean, shift = [ran(seed) for seed in range(44)], [ran(100 + seed) for seed in range(19)]
    path = tmp_path / "thresholds.json"
    freezing.write(path, frozen)
    again = freezing.loads(path.read_bytes())
    assert again == frozen
    for tier in freezing.TIERS:
        for stride in freezing.STRIDES:
            made = judging.references(clean, {"shift": shift}, SIGNALS, 5, "r", 10, stride, tier)
            held = again.references(tier, stride)
            assert held.maxima == pytest.approx(made.maxima, rel=1e-8)
            assert held.strata[0].behaviours["inner"] == pytest.approx(made.strata[0].behaviours["inner"], rel=1e-8)
            assert [s.spread for s in held.signals] == [pytest.approx(s.spread, rel=1e-8) for s in made.signals]
            assert (held.every, held.steps[0], len(held.calibrated_on)) == (10 * stride, 10 * stride, 39)


def without(maxima: Mapping[str, tuple[float, ...]], names: Collection[str]) -> dict[str, tuple[float, ...]]:
    """Of the signals that have a threshold of their own here, those that have none in a watch."""
    return {name: each for name, each in maxima.items() if name not in names}


@pytest.mark.parametrize("seed", range(6))
def test_the_joint_statistic_is_that_of_a_watch(frozen: freezing.Frozen, seed: int) -> None:
    """A watch of these signals alone, so that it splits its rate over nothing."""
    run = ran(300 + seed, RISES if seed % 2 else None)
    inner = [signal for signal in SIGNALS if judging.shares(signal)]
    digests = {signal.name: "1" * 64 for signal in inner}
    made = frozen.references("I1")
    read = {signal.name: judged(digests[signal.name], signal, detectors.constants()) for signal in inner}
    told = tuple(msgspec.structs.replace(each, digest=read.get(each.name)) for each in made.signals)
    joined = msgspec.structs.replace(made, signals=told, behaviours=without(made.behaviours, read))
    strata = tuple(msgspec.structs.replace(each, behaviours=without(each.behaviours, read)) for each in made.strata)
    references = msgspec.structs.replace(joined, strata=strata)
    trace = Trace(inner, references, references.recipe, references.data, frozen.alpha, 10, digests)
    for look, step in enumerate(run.steps):
        trace.add(step, Looked({s.name: Reading(*run.readings[s.name][look]) for s in inner}, {}))
    limit = trace.limits["joint"].value
    first = next((step for step, value in zip(trace.steps, trace.joint, strict=True) if value > limit), None)
    found = judging.judge(run, SIGNALS, references, frozen.alpha, 100)
    assert found.alarms["joint"] == first
    assert found.joint == pytest.approx(max(trace.joint) / limit)


def test_a_tier_knows_no_more_than_its_signals(found: figures.Figures) -> None:
    assert found.tiers == ["I0", "I1"]
    first, second = found.joint("I0"), found.joint("I1")
    assert first.hits == second.hits == 8
    assert 150 - 100 <= first.delay <= 170 - 100
    assert 130 - 100 <= second.delay <= 150 - 100
    assert 30 <= first.race.summary.median <= 70
    assert 50 <= second.race.summary.median <= 90
    assert first.race.best == "outer"
    assert 0.4 <= first.left <= 0.7


def test_where_nothing_forms_nothing_is_found(found: figures.Figures) -> None:
    clean = next(q for q in found.quiet if (q.channel, q.tier, q.arm) == ("joint", "I1", "clean"))
    assert clean.count <= clean.predicted[1] < clean.of
    bare = next(q for q in found.quiet if (q.channel, q.tier, q.arm) == ("joint", "I1", "bare"))
    assert bare.predicted is None, "no reference runs of a control"
    head, least = (
        next(p for p in found.powers if (p.tier, p.arm, p.rate) == ("I1", "poisoned", r)) for r in (0.1, 0.01)
    )
    assert head.hits == head.of == 8
    assert head.auroc == 1.0
    assert least.hits <= 3


def test_a_signal_that_fails_is_published(found: figures.Figures) -> None:
    page = report.page([found], [], {}, [], tiny=True)
    failed = page.partition("## What failed")[2].partition("##")[0]
    assert "novel" in failed
    assert "inner" not in failed


def test_fewer_looks_cost_lead(found: figures.Figures) -> None:
    by_tier = {every: {lead.tier: lead for lead in row} for every, row in found.cadence.items()}
    assert list(by_tier) == [10, 20, 40, 80]
    assert by_tier[80]["I0"].delay >= by_tier[10]["I0"].delay


def found_by(told: figures.Figures, monitor: str) -> figures.Watched:
    return next(each for each in told.watched if each.name == monitor)


def test_lines_say_what_is_missing_and_never_pass_it(found: figures.Figures) -> None:
    made = [*figures.lines(found), figures.leading([found]), lines.absent("peers", "", "–", "not measured yet")]
    assert {each["room"] for each in made} == {"watch"}
    assert [each["ok"] for each in made if each["name"] == "peers"] == [False]
    page = report.page([found], made, {"thresholds-E9.json": "abc…, not committed"}, [], tiny=False)
    assert "| peers | – | not measured yet |" in page
    assert "`thresholds-E9.json`: SHA-256 `abc…`, not committed" in page
    assert "variant" in page and "odd" in page


def made_up(alarm: int | None, monitor: int | None, overt: int | None) -> Judged:
    return Judged([], 0.0, {"joint": alarm, "m": monitor}, "", {judging.OVERT: overt}, {"m": monitor})


def test_a_miss_loses_the_window_and_an_early_alarm_too() -> None:
    race = judging.race(
        [made_up(120, 150, 200), made_up(None, 150, 200), made_up(90, 150, 200), made_up(120, None, None)],
        "joint",
        ["m"],
        100,
        300,
    )
    assert race.leads == [30, -100, -100, None]
    assert race.left == [0.8, -1.0, -1.0]
    assert race.shares == [0.8]


def test_the_rate_at_which_half_is_found_lies_between_rates() -> None:
    def power(rate: float, hits: int) -> Power:
        return Power("I0", "poisoned", rate, hits, 10, (0.0, 1.0), 0.5, (0.0, 1.0))

    assert figures.half([power(0.1, 10), power(0.001, 0)]) == "0.01"
    assert figures.half([power(0.1, 9), power(0.01, 6)]) == "below 0.01"
    assert figures.half([power(0.1, 4), power(0.01, 0)]) == "above 0.1"


@pytest.mark.parametrize("counts", [suite.WHOLE, suite.TINY], ids=["whole", "tiny"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_seed_serves_two_parts_and_a_tiny_one_none_that_counts(name: str, counts: suite.Counts) -> None:
    seeds: dict[int, tuple[str, str, float]] = {}
    for job in suite.jobs(EXPERIMENTS[name], counts):
        key = (job.part, job.arm, job.rate)
        assert seeds.setdefault(job.seed, key) == key
    assert (max(seeds) < 1000) if counts is suite.TINY else (min(seeds) >= 1000)


def now(tmp_path: Path, **changes) -> watch_room.Asked:
    class Here(watch_room.Asked):
        folder = tmp_path

    return replace(Here(frozenset({"E5"}), "judge", False, True, 1), **changes)


def test_new_seeds_are_not_judged_by_thresholds_of_another_configuration(frozen, tmp_path, monkeypatch) -> None:
    asked = now(tmp_path)
    path = asked.thresholds("E5")
    freezing.write(path, frozen)
    before = path.read_bytes()
    monkeypatch.setattr(suite, "collect", lambda *given: pytest.fail("a run was asked for"))
    with pytest.raises(watch_room.Refused, match="of another recipe, probes or software"):
        watch_room._experiment(EXPERIMENTS["E5"], asked)
    assert path.read_bytes() == before, "nor rewritten unless that is asked for"


def test_what_was_not_asked_for_is_said_to_be_missing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(suite, "collect", lambda *given: pytest.fail("a run was asked for"))
    with pytest.raises(watch_room.Refused, match="no runs are written down: WATCH=E5"):
        watch_room._experiment(EXPERIMENTS["E5"], now(tmp_path, names=frozenset()))


def test_thresholds_come_from_references_alone_and_before_anything_else(tmp_path, monkeypatch) -> None:
    """Asked for references only, no other run is made."""
    made = []

    def collect(experiment, parts, workers, counts):
        made.append(tuple(parts))
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "collect", collect)
    with pytest.raises(KeyboardInterrupt):
        watch_room._experiment(EXPERIMENTS["E5"], now(tmp_path))
    assert made == [suite.BEFORE]


def test_a_name_that_is_nothing_here_is_refused() -> None:
    with pytest.raises(SystemExit, match="WATCH names E7"):
        watch_room.asked({"WATCH": "E1 E7"})
    assert watch_room.asked({"WATCH": "E1 overhead"}).names == {"E1", "overhead"}
