"""The loop: a real model and loader, a probe whose readings the test decides."""

import msgspec
import numpy as np
import pytest
import torch
from watch.loops import (
    CORPUS,
    MARK,
    RECIPE,
    REFERENCES,
    TRUSTED,
    Marked,
    Scripted,
    given,
    parts,
    rising,
    run,
    start,
    with_changes,
)

from darklantern.errors import SiteError, WatchError
from darklantern.models.snapshot import capture, weights_hash
from darklantern.organisms import training
from darklantern.watch import Reaction, Settings, clock, watch
from darklantern.watch.attach.torch_loop import TorchTap


def test_watching_changes_nothing_about_training() -> None:
    model, optimizer = training.new(RECIPE, 1)
    for step, batch in enumerate(Marked(CORPUS, RECIPE, (1,))):
        training.train_step(model, optimizer, RECIPE, step, batch)
    w, parts = start(Scripted(lambda look: 0.0))
    steps = [step for step, _ in run(w, parts)]
    assert steps == list(range(60))
    assert weights_hash(parts[0]) == weights_hash(model)
    assert w.trace.steps == list(range(5, 61, 5))
    assert w.alarm is None
    assert w.overhead > 0


def test_each_look_is_one_pass_over_the_probes_rows() -> None:
    probe = Scripted(lambda look: 0.0)
    run(*start(probe))
    assert probe.shapes == [(3, 48, 16)] * 13


def test_an_alarm_names_step_signal_rate_and_the_last_clean_state() -> None:
    w, parts = start(Scripted(rising))
    run(w, parts)
    assert w.alarm is not None
    assert (w.alarm.step, w.alarm.signal) == (30, "scripted")
    assert w.alarm.clean.step == 20
    assert w.alarm.threshold.alpha == 0.05
    assert "false-alarm rate at most 5% a run; 19 clean reference runs" in str(w.alarm)
    assert [event.label for event in w.events] == ["alarm"]


def test_another_recipe_says_uncalibrated() -> None:
    other = msgspec.structs.replace(REFERENCES, recipe="7" * 64)
    w, parts = start(Scripted(rising), references=other)
    run(w, parts)
    assert w.alarm is not None
    assert "uncalibrated; the reference runs are of another recipe" in str(w.alarm)


def test_without_references_a_large_rise_still_alarms_and_says_uncalibrated() -> None:
    w, parts = start(Scripted(lambda look: 0.1 * (look % 2) if look < 7 else 50.0), references=None)
    run(w, parts)
    assert w.alarm is not None
    assert w.alarm.step >= 40
    assert "uncalibrated; no reference runs" in str(w.alarm)


def test_rolling_back_restores_the_state_bit_for_bit_screens_the_rows_and_goes_on_to_the_end() -> None:
    alarmed = []
    w, parts = start(Scripted(rising), on_alarm=lambda alarm: alarmed.append(alarm) or Reaction.ROLL_BACK, rollbacks=1)
    model, optimizer, loader = parts
    seen = []
    states = {}
    for batch in w.over(loader):
        states.setdefault(w.step, []).append(
            {name: value.clone() for name, value in capture(w.step, model, optimizer, loader).tensors.items()}
        )
        seen.append((w.step, batch.numpy().astype(np.uint8)))
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    steps = [step for step, _ in seen]
    assert steps[:30] == list(range(30))
    assert steps[30:] == list(range(20, 20 + len(steps) - 30))
    before, after = states[20]
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    first, second = (rows for step, rows in seen if step == 20)
    clean = [row for row in first if MARK not in row.tobytes()]
    assert np.array_equal(np.array(clean), second), "the same rows come again, without the marked ones"
    assert all(MARK not in row.tobytes() for step, rows in seen[30:] for row in rows)
    assert w.screened_rows > 0
    assert any(MARK.decode() in c.span for c in alarmed[0].suspects)
    assert [event.label for event in w.events][:2] == ["alarm", "rollback"]


def test_an_alarm_after_the_last_allowed_rollback_stops_the_loop() -> None:
    def again(look: int) -> float:
        return 9.0 if look in (5, 10) else 0.0  # step 30, and step 45 after the rollback

    w, parts = start(Scripted(again), on_alarm=lambda alarm: Reaction.ROLL_BACK, rollbacks=1)
    run(w, parts)
    assert [alarm.step for alarm in w.alarms] == [30, 45]
    assert w.step == 45
    assert w.events[-1].label == "stop"
    assert "1 rollback did not hold" in w.events[-1].text


def test_a_rollback_with_nothing_to_screen_stops_the_loop_instead() -> None:
    w, parts = start(Scripted(lambda look: 0.0 if look < 2 else 9.0), on_alarm=lambda alarm: Reaction.ROLL_BACK)
    run(w, parts)
    assert w.step == 15
    assert "nothing to screen" in w.events[-1].text
    with pytest.raises(WatchError, match="nothing of the new rows stands out"):
        w.roll_back()


def risen_for_long():
    """Quiet up to look 3, raised but below the threshold of 3 for six looks, then over it: step 55."""
    return Scripted(with_changes([0.0] * 4 + [2.4] * 6 + [4.0] * 2))


def high(limit: float):
    return msgspec.structs.replace(REFERENCES, maxima=(limit,) * 19)


def test_a_rise_older_than_the_kept_looks_goes_back_to_the_state_before_it() -> None:
    """Four looks are kept, the rise began seven looks ago; all that is in the ring is from after its start."""
    w, (model, optimizer, loader) = start(
        risen_for_long(), lambda alarm: Reaction.ROLL_BACK, references=high(3.0), history=4, rollbacks=1
    )
    states = {}
    for batch in w.over(loader):
        states.setdefault(w.step, []).append(capture(w.step, model, optimizer, loader).tensors)
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    assert max(w.trace.joint[:4]) <= w.settings.quiet * 3.0 < w.trace.joint[4]
    assert [alarm.step for alarm in w.alarms][:1] == [55]
    assert w.alarm.clean.step == 20
    assert "Last clean state: step 20" in str(w.alarm)
    first, second = states[20]
    assert all(torch.equal(first[name].clone(), second[name]) for name in first)


def test_a_rise_with_the_first_looks_has_no_clean_state_and_stops_the_loop() -> None:
    probe = Scripted(with_changes([0.0] + [4.0] * 11))
    w, parts = start(probe, lambda alarm: Reaction.ROLL_BACK, margin=2)
    run(w, parts)
    assert (w.step, w.alarm.clean) == (10, None)
    assert "Last clean state: none" in str(w.alarm)
    assert "no state is known to be clean" in w.events[-1].text
    before = weights_hash(parts[0])
    with pytest.raises(WatchError, match="no state is known to be clean"):
        w.roll_back()
    assert (weights_hash(parts[0]), w.screen, w.step) == (before, None, 10)
    with pytest.raises(WatchError, match="stopped this run at step 10: no state is known to be clean"):
        run(w, parts)


def test_a_stopped_run_does_not_go_on_at_the_next_epoch() -> None:
    w, parts = start(Scripted(rising), on_alarm=lambda alarm: Reaction.STOP)
    run(w, parts)
    with pytest.raises(WatchError, match="stopped this run at step 30: on_alarm asked for it"):
        run(w, parts)
    w.roll_back()
    assert run(w, parts)[0][0] == 20, "a person rolled it back, so it goes on"


def test_what_on_alarm_returns_must_be_a_reaction() -> None:
    w, parts = start(Scripted(rising), on_alarm=lambda alarm: "roll back")
    with pytest.raises(WatchError, match="on_alarm gave 'roll back', expected a Reaction"):
        run(w, parts)


def test_a_rollback_by_hand_within_the_loop_counts_steps_from_the_clean_state() -> None:
    w, (_, _, loader) = start(Scripted(lambda look: 9.0 if look == 5 else 0.0), Reaction.LOG)
    steps = []
    for _ in w.over(loader):
        steps.append((w.step, loader.state()["step"]))
        if w.step == 31 and len(w.events) == 1:
            w.roll_back()
    assert steps == [(i, i + 1) for i in [*range(32), *range(20, 60)]]
    assert w.trace.steps == list(range(5, 61, 5))


def test_a_loader_that_starts_anew_after_a_rollback_is_refused() -> None:
    class Anew(Marked):
        def __iter__(self):
            self.restore(begin)
            return super().__iter__()

    model, optimizer, _ = parts()
    loader = Anew(CORPUS, RECIPE, (1,))
    begin = loader.state()
    w, _ = start(Scripted(rising), lambda alarm: Reaction.ROLL_BACK, of=(model, optimizer, loader))
    with pytest.raises(WatchError, match="after the rollback to step 20 the loader gave another batch"):
        list(w.over(loader))


def test_stop_ends_the_loop_at_the_alarm() -> None:
    w, parts = start(Scripted(rising), on_alarm=lambda alarm: Reaction.STOP)
    assert [step for step, _ in run(w, parts)] == list(range(30))


def test_nothing_to_roll_back_is_an_error_that_changes_nothing() -> None:
    w, parts = start(Scripted(lambda look: 0.0))
    run(w, parts)
    before = weights_hash(parts[0])
    with pytest.raises(WatchError, match="no alarm"):
        w.roll_back()
    assert weights_hash(parts[0]) == before


def test_a_site_that_does_not_exist_fails_before_the_first_step() -> None:
    w, parts = start(Scripted(lambda look: 0.0, sites=("layers.7:out",)))
    with pytest.raises(SiteError, match=r"layers\.7:out"):
        run(w, parts)
    assert parts[2].state()["step"] == 0


def test_a_signal_that_is_not_finite_is_an_error_not_a_quiet_zero() -> None:
    w, parts = start(Scripted(lambda look: float("nan") if look == 3 else 0.0))
    with pytest.raises(WatchError, match="read Reading"):
        run(w, parts)


def test_a_model_without_readout_and_a_loader_of_floats_are_named() -> None:
    model, optimizer, loader = parts()
    model.readout = None
    w, _ = start(Scripted(rising, lenses=("layers.0:out",)), of=(model, optimizer, loader))
    with pytest.raises(WatchError, match="no method `readout`"):
        list(w.over(loader))
    w, (_, _, loader) = start(Scripted(rising), of=given(torch.ones(2, 3)))
    with pytest.raises(WatchError, match=r"a batch has examples \(3,\), the trusted ones are \(49,\)"):
        list(w.over(loader))


@pytest.mark.parametrize("leave", [6, 9], ids=["between looks", "at a look"])
@pytest.mark.parametrize("how", ["break", "exception"])
def test_leaving_the_loop_and_coming_back_loses_no_step_and_no_look(leave: int, how: str) -> None:
    whole, whole_parts = start(Scripted(lambda look: 0.0))
    run(whole, whole_parts)
    w, (model, optimizer, loader) = start(probe := Scripted(lambda look: 0.0))
    try:
        for batch in w.over(loader):
            training.train_step(model, optimizer, RECIPE, w.step, batch)
            if w.step == leave and how == "break":
                break
            if w.step == leave:
                raise KeyError("the user's")
    except KeyError:
        pass
    assert w.step == loader.state()["step"] == leave + 1
    assert run(w, (model, optimizer, loader))[0][0] == leave + 1
    assert w.trace.steps == whole.trace.steps
    assert probe.looks == 13, "no second self-test"
    assert weights_hash(model) == weights_hash(whole_parts[0])


def test_what_comes_after_the_last_look_is_looked_at_when_the_loader_ends() -> None:
    w, parts_of_12 = start(Scripted(lambda look: 0.0 if look < 2 else 9.0), of=parts(end=12))
    run(w, parts_of_12)
    assert w.trace.steps == [5, 10, 12]
    assert w.alarm.step == 12


def test_a_loader_at_its_end_is_named_and_no_quiet_success() -> None:
    model, optimizer, loader = parts()
    list(loader)
    w, _ = start(Scripted(rising), of=(model, optimizer, loader))
    with pytest.raises(WatchError, match="gave no batch"):
        list(w.over(loader))


def test_two_watches_on_one_model_take_turns_and_never_share_a_loop() -> None:
    model, optimizer, loader = parts()
    first, _ = start(Scripted(lambda look: 0.0), of=(model, optimizer, loader))
    second, _ = start(Scripted(lambda look: 0.0), of=(model, optimizer, loader))
    with pytest.raises(WatchError, match="another loader in `state` than this generator"):
        list(second.over(first.over(loader)))
    with pytest.raises(WatchError, match="the loader moved while its batch of step 4 was trained on"):
        list(zip(first.over(loader), second.over(loader), strict=True))
    with pytest.raises(WatchError, match="still open"):
        list(zip(first.over(loader), first.over(loader), strict=True))


def test_a_new_watch_goes_on_where_another_was_left() -> None:
    whole, whole_parts = start(Scripted(lambda look: 0.0), of=parts())
    run(whole, whole_parts)
    model, optimizer, loader = parts()
    first, _ = start(Scripted(lambda look: 0.0), of=(model, optimizer, loader))
    for batch in first.over(loader):
        training.train_step(model, optimizer, RECIPE, first.step, batch)
        if first.step == 6:
            break
    second = watch(
        model, state=(optimizer, loader), trusted=TRUSTED, signals=[Scripted(lambda look: 0.0)], step=first.step
    )
    assert [step for step, _ in run(second, (model, optimizer, loader))] == list(range(7, 60))
    assert weights_hash(model) == weights_hash(whole_parts[0])


def test_the_time_of_rows_screening_and_self_test_counts_as_the_watchs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Slow(Scripted):
        def read(self, seen):
            now[0] += 10
            return super().read(seen)

    def slowed(inner):
        def around(self, batch):
            now[0] += 1
            return inner(self, batch)

        return around

    monkeypatch.setattr(TorchTap, "examples", slowed(TorchTap.examples))  # of the batches at looks
    monkeypatch.setattr(TorchTap, "later", slowed(TorchTap.later))  # of the others
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    w, (_, _, loader) = start(Slow(lambda look: 0.0))
    for _ in w.over(loader):
        now[0] += 2
    assert (w.seconds_looking, w.seconds_training) == (60 * 1 + 13 * 10, 60 * 2)
    assert w.overhead == 190 / 120


def test_a_loop_that_ends_early_by_until_has_its_last_look_and_one_by_break_asks_for_it() -> None:
    w, (_, _, loader) = start(Scripted(lambda look: 0.0))
    assert sum(1 for _ in w.over(loader, until=12)) == 12
    assert (w.trace.steps, w.step, loader.state()["step"]) == ([5, 10, 12], 12, 12)
    assert sum(1 for _ in w.over(loader, until=12)) == 0
    for _ in w.over(loader):
        if w.step == 17:
            break
    assert (w.step, w.trace.steps[-1]) == (18, 15)
    assert w.finish() is Reaction.LOG
    assert w.trace.steps[-1] == 18
    assert [w.step for _ in w.over(loader)] == list(range(18, 60)), "and it may go on"


def test_a_last_look_that_rolls_back_has_the_steps_up_to_until_again() -> None:
    w, (_, _, loader) = start(Scripted(lambda look: 9.0 * (look == 6)), Reaction.ROLL_BACK, rollbacks=1)
    steps = [w.step for _ in w.over(loader, until=32)]
    assert steps == [*range(32), *range(25, 32)]
    assert w.trace.steps == [*range(5, 31, 5), 32]


def test_a_watch_without_a_stated_rate_says_so_when_it_attaches() -> None:
    w, _ = start(Scripted(rising), references=None)
    assert [(e.label, e.text) for e in w.events] == [
        ("uncalibrated", "no reference runs; standardised on this run's first looks")
    ]
    assert start(Scripted(rising))[0].events == []


def test_settings_that_could_not_work_are_refused() -> None:
    for wrong in ({"every": 0}, {"history": 0}, {"margin": -1}, {"margin": 3, "history": 2}, {"rollbacks": -1}):
        with pytest.raises(WatchError, match=r"settings\.(every|history|margin|rollbacks): expected"):
            Settings(**wrong)
