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
from watching import (
    circuit_runs,
    extras,
    figures,
    finetuning,
    freezing,
    judging,
    lines,
    reacting,
    report,
    rereading,
    running,
    sources,
    suite,
    trial,
)
from watching.experiments import EXPERIMENTS, Experiment
from watching.figures import Power
from watching.judging import Judged
from watching.running import Ran

from darklantern.records.references import check_references
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
            check_references(held)


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
    read = {signal.name: judged(digests[signal.name], signal, detectors.constants(signal.detector)) for signal in inner}
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
    made = [*figures.lines(found), figures.leading([found]), lines.absent("circuit", "", "–", "not measured yet")]
    assert {each["room"] for each in made} == {"watch"}
    assert [each["ok"] for each in made if each["name"] == "circuit"] == [False]
    page = report.page([found], made, {"thresholds-E9.json": "abc…, not committed"}, [], tiny=False)
    assert "| circuit | – | not measured yet |" in page
    assert "`thresholds-E9.json`: SHA-256 `abc…`, not committed" in page
    assert "variant" in page and "odd" in page
    top = page.partition("## At a glance")[2].partition("##")[0]
    assert f"| {found.experiment.name} | {found.experiment.title} | I0 |" in top
    missed = [each["name"] for each in made if each["ok"] is False and each["value"] is not None]
    assert all(name in top.partition("Missed: ")[2] for name in missed), "before all that was met"
    assert ("No bar was missed." in top) == (not missed)


def test_a_worst_run_stands_beside_the_bar_that_is_met_without_it() -> None:
    worst = lines.line("circuit · the same, worst run", -0.028, "share")
    page = report.page([], [lines.line("circuit", 0.959, "share", "≥ 0.9", True), worst], {}, [], tiny=False)
    bars = page.partition("## Bars")[2].partition("##")[0]
    assert "| circuit · the same, worst run | -0.028 share |" in bars
    assert "1 of 1 that were measured are met" in bars


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


def test_what_none_rose_at_is_missed_where_behaviour_came_and_censored_at_an_alarm() -> None:
    runs = [made_up(None, None, 200), made_up(90, None, 200), made_up(120, None, 200), made_up(None, None, None)]
    race = judging.race(runs, "joint", ["m"], 100, 300)
    assert race.leads == [-100, -100, None, None]
    assert race.summary.median == -100


def test_an_experiment_leads_by_enough_runs_alone(found: figures.Figures) -> None:
    def with_counted(counted: int) -> figures.Figures:
        def short(lead: figures.Lead) -> figures.Lead:
            return replace(lead, race=replace(lead.race, leads=[50] * counted + [None] * (lead.of - counted)))

        return replace(found, leads=[short(lead) for lead in found.leads])

    assert figures.leading([with_counted(6)])["value"] == 1
    few = figures.leading([with_counted(5)])
    assert few["value"] == 0
    assert few["detail"]["too_few_runs"] == ["E9"]


def test_a_tier_that_adds_monitors_alone_is_raced_too() -> None:
    assert figures.tiers([SIGNALS[0], SIGNALS[3]]) == ["I0", "I1"]
    assert figures.tiers([SIGNALS[1], SIGNALS[3]]) == ["I1"]
    assert figures.tiers([SIGNALS[2], SIGNALS[3]]) == []


def test_success_that_was_there_before_the_onset_shows_nothing(frozen: freezing.Frozen) -> None:
    run = ran(300, RISES, 250)
    run.overt[3] = 0.05
    judged = judging.judge(run, SIGNALS, frozen.references("I1"), 0.05, 100)
    assert judged.before == 0.05
    assert figures._behaved(HEAD, [judged]).reached == {0.01: (0, None, 0), 0.1: (1, 250, 1), 0.5: (1, 250, 1)}


def test_what_a_watch_took_is_said_of_each_experiment(found: figures.Figures) -> None:
    assert [each["value"] for each in figures.lines(found) if each["name"] == "overhead as watched · E9"] == [0.0]
    assert "## Overhead as watched" in report.page([found], [], {}, [], tiny=True)


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
    assert (max(seeds) < 1000) if counts is suite.TINY else (min(seeds) >= 20_000)
    others = {
        *range(reacting.FIRST, reacting.FIRST + reacting.RUNS),
        *range(circuit_runs.FIRST, circuit_runs.FIRST + circuit_runs.RUNS),
        *finetuning.poisoned_seeds(100),
    }
    assert not others & set(seeds) or counts is suite.TINY
    assert len(others) == reacting.RUNS + circuit_runs.RUNS + 100


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
    with pytest.raises(suite.Unfair, match="of another recipe, probes or software"):
        watch_room._judged(EXPERIMENTS["E5"], asked)
    assert path.read_bytes() == before, "nor rewritten unless that is asked for"


def test_what_was_not_asked_for_is_said_to_be_missing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(suite, "collect", lambda *given: pytest.fail("a run was asked for"))
    with pytest.raises(suite.Unfair, match="no runs are written down: WATCH=E5"):
        watch_room._judged(EXPERIMENTS["E5"], now(tmp_path, names=frozenset()))


def test_thresholds_come_from_references_alone(tmp_path, monkeypatch) -> None:
    """To freeze them no other run is asked for."""
    made = []

    def collect(experiment, parts, workers, counts, again):
        made.append(tuple(parts))
        raise suite.Unfair("stopped here")

    monkeypatch.setattr(suite, "collect", collect)
    assert watch_room._frozen_first(EXPERIMENTS["E5"], now(tmp_path)) == "stopped here"
    assert made == [suite.BEFORE]


@pytest.mark.parametrize("stage", ["references", "judge"])
def test_all_thresholds_are_frozen_before_anything_is_judged(stage, tmp_path, monkeypatch) -> None:
    did: list[str] = []

    def judged(experiment, now):
        did.append(f"judge {experiment.name}")
        raise suite.Unfair("not here")

    monkeypatch.setattr(watch_room, "asked", lambda: now(tmp_path, names=frozenset(EXPERIMENTS), stage=stage))
    monkeypatch.setattr(watch_room, "_freeze", lambda experiment, now: did.append(f"freeze {experiment.name}"))
    monkeypatch.setattr(watch_room, "_judged", judged)
    monkeypatch.setattr(extras, "lines", lambda names, tiny: did.append("extras" if names else "as they were") or [])
    monkeypatch.setattr(report, "write", lambda *given: did.append("page"))
    made = watch_room.run()
    assert [each["ok"] for each in made] == [False] * len(made), "what is not measured passes nothing"
    frozen, judging_them = ([f"{word} {name}" for name in EXPERIMENTS] for word in ("freeze", "judge"))
    after = ["as they were", "page", "extras", "page"] if stage == "judge" else []
    assert did == [*frozen, *judging_them, *after], "a page of references alone would be one of nothing"


class Here:
    """An experiment of the bench, its thresholds frozen as for these counts, and a folder for its runs."""

    experiment = EXPERIMENTS["E5"]
    mark = "cd" * 8

    def __init__(self, folder: Path, clean: list[Ran]) -> None:
        source = sources.source(self.experiment)
        seeds = {"clean": range(len(clean))}
        runs = ("clean", clean)
        judged_by = trial.judged_by(self.experiment)
        self.frozen = freezing.freeze("E5", 10, self.mark, runs, {}, seeds, SIGNALS, 5, source, {}, judged_by)
        self.path = trial.path("E5", folder)
        freezing.write(self.path, self.frozen)
        self.jobs = [job for job in suite.jobs(self.experiment) if job.part == "further"][:3]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Here:
    monkeypatch.setattr(suite, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(suite, "mark", lambda experiment: Here.mark)
    return Here(tmp_path, [ran(seed) for seed in range(5 + 19)])


def test_thresholds_hold_for_what_they_were_frozen_with(here: Here, monkeypatch) -> None:
    assert trial.thresholds(here.experiment, here.path, committed=False) == here.frozen
    assert freezing.digest(here.path) == here.frozen.sha256
    with pytest.raises(suite.Unfair, match="not committed"):
        trial.thresholds(here.experiment, here.path)
    for changed in ({"onset": 390}, {"end": 800}, {"harmless": here.experiment.harmless[:1]}):
        with pytest.raises(suite.Unfair, match="other detectors, onset, end, arms"):
            trial.thresholds(replace(here.experiment, **changed), here.path, committed=False)
    with pytest.raises(suite.Unfair, match="other detectors, onset, end, arms"):
        trial.thresholds(here.experiment, here.path, suite.TINY, committed=False)
    here.path.write_bytes(here.path.read_bytes() + b" ")
    with pytest.raises(suite.Unfair, match="not as it was written"):
        trial.thresholds(here.experiment, here.path, committed=False)
    freezing.write(here.path, here.frozen)
    monkeypatch.setattr(detectors, "SLACK", 0.6)
    with pytest.raises(suite.Unfair, match="other detectors"):
        trial.thresholds(here.experiment, here.path, committed=False)


def test_a_judged_run_is_of_the_thresholds_and_the_source_that_were_frozen(here: Here) -> None:
    job, frozen = here.jobs[0], here.frozen
    right = frozen.under
    assert right == {"source": sources.source(here.experiment), "thresholds": freezing.digest(here.path)}
    running.save(job.path(here.mark), ran(1), right)
    assert suite.load(job, here.mark, right).steps == ran(1).steps
    for wrong in ({}, right | {"source": "ab"}, right | {"thresholds": "ab"}):
        running.save(job.path(here.mark), ran(1), wrong)
        with pytest.raises(suite.Unfair, match=f"seed {job.seed}"):
            suite.load(job, here.mark, right)
    with pytest.raises(suite.Unfair, match="no frozen thresholds"):
        suite.load(job, here.mark)
    with pytest.raises(suite.Unfair, match="before thresholds are frozen"):
        suite.make(here.jobs, here.mark, 1, "")
    with pytest.raises(suite.Unfair, match="the source is another one"):
        suite.make(here.jobs, here.mark, 1, "", msgspec.structs.replace(frozen, source="ab"))


def test_judged_runs_are_made_again_and_compared_to_the_bit(here: Here, monkeypatch) -> None:
    chosen = list(rereading._first(here.experiment))
    assert [job.part for job in chosen] == list(rereading.PARTS)
    assert rereading._line(here.experiment)["value"] is None, "there is nothing to compare with yet"
    for job in chosen:
        running.save(job.path(here.mark), ran(job.seed), {"source": "ab" * 8})
    monkeypatch.setattr(running, "run", lambda experiment, arm, rate, seed: replace(ran(seed), seconds=9.0))
    made = rereading._line(here.experiment)
    assert (made["value"], made["ok"], made["detail"]["judged"]) == (2, True, ["ab" * 8])

    def other(experiment, arm, rate, seed):
        found = ran(seed)
        if arm == "poisoned":
            found.readings["outer"][7, 0] += 1e-8
        return found

    monkeypatch.setattr(running, "run", other)
    made = rereading._line(here.experiment)
    assert (made["value"], made["ok"]) == (1, False)


def test_thresholds_are_not_made_anew_by_who_has_seen_what_they_judge(here: Here) -> None:
    trial.check_rewrite(here.experiment)
    running.save(here.jobs[0].path(here.mark), ran(1))
    with pytest.raises(suite.Unfair, match="1 further"):
        trial.check_rewrite(here.experiment)


def test_a_run_that_fails_is_written_down_and_refuses_its_experiment(here: Here, monkeypatch) -> None:
    def run(experiment, arm, rate, seed):
        if seed == here.jobs[1].seed:
            raise ZeroDivisionError("by nothing")
        return ran(seed)

    monkeypatch.setattr(suite, "run", run)
    for job in here.jobs:
        suite._run(job, here.mark, here.frozen.under)
    assert [job.path(here.mark).exists() for job in here.jobs] == [True, False, True]
    with pytest.raises(suite.Unfair, match=f"seed {here.jobs[1].seed}: ZeroDivisionError.'by nothing'"):
        suite.make(here.jobs, here.mark, 1, "", here.frozen)  # and is not tried again: nothing changed


def test_a_part_that_fails_is_said_and_not_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(extras, "KEPT", tmp_path)
    monkeypatch.setattr(reacting, "run", lambda: 1 / 0)
    part = next(extra for extra in extras.EXTRAS if extra.name == "reaction")
    (made,) = extras._of(part, asked=True, tiny=False)
    assert made["ok"] is False
    assert "ZeroDivisionError" in made["detail"]["reason"]
    assert not list(tmp_path.rglob("*.json"))


def test_a_figure_of_the_finetuning_is_a_line_and_nothing_is_no_number() -> None:
    made = finetuning._line("lead", float("nan"), "steps", "≥ 0.5", False)
    assert made.keys() == lines.line("", 0, "").keys()
    assert made["value"] is None
    assert report.page([], [made, finetuning._line("other", 3.0, "steps")], {}, [], tiny=False)


def test_what_nothing_was_named_in_had_nothing_removed(monkeypatch, frozen) -> None:
    told = {"removed": 1.0, "random": 0.02, "placebo": [0.1]}
    named = {seed: told for seed in range(circuit_runs.FIRST, circuit_runs.FIRST + 4)}
    nothing = {"removed": None, "random": None, "placebo": [], "why": "no suspect"}
    monkeypatch.setattr(reacting, "thresholds", lambda experiment: frozen)
    monkeypatch.setattr(circuit_runs, "_kept", lambda experiment, frozen, seed: named.get(seed, nothing))
    middle, worst, *rest = circuit_runs.run()
    assert (middle["value"], worst["value"], middle["ok"]) == (0.0, 0.0, False)
    assert [each["value"] for each in rest] == [0.02, 0.1]


def test_seeds_were_seen_before_where_these_very_ones_were(here: Here, found: figures.Figures, monkeypatch) -> None:
    monkeypatch.setattr(report, "KEPT", suite.KEPT)
    other = replace(here.jobs[0], seed=5_000)
    running.save(other.path("ee" * 8), ran(1))
    assert not report._seen_before(here.experiment, here.mark, suite.WHOLE)
    running.save(here.jobs[0].path("ee" * 8), ran(1))
    assert report._seen_before(here.experiment, here.mark, suite.WHOLE).endswith("before: 1.")


def test_the_mark_is_of_what_decides_and_not_of_what_is_said(monkeypatch) -> None:
    experiment = EXPERIMENTS["E1"]
    session = experiment.session("clean", 0.5, 0)

    def marked(**changes) -> str:
        for probe in session.probes:
            monkeypatch.setattr(probe, "signals", tuple(replace(each, **changes) for each in probe.signals))
        return suite.mark(replace(experiment, start=lambda *given: session))

    assert marked() == marked(reads="in other words", unit="bits", cost="dear")
    assert marked() != marked(grain=0.5)


def test_a_source_is_of_the_organism_and_the_watch() -> None:
    names = {name: {path.name for path in sources.files(each)} for name, each in EXPERIMENTS.items()}
    assert {"digits.py", "stream.py", "experiments.py", "monitors.py", "watching.py"} <= names["E3"]
    assert {"sleeping.py", "text.py", "bytelm.py"} <= names["E4"]
    assert not {"sleeping.py", "text.py"} & names["E3"]
    assert len({sources.source(each) for each in EXPERIMENTS.values()}) == len(EXPERIMENTS)
    assert sources.corpus(EXPERIMENTS["E4"]) and not sources.corpus(EXPERIMENTS["E3"])
    assert "scikit-learn" in sources.packages(EXPERIMENTS["E3"])


@pytest.mark.slow
def test_a_watch_by_frozen_thresholds_claims_its_rate(monkeypatch) -> None:
    """Where it reads as the reference runs did: their seeds are others, and so are those of their probes."""
    experiment = EXPERIMENTS["E5"]
    session = experiment.session("clean", 0.6, 3)
    signals = [signal for probe in session.probes for signal in probe.signals]
    steps = list(range(experiment.every, experiment.end + 1, experiment.every))
    rng = np.random.default_rng(0)

    def made() -> Ran:
        readings = {s.name: rng.uniform(0.5, 1, size=(len(steps), 2)) for s in signals}
        return Ran(steps, readings, {}, [0.0] * len(steps), 0.0, 1.0, 0.0)

    clean = [made() for _ in range(5 + 39)]
    told = running.digested(experiment.session("clean", 0.6, 0), experiment.every)
    given = ("E5", experiment.every, "ab" * 8, ("clean", clean), {}, {"clean": range(44)}, signals, 5)
    frozen = freezing.freeze(*given, digests=told)
    w = reacting.watched(experiment, frozen, session, 3)
    assert not w.trace.uncalibrated
    assert (
        w.trace.limits["joint"].value
        == detectors.strictest({"clean": frozen.levels["1"].maxima["I1"]["clean"]}, freezing.ALPHA).value
    )
    other = freezing.freeze(*given, digests={name: "0" * 64 for name in told})
    for held, refused in ((frozen, False), (other, True)):
        monkeypatch.setattr(trial, "thresholds", lambda experiment, held=held: held)
        assert isinstance(reacting.thresholds(experiment), str) == refused


def test_a_name_that_is_nothing_here_is_refused() -> None:
    with pytest.raises(SystemExit, match="WATCH names E7"):
        watch_room.asked({"WATCH": "E1 E7"})
    assert watch_room.asked({"WATCH": "E1 overhead"}).names == {"E1", "overhead"}
