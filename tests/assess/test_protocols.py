"""Protocols run: outcomes are kept, interrupted measurements go on, and what comes out is what was put in."""

import hashlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from darklantern.assess.bits import Outlet
from darklantern.assess.protocols import (
    PROTOCOLS,
    Application,
    Applied,
    Audit,
    Families,
    Interventions,
    Ladder,
    Messages,
    Necessity,
    Pressure,
    Subject,
    Training,
    Uplift,
    journal,
    measured,
    planned,
)
from darklantern.assess.protocols.actions import counted_actions
from darklantern.assess.protocols.uplift import Runs, capability_after_work, jackknifed, safety_at_once
from darklantern.errors import AssessmentError, StoreError
from darklantern.models.passes import note
from darklantern.records.assessments import Answer

from .answers import TABLE


def answer(subject: Subject, criterion: str, path: Path | None = None) -> Answer:
    with journal(path, subject.name) as kept:
        (found,) = measured(subject, kept, TABLE, [criterion])
    return found


def reading(executed: int = 10) -> Applied:
    note(forward=1)
    return Applied(parameters_executed=executed, parameters_total=100, worked=True)


# What is not there


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.criterion)
def test_what_a_subject_does_not_bring_is_not_measured_and_says_what_it_takes(protocol) -> None:
    found = answer(Subject(name="nothing/1"), protocol.criterion)
    if protocol.criterion == "F":
        assert found.values == ("broken",)  # untested counts as broken, by definition
    else:
        assert found.status == "unknown" and (protocol.criterion == "K" or protocol.needs in found.text)
    said = answer(Subject(name="nothing/1", why_not={protocol.criterion: "no such thing"}), protocol.criterion)
    assert protocol.criterion == "F" or said.text == "no such thing"


def test_only_what_can_be_measured_can_be_asked_for() -> None:
    with journal(None, "nothing/1") as kept, pytest.raises(AssessmentError, match="U cannot be measured"):
        planned(Subject(name="nothing/1"), kept, ["U"])


# G


def test_a_method_that_reads_needs_no_new_capability() -> None:
    ladder = Ladder(works={100: lambda seed: True, 1000: lambda seed: True})
    found = answer(Subject(name="reads/1", application=Application(run=reading), ladder=ladder), "G")
    assert found.values == ("none",)
    assert "10 of 100 parameters executed, 0 tokens sampled, 0 external actions" in found.text
    assert "by size, 100: 5 of 5, 1,000: 5 of 5" in found.text


@pytest.mark.parametrize(
    ("small", "values"),
    [([True] * 5, ("none",)), ([False] * 5, ("contained",)), ([True, True, True, False, False], ("none", "contained"))],
)
def test_the_smallest_size_decides_and_too_few_seeds_leave_it_open(small, values) -> None:
    ladder = Ladder(works={100: lambda seed: small[seed], 1000: lambda seed: True})
    assert answer(Subject(name="sizes/1", application=Application(run=reading), ladder=ladder), "G").values == values


def test_what_leaves_the_process_is_counted_and_tokens_that_are_sampled_too() -> None:
    def acting() -> Applied:
        note(sampled=7)
        subprocess.run([sys.executable, "-c", ""], check=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(b"x", ("127.0.0.1", 9))
        return reading()

    found = answer(Subject(name="acts/1", application=Application(run=acting)), "G")
    assert found.values == ("creates",)
    assert "7 tokens sampled, 2 external actions (no sandbox)" in found.text
    boxed = answer(Subject(name="acts/1", application=Application(run=acting, sandboxed=True)), "G")
    assert boxed.values == ("contained",)
    with counted_actions() as actions:
        sum(range(10))
    assert actions.count == 0


def test_an_application_that_nobody_says_worked_may_have_failed() -> None:
    def ran(worked: bool | None) -> tuple[str, ...]:
        made = Application(run=lambda: replace(reading(), worked=worked))
        return answer(Subject(name="once/1", application=made), "G").values

    assert ran(True) == ("none", "contained") and ran(False) == ("contained", "creates")
    assert ran(None) == ("none", "contained", "creates")


def test_a_connection_that_was_open_before_may_carry_anything() -> None:
    def connect() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.connect(("127.0.0.1", 9))

    made = Application(run=reading, prepare=connect)
    assert answer(Subject(name="open/1", application=made), "G").values[-1] == "creates"
    assert answer(Subject(name="open/1", application=replace(made, sandboxed=True)), "G").values[-1] == "contained"


def test_a_ladder_of_no_seeds_is_refused() -> None:
    none = Ladder(works={100: lambda seed: True}, seeds=0)
    with pytest.raises(AssessmentError, match="a ladder of 0 seeds"):
        answer(Subject(name="none/1", application=Application(run=reading), ladder=none), "G")


@pytest.mark.parametrize(("dangerous", "values"), [(True, ("creates",)), (False, ("contained",))])
def test_a_method_that_changes_weights_is_evaluated(dangerous, values) -> None:
    made = Application(run=reading, changes_weights=True, raises_dangerous_capability=lambda: dangerous)
    assert answer(Subject(name="trains/1", application=made), "G").values == values


# B


def test_breadth_counts_families_and_only_right_results_are_in_time() -> None:
    def family(works: bool):
        return lambda: lambda: works

    eight = {f"family {i}": family(i < 7) for i in range(8)}
    broad = Families(unseen=eight, repeats=4, checkpoint_seconds=1000.0)
    assert answer(Subject(name="broad/1", families=broad), "B").values == ("both",)
    slow = Families(unseen=eight, repeats=4, checkpoint_seconds=1e-9)
    assert answer(Subject(name="slow/1", families=slow), "B").values == ("one",)
    wrong = Families(unseen={name: family(False) for name in eight}, repeats=4, checkpoint_seconds=1000.0)
    assert answer(Subject(name="wrong/1", families=wrong), "B").values == ("neither",)
    untimed = Families(unseen=eight)
    assert answer(Subject(name="untimed/1", families=untimed), "B").values == ("both", "one")


# N


def audit(sees: float, organisms: int = 24, baseline: float = 0.0) -> Audit:
    """Organisms whose label shows inside by `sees` and outside by `baseline`, in standard deviations."""

    def build(planted: bool, seed: int) -> tuple[float, float]:
        noise = np.random.default_rng([seed, int(planted)]).normal(size=2)
        return float(noise[0] + sees * planted), float(noise[1] + baseline * planted)

    return Audit(build=build, tool=lambda m: m[0], baselines={"outside": lambda m, seed: m[1]}, organisms=organisms)


@pytest.mark.parametrize(
    ("alignment", "capability", "values"),
    [
        (audit(6, 40), audit(0, 2000), ("align_only",)),
        (audit(6, 40), audit(0, 40), ("align_only", "neutral")),  # it may help capability a little
        (audit(6, 40), audit(1, 2000), ("neutral",)),  # needed for both, for alignment more
        (audit(0, 40), audit(6, 40), ("reversed",)),
        (audit(6, 40, 6), audit(6, 40, 6), ("align_only", "neutral", "reversed")),
        (audit(6, 40), None, ("align_only", "neutral", "reversed")),
        (audit(0, 40, 6), None, ("neutral", "reversed")),
        (audit(6, 4), audit(0, 4), ("align_only", "neutral", "reversed")),
    ],
)
def test_necessity_is_what_the_tool_sees_and_nobody_else(alignment, capability, values) -> None:
    found = answer(Subject(name="audit/1", necessity=Necessity(alignment=alignment, capability=capability)), "N")
    assert found.values == values, found.text


def test_an_audit_commits_first_and_whoever_scores_sees_the_model_alone(tmp_path) -> None:
    seen = []
    made = audit(6)
    watched = Audit(
        build=lambda planted, seed: ("model", seed),
        tool=lambda model: seen.append(model) or float(model[1]),
        baselines={"outside": lambda model, seed: seen.append(model) or 0.0},
        organisms=6,
    )
    path = tmp_path / "n.jsonl"
    answer(Subject(name="audit/1", necessity=Necessity(alignment=watched)), "N", path)
    first = json.loads(path.read_text().splitlines()[1])
    assert first["trial"] == "alignment commitment" and len(first["outcome"]) == 64
    assert set(map(type, (each[1] for each in seen))) == {int} and {each[0] for each in seen} == {"model"}
    assert made.organisms == 24


def test_a_baseline_gets_as_much_time_as_the_tool() -> None:
    def slow(model) -> float:
        return float(sum(i * i for i in range(300_000)) * 0)

    calls = []
    made = Audit(
        build=lambda planted, seed: None,
        tool=slow,
        baselines={"quick": lambda model, seed: calls.append(seed) or sum(range(1000)) * 0.0},
        organisms=4,
    )
    answer(Subject(name="budget/1", necessity=Necessity(alignment=made)), "N")
    assert len(calls) > 4 * 5 and {0, 1, 2} <= set(calls)


def test_labels_that_were_not_committed_to_are_refused(tmp_path) -> None:
    path = tmp_path / "n.jsonl"
    subject = Subject(name="audit/1", necessity=Necessity(alignment=audit(6, 6)))
    answer(subject, "N", path)
    lines = path.read_text().splitlines()
    kept = json.loads(lines[1])
    lines[1] = json.dumps(kept | {"outcome": hashlib.sha256(b"other").hexdigest()})
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(AssessmentError, match="committed to"):
        answer(subject, "N", path)


# W


def interventions(mechanism, count: int = 12, without=None) -> Interventions:
    """Effects that go by the square of what is done; the mechanism is what says so."""
    effect = {f"dose {i}": (i / 3) ** 2 for i in range(1, 2 * count + 1)}
    names = list(effect)
    return Interventions(
        seen=names[::2],
        unseen=names[1::2],
        measure=effect.__getitem__,
        predict=lambda seen: {name: mechanism(int(name[5:])) for name in names[1::2]},
        without_mechanism=without,
    )


def flat(seen) -> dict[str, float]:
    """What is foreseen by whoever knows nothing: the mean."""
    return dict.fromkeys((f"dose {i}" for i in range(2, 41, 2)), float(np.mean(list(seen.values()))))


def test_an_explanation_predicts_what_nobody_has_done() -> None:
    def squares(i: int) -> float:
        return (i / 3) ** 2

    right = answer(Subject(name="w/1", interventions=interventions(squares, 20, flat)), "W")
    assert right.values == ("explained",) and "R² 1.000" in right.text
    alone = answer(Subject(name="w/1", interventions=interventions(squares, 20)), "W")
    assert alone.values == ("explained", "unexplained") and "nobody predicted without a mechanism" in alone.text
    few = answer(Subject(name="w/1", interventions=interventions(squares, 12, lambda seen: {
        name: value for name, value in flat(seen).items() if int(name[5:]) <= 24
    })), "W")  # fmt: skip
    assert few.values == ("explained", "unexplained") and "by 20 or more" in few.text
    wrong = answer(Subject(name="w/1", interventions=interventions(lambda i: 1.0 * (i % 5))), "W")
    assert wrong.values == ("unexplained",)


def test_an_explanation_that_is_no_better_than_a_fit_from_outside_explains_nothing() -> None:
    def fit(seen):
        known = {int(name[5:]): value for name, value in seen.items()}
        line = np.polyfit(list(known), list(known.values()), 2)
        return {f"dose {i}": float(np.polyval(line, i)) for i in range(2, 25, 2)}

    made = interventions(lambda i: (i / 3) ** 2 + 0.1 * (-1) ** i, without=fit)
    found = answer(Subject(name="w/1", interventions=made), "W")
    assert found.values == ("unexplained",) and "errors more than without a mechanism" in found.text


def test_predictions_stand_before_the_first_unseen_effect(tmp_path) -> None:
    path = tmp_path / "w.jsonl"
    answer(Subject(name="w/1", interventions=interventions(lambda i: (i / 3) ** 2)), "W", path)
    trials = [json.loads(line)["trial"] for line in path.read_text().splitlines()[1:]]
    assert trials.index("predictions") == 12 and len(trials) == 25
    missing = Interventions(
        seen=["a"], unseen=[*"bcdefghi"], measure=lambda name: 0.0, predict=lambda seen: dict.fromkeys("bc", 0.0)
    )
    with pytest.raises(AssessmentError, match="6 that were asked for"):
        answer(Subject(name="w/2", interventions=missing), "W")


def test_what_was_registered_counts_whole(tmp_path) -> None:
    path, made = tmp_path / "w.jsonl", interventions(lambda i: (i / 3) ** 2, 20, flat)
    answer(Subject(name="w/1", interventions=made), "W", path)
    with pytest.raises(AssessmentError, match="predictions of 20 interventions were registered, and 19"):
        answer(Subject(name="w/1", interventions=replace(made, unseen=made.unseen[1:])), "W", path)


def test_few_or_constant_or_infinite_effects_explain_nothing() -> None:
    few = answer(Subject(name="w/1", interventions=interventions(lambda i: (i / 3) ** 2, count=4)), "W")
    assert few.status == "unknown" and "it takes 8" in few.text
    names = [*"abcdefghi"]
    same = Interventions(
        seen=[], unseen=names, measure=lambda name: 1.0, predict=lambda seen: dict.fromkeys(names, 1.0)
    )
    assert answer(Subject(name="w/1", interventions=same), "W").status == "unknown"
    endless = Interventions(
        seen=[], unseen=names, measure=lambda name: float("inf"), predict=lambda seen: dict.fromkeys(names, 1.0)
    )
    assert answer(Subject(name="w/1", interventions=endless), "W").status == "error"


# F


def test_fragility_runs_all_three_kinds() -> None:
    made = Pressure(
        naive=lambda seed: True,
        informed=lambda seed: True,
        optimised=lambda seed: seed < 10,
        clean=lambda seed: seed < 3,
        trials=60,
    )
    found = answer(Subject(name="f/1", pressure=made), "F")
    assert found.values == ("broken",)
    assert "naive 60 of 60, informed 60 of 60, optimised 10 of 60, clean 3 of 60" in found.text
    robust = answer(
        Subject(name="f/1", pressure=replace(made, optimised=lambda seed: True, clean=lambda seed: False)), "F"
    )
    assert robust.values == ("robust",)
    always = answer(
        Subject(name="f/1", pressure=replace(made, optimised=lambda seed: True, clean=lambda seed: True)), "F"
    )
    assert "broken" in always.values and "clean 60 of 60" in always.text
    assert answer(Subject(name="f/1", detects=False), "F").values == ("robust",)


# A


def uplift(safety: float, compute: float, spread: float = 0.01, variants: int = 1) -> Uplift:
    """Loss falls by 0.3 a factor e of compute; the finding does what it is told to."""

    def run(arm: str, share: float, variant: int, seed: int) -> dict[str, float]:
        arms = ("none", "placebo", "finding")
        own = np.random.default_rng([seed, arms.index(arm), int(100 * share), variant]).normal(0, spread, 2)
        worth = np.log(share) + (np.log1p(compute) if arm == "finding" and variant == variants - 1 else 0.0)
        loss = 2.0 - 0.3 * worth + own[0]
        return {"loss": float(loss), "safety": float(own[1] - 0.5 * loss + (safety if arm == "finding" else 0.0))}

    return Uplift(run=run, variants=variants)


@pytest.mark.parametrize(
    ("given", "values"),
    [
        (uplift(0.3, 0.0), ("alignment",)),
        (
            uplift(0.0, 0.5),
            ("mixed", "capability"),
        ),  # that safety rises too is not excluded; what counts is the closed end
        (uplift(0.3, 0.5), ("mixed",)),
        (uplift(0.3, 0.5, variants=3), ("mixed",)),
    ],
)
def test_uplift_is_told_apart(given, values) -> None:
    found = answer(Subject(name="a/1", uplift=given), "A")
    assert found.values == values, found.text
    assert ("negative alignment tax" in found.text) == (values == ("mixed",))
    assert "detectable from" in found.text and "placebo" in found.text


def test_safety_that_is_only_capability_does_not_count() -> None:
    """Safety follows loss here: a finding that only lowers the loss raises the safety metric and no safety."""
    found = answer(Subject(name="a/1", uplift=uplift(0.0, 1.0, 0.001)), "A")
    assert found.values == ("mixed", "capability") and "safety at once +0.3" not in found.text


def test_a_loss_that_compute_does_not_lower_prices_nothing() -> None:
    made = Uplift(run=lambda arm, share, variant, seed: {"safety": seed + share, "loss": share + 0.01 * seed})
    found = answer(Subject(name="a/1", uplift=made), "A")
    assert found.status == "error" and "does not fall with compute" in found.text
    with pytest.raises(AssessmentError, match="5 seeds"):
        answer(Subject(name="a/1", uplift=Uplift(run=made.run, seeds=2)), "A")


def test_too_much_noise_leaves_everything_open_and_says_what_would_have_been_seen() -> None:
    found = answer(Subject(name="a/1", uplift=uplift(0.0, 0.0, spread=0.3)), "A")
    assert found.values == ("alignment", "mixed", "capability"), found.text
    quiet = answer(Subject(name="a/1", uplift=uplift(0.0, 0.0, spread=0.001)), "A")
    assert quiet.values == ("alignment", "mixed"), quiet.text


@pytest.mark.parametrize("spread", [0.02, 0.1])
def test_intervals_of_uplifts_hold_the_truth_about_as_often_as_they_say(spread) -> None:
    """Slopes are fitted and a variant is chosen from the same few seeds."""
    rng, shares, held = np.random.default_rng(0), np.array([0.5, 0.7, 1.0, 1.4, 2.0]), {"safety": 0, "gain": 0}
    for _ in range(300):
        noise = rng.normal(0, spread, (5, 5, 2))
        loss = 2.0 - 0.3 * np.log(shares) + noise[..., 0]
        arms = []
        for worth, safer in ((0.0, 0.0), (np.log(1.5), 0.2)):
            own = 2.0 - 0.3 * worth + rng.normal(0, spread, (5, 2))
            arms.append(np.stack([own, -0.5 * own + safer + rng.normal(0, spread, (5, 2))], -1))
        runs = Runs(shares, loss, -0.5 * loss + noise[..., 1], *arms)
        safety, gain = jackknifed(safety_at_once, runs), jackknifed(capability_after_work, runs)
        held["safety"] += safety.low <= 0.2 <= safety.high
        held["gain"] += gain.low <= np.log(1.5) <= gain.high
    assert held["safety"] / 300 >= 0.9 and held["gain"] / 300 >= 0.88, held


# E and K


def test_efficiency_of_an_outlet_that_tells_the_truth_and_of_one_that_does_not() -> None:
    bit = Outlet(symbols=2)
    honest = Messages(outlet=bit, prior=[0.5, 0.5], send=lambda truth, seed: [truth], models=2000)
    found = answer(Subject(name="e/1", messages=honest), "E")
    assert found.values == ("high",), found.text
    babble = Messages(outlet=bit, prior=[0.5, 0.5], send=lambda truth, seed: [seed % 2], models=2000)
    assert answer(Subject(name="e/1", messages=babble), "E").values == ("low",)
    beyond = Messages(outlet=bit, prior=[0.5, 0.5], send=lambda truth, seed: [2], models=4)
    with pytest.raises(AssessmentError, match="message 2 of an outlet that has 2"):
        answer(Subject(name="e/1", messages=beyond), "E")
    silent = Messages(outlet=bit, prior=[0.5, 0.5], send=lambda truth, seed: [], models=4)
    with pytest.raises(AssessmentError, match="sent nothing"):
        answer(Subject(name="e/1", messages=silent), "E")


def test_distance_from_compute_and_an_evaluation_that_only_raises() -> None:
    toy = Training(flops=(1e12, 1e13))
    assert answer(Subject(name="k/1", training=toy), "K").values == ("far_below",)
    able = Training(flops=(1e12, 1e13), evaluation_gap=lambda: 0.2)
    assert answer(Subject(name="k/1", training=able), "K").values == ("at_frontier",)
    broken = Training(flops=(1e12, 1e13), evaluation_gap=lambda: float("nan"))
    assert answer(Subject(name="k/1", training=broken), "K").status == "error"


# The journal


def ladder_subject(ran: list[str], stops: str = "") -> Subject:
    def works(seed: int) -> bool:
        if stops == str(seed):
            raise KeyboardInterrupt
        ran.append(str(seed))
        return True

    return Subject(name="ladder/1", application=Application(run=reading), ladder=Ladder(works={100: works, 200: works}))


def test_an_interrupted_measurement_goes_on_where_it_was(tmp_path) -> None:
    path, ran = tmp_path / "g.jsonl", []
    with pytest.raises(KeyboardInterrupt):
        answer(ladder_subject(ran, stops="3"), "G", path)
    assert ran == ["0", "1", "2"]
    with path.open("a") as file:
        file.write('{"protocol": "exec')  # the power failed here
    subject = ladder_subject(ran)
    with journal(path, subject.name) as kept:
        (plan,) = planned(subject, kept, ["G"])
    assert (len(plan.trials), len(plan.left)) == (11, 7) and "7 trials after 4" in plan.says
    found = answer(subject, "G", path)
    assert ran == ["0", "1", "2", "3", "4", "0", "1", "2", "3", "4"] and found.values == ("none",)
    assert answer(subject, "G", path) == found and len(ran) == 10


def test_an_answer_names_the_outcomes_that_it_rests_on(tmp_path) -> None:
    path, subject = tmp_path / "g.jsonl", ladder_subject([])
    found = answer(subject, "G", path)
    with journal(path, subject.name) as kept:
        data, name = kept.evidence("execution-trace/3")
    assert found.evidence == (name,) == (hashlib.sha256(data).hexdigest(),)
    assert json.loads(data)["outcomes"]["size 100 seed 0"] is True


def test_a_journal_of_something_else_is_refused_and_left_alone(tmp_path) -> None:
    path = tmp_path / "g.jsonl"
    answer(ladder_subject([]), "G", path)
    before = path.read_bytes()
    with pytest.raises(AssessmentError, match="is a journal of 'ladder/1'"), journal(path, "other/1"):
        pass
    assert path.read_bytes() == before
    path.write_text("no journal\n")
    with pytest.raises(AssessmentError, match="no journal of measurements"), journal(path, "other/1"):
        pass
    assert path.read_text() == "no journal\n"


def test_two_at_once_are_told_who_has_it(tmp_path) -> None:
    path = tmp_path / "g.jsonl"
    with journal(path, "a/1"), pytest.raises(StoreError, match=f"process {os.getpid()}"), journal(path, "a/1"):
        pass


def _endless(path: Path) -> None:
    def works(seed: int) -> bool:
        if seed == 2:
            signal.pause()
        return True

    subject = Subject(name="kill/1", application=Application(run=reading), ladder=Ladder(works={100: works}))
    answer(subject, "G", path)


def test_kill_minus_nine_loses_no_outcome_that_was_there(tmp_path) -> None:
    path = tmp_path / "g.jsonl"
    process = multiprocessing.get_context("spawn").Process(target=_endless, args=(path,))
    process.start()
    while not path.exists() or path.read_text().count("\n") < 4:
        assert process.is_alive()
    process.kill()
    process.join()
    with journal(path, "kill/1") as kept:
        assert list(kept.outcomes("execution-trace/3")) == ["application", "size 100 seed 0", "size 100 seed 1"]


def test_an_outcome_that_is_no_json_is_an_error_and_nothing_is_written(tmp_path) -> None:
    with journal(tmp_path / "j.jsonl", "a/1") as kept:
        for outcome in (float("nan"), np.zeros(2), object()):
            with pytest.raises(AssessmentError, match="plain JSON"):
                kept.add("p/1", "t", "t", outcome, 0.0)
        assert not kept.outcomes("p/1")


def test_a_full_disk_says_so(tmp_path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    from darklantern.assess.protocols.journal import Journal

    with pytest.raises(StoreError, match="No space left"):
        Journal(full, "a/1", []).add("p/1", "t", "t", True, 0.0)


# Cost and time


def test_costs_are_told_from_trials_of_the_same_kind(tmp_path) -> None:
    subject = ladder_subject([])
    with journal(tmp_path / "g.jsonl", subject.name) as kept:
        (plan,) = planned(subject, kept, ["G"])
        assert plan.seconds is None and "not known before" in plan.says
        kept.add("execution-trace/3", "size 100 seed 0", "size 100", True, 30.0)
        (plan,) = planned(subject, kept, ["G"])
        assert plan.seconds == pytest.approx(300.0) and "10 trials after 1, about 5 min" in plan.says
        measured(subject, kept, TABLE, ["G"])
        (plan,) = planned(subject, kept, ["G"])
        assert plan.seconds == 0.0 and plan.says == "measured: 11 trials"


def test_in_too_little_time_a_measurement_is_unfinished_and_no_pass(tmp_path) -> None:
    subject, shown = ladder_subject([]), []
    with journal(tmp_path / "g.jsonl", subject.name) as kept:
        kept.add("execution-trace/3", "size 100 seed 0", "size 100", True, 1000.0)
        (found,) = measured(subject, kept, TABLE, ["G"], within=20.0, progress=lambda *at: shown.append(at))
    assert found.status == "unknown" and "2 of 11 trials ran in the time given" in found.text
    assert shown[0] == ("G", 1, 11)


def test_runs_that_ignore_their_seed_tell_nothing_of_how_sure_they_are() -> None:
    found = answer(Subject(name="same/1", uplift=uplift(0.3, 0.0, spread=0.0)), "A")
    assert found.status == "error" and "the same difference" in found.text


def test_compute_is_priced_near_where_it_is_spent() -> None:
    """Loss falls as 1/sqrt of compute: a line over a hundredfold would price it at a multiple."""

    def run(arm: str, share: float, variant: int, seed: int) -> dict[str, float]:
        arms = ("none", "placebo", "finding")
        own = np.random.default_rng([seed, arms.index(arm), int(1000 * share)]).normal(0, 1e-4, 2)
        worth = share * (1.15 if arm == "finding" else 1.0)
        return {"loss": float(worth**-0.5 + own[0]), "safety": float(own[1])}

    made = Uplift(run=run, compute=(0.01, 0.7, 1.0, 1.4))
    low, high = answer(Subject(name="far/1", uplift=made), "A").interval or (0.0, 0.0)
    assert 0.14 < low < high < 0.15  # 15 %, less what bends within a factor of two
    with pytest.raises(AssessmentError, match="one lies below and one above it"):
        answer(Subject(name="far/2", uplift=replace(made, compute=(0.01, 0.1, 1.0))), "A")


def test_another_prior_is_another_measurement(tmp_path) -> None:
    path = tmp_path / "e.jsonl"
    made = Messages(outlet=Outlet(symbols=2), prior=[0.5, 0.5], send=lambda truth, seed: [truth], models=20)
    answer(Subject(name="e/1", messages=made), "E", path)
    with pytest.raises(AssessmentError, match="truths are not those"):
        answer(Subject(name="e/1", messages=replace(made, prior=[0.9, 0.1])), "E", path)
