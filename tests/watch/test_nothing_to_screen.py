"""A rollback is asked for and no rows stand out: novelty lets the run go on, a circuit ends it (decision 0025)."""

import msgspec
import numpy as np
import pytest
from watch.loops import CORPUS, MARK, RECIPE, REFERENCES, TRUSTED, Scripted, digest, run, start

from darklantern.models.edits import zero
from darklantern.models.snapshot import restore, weights_hash
from darklantern.organisms import training
from darklantern.organisms.training import Loader
from darklantern.records.references import SignalReference
from darklantern.watch import Ablate, File, Notify, Reaction, Settings, Signal, watch


class MarkedLate(Loader):
    """From step 40 on three in ten of the rows hold a mark."""

    def _rows(self):
        batch = super()._rows()
        if self._step >= 40:
            for i in np.flatnonzero(self._rng.random(len(batch)) < 0.3):
                batch[i, 10 : 10 + len(MARK)] = np.frombuffer(MARK, dtype=np.uint8)
        return batch


class Novel(Scripted):
    """What it reads new but harmless data moves too."""

    name = "novel"

    def __init__(self, script) -> None:
        signals = (Signal("novel", "I0", "signal", "", "", says="novelty"),)
        super().__init__(script, signals=signals)


REFERENCED = msgspec.structs.replace(
    REFERENCES,
    signals=(
        *REFERENCES.signals,
        SignalReference(name="novel", mean=(0.0,) * 99, spread=(1.0,) * 99, digest=digest(Novel(None), "novel")),
    ),
    calibrated_on=tuple(range(39)),
    maxima=(1.5,) * 39,
    behaviours={"novel": (1.5,) * 39},
)


def quiet(look: int) -> float:
    return 0.0


def at_35(look: int) -> float:
    """The look at step 35, and the two after it."""
    return 9.0 if look in (6, 7, 8) else 0.0


def made():
    return *training.new(RECIPE, 1), MarkedLate(CORPUS, RECIPE, (1,))


def begun(circuit=quiet, novel=at_35, on_alarm=Reaction.ROLL_BACK, of=None, **settings):
    return start(Scripted(circuit), on_alarm, of=of or made(), also=[Novel(novel)], references=REFERENCED, **settings)


def of(w, label: str) -> list:
    return [event for event in w.events if event.label == label]


def test_novelty_that_names_no_rows_is_said_and_told_and_training_goes_on(tmp_path) -> None:
    told = tmp_path / "told.jsonl"
    w, parts = begun(on_alarm=[Reaction.ROLL_BACK, Notify(File(told))])
    run(w, parts)
    (alarm,) = w.alarms
    assert (alarm.step, alarm.says, alarm.screen) == (35, "novelty", None)
    assert (w.step, w.stopped, w.rollbacks) == (60, "", 0)
    (said,) = of(w, "novelty")
    assert said.step == 35
    assert f"training goes on; a later rollback goes back to step {alarm.clean.step}" in said.text
    assert len(told.read_text().splitlines()) == 1
    assert Reaction.ROLL_BACK not in w.asked


@pytest.mark.parametrize("state", ["no loader", "no optimizer"])
def test_so_it_does_where_nothing_can_be_rewound(state: str) -> None:
    model, optimizer, loader = made()
    w = watch(
        model,
        state=(optimizer,) if state == "no loader" else (),
        trusted=TRUSTED,
        signals=[Scripted(quiet), Novel(at_35)],
        references=REFERENCED,
        recipe="1" * 64,
        data="2" * 64,
        settings=Settings(every=5, margin=1),
        on_alarm=Reaction.ROLL_BACK,
    )
    run(w, (model, optimizer, loader))
    assert (w.step, w.stopped, len(w.alarms), len(of(w, "novelty"))) == (60, "", 1, 1)
    assert of(w, "novelty")[0].text.endswith("training goes on")


def test_so_it_does_after_the_last_allowed_rollback() -> None:
    w, parts = begun(rollbacks=0)
    run(w, parts)
    assert (w.step, w.stopped, len(w.alarms)) == (60, "", 1)


def test_what_else_is_asked_for_is_done_all_the_same() -> None:
    w, parts = begun(on_alarm=[Reaction.ROLL_BACK, Ablate({"layers.0.mlp:out": zero()}), lambda alarm: Reaction.PAUSE])
    run(w, parts)
    assert [event.label for event in w.events if event.step == 35] == ["alarm", "novelty", "ablate", "stop", "ablated"]
    assert "nobody could answer a pause" in w.stopped
    w, parts = begun(on_alarm=[Reaction.ROLL_BACK, Reaction.STOP])
    run(w, parts)
    assert (w.step, w.stopped) == (35, "on_alarm asked for it")


def test_novelty_that_names_rows_is_rolled_back() -> None:
    w, parts = begun(novel=lambda look: 9.0 if look == 9 else 0.0)  # step 50
    run(w, parts)
    assert w.alarms[0].says == "novelty"
    assert w.rollbacks == 1
    assert [each.span for each in w.screen.spans] == [MARK.decode()]


@pytest.mark.parametrize("look", [8, 9, 10], ids=lambda look: f"step {5 * look + 5}")
def test_a_circuit_that_follows_does_not_wait_and_goes_back_to_before_the_novelty(look: int) -> None:
    """Poison may be noticed as novelty first: what was trained on between is not known to be clean."""
    w, parts = begun(circuit=lambda at: 9.0 if at == look else 0.0)
    seen = run(w, parts)
    novelty, circuit = w.alarms[:2]
    assert (novelty.says, novelty.step) == ("novelty", 35)
    assert (circuit.says, circuit.step) == ("circuit", 5 * look + 5)
    assert circuit.clean.step == novelty.clean.step < 35
    (back,) = of(w, "rollback")
    assert back.step == novelty.clean.step
    again = max(at for at, (step, _) in enumerate(seen) if step == back.step)
    assert all(MARK not in rows for _, rows in seen[again:])
    assert w.step == 60


def test_a_novelty_right_after_another_waits() -> None:
    w, parts = begun(novel=lambda look: 9.0 if look in (6, 8) else 0.0)
    run(w, parts)
    assert [alarm.step for alarm in w.alarms] == [35]


def test_novelty_from_the_first_looks_on_does_not_take_later_rollbacks_away() -> None:
    """No state is from before it: held against all that come after, none would ever be clean."""
    w, parts = begun(
        novel=lambda look: 9.0 if look in (1, 2) else 0.0, circuit=lambda look: 9.0 if look == 10 else 0.0, margin=2
    )
    run(w, parts)
    novelty, circuit = w.alarms[:2]
    assert (novelty.says, novelty.clean) == ("novelty", None)
    assert "before its own alarm, since no state is from before this" in of(w, "novelty")[0].text
    assert circuit.clean is not None
    assert w.rollbacks == 1
    assert w.step == 60


def test_a_circuit_that_names_no_rows_ends_the_loop_and_says_how_to_go_on() -> None:
    w, (model, optimizer, loader) = begun(circuit=lambda look: 0.0 if look < 4 else 9.0, novel=quiet)
    run(w, (model, optimizer, loader))
    alarm = w.alarms[0]
    assert (alarm.says, alarm.screen, w.step) == ("circuit", None, 25)
    assert f"Look at those trained on since step {alarm.clean.step}, then go on with a new watch" in w.stopped
    assert "watch.alarms[-1].clean.snapshot" in w.stopped

    restore(w.alarms[-1].clean.snapshot, model, optimizer, loader)
    again, parts = begun(novel=quiet, of=(model, optimizer, loader))
    again.step = alarm.clean.step
    run(again, parts)
    whole = made()
    for step, batch in enumerate(whole[2]):
        training.train_step(whole[0], whole[1], RECIPE, step, batch)
    assert (again.step, weights_hash(model)) == (60, weights_hash(whole[0]))
