"""What a user's own functions may do at a look or an alarm: they look, answer, and leave the training as it was."""

import pytest
import torch
from watch.loops import RECIPE, REFERENCES, TRUSTED, Scripted, parts, run, start
from watch.test_left_alone import BARE, DEEDS, jump
from watch.test_left_alone import run as run_net

from darklantern.errors import WatchError
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import training
from darklantern.watch import File, Notify, Reaction, Settings, watch


def once(look: int) -> float:
    return 9.0 * (look == 5)  # step 30


def watched(**given):
    made = parts()
    w = watch(
        made[0],
        state=made[1:],
        trusted=TRUSTED,
        signals=[Scripted(once)],
        references=REFERENCES,
        recipe="1" * 64,
        data="2" * 64,
        settings=Settings(every=5, margin=1, on_failure="go on"),
        **given,
    )
    return w, made


def undisturbed() -> str:
    model, optimizer, loader = parts()
    for step, batch in enumerate(loader):
        training.train_step(model, optimizer, RECIPE, step, batch)
    return weights_hash(model)


@pytest.mark.parametrize("where", ["on_look", "on_alarm", "investigate", "on_finding"])
def test_none_of_them_may_roll_back_and_asking_changes_nothing(where: str) -> None:
    refused = []

    def asks(*_):
        if w.alarms and not refused:
            try:
                w.roll_back()
            except WatchError as error:
                refused.append(error)
                raise

    w, made = watched(**{where: [asks] if where == "investigate" else asks})
    assert [step for step, _ in run(w, made)] == list(range(60))
    (error,) = refused
    assert "cannot roll the run back" in error.message
    assert ("return Reaction.ROLL_BACK" if where == "on_alarm" else "in the loop's body") in error.hint
    assert any("cannot roll the run back" in event.text for event in w.events), "and it is said"
    assert (w.rollbacks, w.screen, w.stopped) == (0, None, "")
    assert weights_hash(made[0]) == undisturbed()
    w.roll_back()
    assert w.step == 20, "afterwards a person may"


def test_a_signal_may_not_either() -> None:
    class Asks(Scripted):
        def read(self, seen):
            if w.alarms and len(refused) < 1:
                with pytest.raises(WatchError, match="a signal cannot roll the run back") as error:
                    w.roll_back()
                refused.append(error)
            return super().read(seen)

    refused: list[object] = []
    w, made = start(Asks(once))
    assert [step for step, _ in run(w, made)] == list(range(60))
    assert refused and w.stopped == ""


def test_what_is_asked_for_beside_a_rollback_is_done_and_it_counts(tmp_path) -> None:
    """A function that goes back returns ROLL_BACK: at the second alarm the limit holds."""
    told = tmp_path / "told.jsonl"

    def goes_back(alarm):
        return Reaction.ROLL_BACK

    w, made = start(
        Scripted(lambda look: 9.0 * (look in (5, 10))),
        [goes_back, Notify(File(told)), Reaction.CHECKPOINT],
        folder=tmp_path / "run",
        rollbacks=1,
    )
    run(w, made)
    w.close()
    assert [alarm.step for alarm in w.alarms] == [30, 45]
    assert w.rollbacks == 1
    assert w.stopped == "1 rollback did not hold; a person must look"
    assert len(told.read_text().splitlines()) == 2
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 4


def test_a_refused_rollback_keeps_nothing_of_what_was_asked_beside_it_from_being_done(tmp_path) -> None:
    told = tmp_path / "told.jsonl"
    w, made = start(Scripted(once), [lambda alarm: w.roll_back(), Notify(File(told)), Reaction.STOP])
    run(w, made)
    assert w.stopped == "on_alarm asked for it"
    assert w.step == 30
    assert len(told.read_text().splitlines()) == 1
    (failure,) = [event.text for event in w.events if event.label == "failure"]
    assert "a function in on_alarm cannot roll the run back" in failure


@pytest.mark.parametrize("where", ["on_look", "on_alarm", "on_finding"])
@pytest.mark.parametrize("what", DEEDS)
def test_a_run_is_the_same_whatever_one_of_them_does_beside_it(what: str, where: str) -> None:
    done = []

    def does(*_):
        done.append(DEEDS[what](model[0]))

    def made(net):
        model.append(net)
        return jump(net)

    model: list[torch.nn.Module] = []
    found, w = run_net(made, 1, **{where: does})
    assert w.alarms and done
    assert found == BARE


@pytest.mark.parametrize("failing", [1, 2])
def test_one_that_fails_at_a_look_keeps_no_other_from_being_told(failing: int) -> None:
    told = []

    def bad(w):
        raise RuntimeError("no screen")

    def worse(w):
        raise KeyError("no disk")

    w, made = start(Scripted(lambda look: 0.0), on_look=[bad, *[worse] * (failing - 1), lambda w: told.append(w.step)])
    run(w, made)
    assert told == w.trace.steps == list(range(5, 61, 5))
    said = {
        1: "on_look at step 5: RuntimeError('no screen')",
        2: "on_look at step 5: 2 of 3 functions failed: bad: RuntimeError('no screen'); worse: KeyError('no disk')",
    }
    failures = [event.text for event in w.events if event.label == "failure"]
    assert (failures[0], len(failures)) == (said[failing], 12)


def test_who_is_told_nothing_costs_no_guard() -> None:
    guards = []
    w, made = start(Scripted(lambda look: 0.0))
    inner = w._tap._aside._guard
    w._tap._aside._guard = lambda: guards.append(1) or inner()
    run(w, made)
    assert len(guards) == 13, "one for each look, and the self-test"
