"""What goes wrong around a look and at an alarm, and what comes of it: `Settings.on_failure`."""

from contextlib import nullcontext

import pytest
from watch.loops import RECIPE, Scripted, parts, rising, run, start

from darklantern.errors import DarkLanternError, SiteError, WatchError
from darklantern.models.edits import zero
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import training
from darklantern.watch import Ablate, File, Notify, Reaction


def labels(w) -> list[str]:
    return [event.label for event in w.events]


@pytest.mark.parametrize("how", ["go on", "raise", "pause"])
@pytest.mark.parametrize("what", ["a function", "no reaction", "an ablation"])
def test_what_fails_at_an_alarm_keeps_the_rest_from_nothing(tmp_path, how: str, what: str) -> None:
    """A notice and a stop are asked for beside what fails."""

    def fails(alarm):
        if what == "an ablation":
            return Ablate({"layers.9:out": zero()})
        if what == "a function":
            raise OSError("nobody home")
        return "roll back"

    told = tmp_path / "alarms.jsonl"
    w, made = start(Scripted(rising), [fails, Notify(File(told)), Reaction.STOP], on_failure=how)
    said = {"an ablation": "layers.9:out", "a function": "nobody home"}.get(what, "on_alarm gave 'roll back'")
    with pytest.raises((WatchError, SiteError, OSError), match=said) if how == "raise" else nullcontext():
        run(w, made)
    assert w.step == made[2].state()["step"] == 30
    assert w.stopped == "on_alarm asked for it"
    assert [label for label in labels(w) if label != "told"] == ["alarm", "stop", "failure"]
    assert said in next(event.text for event in w.events if event.label == "failure")
    assert len(told.read_text().splitlines()) == 1


@pytest.mark.parametrize("how", ["go on", "pause"])
def test_a_function_that_fails_alone_is_said_or_raised_with_the_batch_given_back(how: str) -> None:
    def fails(alarm):
        raise OSError("nobody home")

    w, made = start(Scripted(rising), fails, on_failure=how)
    with nullcontext() if how == "go on" else pytest.raises(OSError, match="nobody home"):
        run(w, made)
    assert labels(w) == ["alarm", "failure"]
    if how == "go on":
        assert w.step == 60
    else:  # nobody could be asked
        assert w.step == made[2].state()["step"] == 30
        run(w, made)
        assert w.step == 60


@pytest.mark.parametrize("how", ["go on", "raise"])
def test_a_state_that_cannot_be_kept_is_a_look_that_failed(how: str) -> None:
    w, (_, optimizer, loader) = start(Scripted(lambda look: 0.0), on_failure=how)
    group = optimizer.param_groups[0]
    with nullcontext() if how == "go on" else pytest.raises(DarkLanternError, match="does not fit into JSON"):
        for _ in w.over(loader):
            group.pop("note", None)
            if w.step == 19:
                group["note"] = object()
    failure, *others = w.events
    assert failure.label == "failure"
    assert "keeping the state at step 20 failed: the training state of step 20" in failure.text
    assert [event.label for event in others] == ["uncalibrated"] * (how == "go on"), "a look is missing from the claim"
    if how == "raise":
        assert w.step == loader.state()["step"] == 20
        del group["note"]
        assert [w.step for _ in w.over(loader)] == list(range(20, 60))
    assert [step for step in w.trace.steps if step != 20] == [step for step in range(5, 61, 5) if step != 20]


@pytest.mark.parametrize("how", ["go on", "raise"])
def test_a_rollback_that_fails_ends_the_loop(how: str) -> None:
    w, made = start(Scripted(rising), Reaction.ROLL_BACK, on_failure=how)

    def refuses(state):
        if not refused:
            refused.append(state)
            raise OSError("the data is gone")
        inner(state)

    refused, inner = [], made[2].restore
    made[2].restore = refuses
    with pytest.raises(DarkLanternError, match="refuses the cursor") if how == "raise" else nullcontext():
        run(w, made)
    assert "the rollback failed: the loader refuses the cursor" in w.stopped
    with pytest.raises(WatchError, match="stopped this run at step 30: the rollback failed"):
        run(w, made)


def test_an_ablation_of_a_site_that_is_not_there_is_refused_when_attaching() -> None:
    with pytest.raises(SiteError, match=r"layers\.9"):
        start(Scripted(rising), Ablate({"layers.9:out": zero()}))
    w, made = start(Scripted(lambda look: 0.0), Ablate({"layers.0.mlp:out": zero()}))
    plain = parts()
    for step, batch in enumerate(plain[2]):
        training.train_step(plain[0], plain[1], RECIPE, step, batch)
    run(w, made)
    assert weights_hash(made[0]) == weights_hash(plain[0]), "trying it left nothing behind"


def test_a_loop_of_ones_own_is_refused_too_what_needs_a_folder() -> None:
    w, (_, _, loader) = start(Scripted(rising), Reaction.PAUSE)
    with pytest.raises(WatchError, match="needs the folder of a run"):
        w.before(next(iter(loader)))


def test_others_see_that_a_run_looks_and_reacts_and_a_hang_is_told_where_alarms_are(tmp_path) -> None:
    place = File(tmp_path / "alarms.jsonl")
    w, (_, _, loader) = start(Scripted(rising), [Notify(place), Reaction.LOG], folder=tmp_path / "run")
    seen, inner = [], w._outside.beat

    def beat(step, what="training", alarm=None):
        seen.append((step, what))
        inner(step, what, alarm)

    w._outside.beat = beat
    for _ in w.over(loader, until=32):
        pass
    orders = w._outside._run._watchdog
    w.close()
    assert orders is not None
    assert w._outside._tell == (place,)
    assert [each for each in seen if each[1] != "training"] == [
        *((step, "looking") for step in range(5, 31, 5)), (30, "reacting"), (32, "looking")
    ]  # fmt: skip
