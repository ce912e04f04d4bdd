"""What follows an alarm, a look that fails, and a word from outside, in a real loop with a real folder."""

import json
import resource
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from watch.loops import CORPUS, RECIPE, REFERENCES, TRUSTED, Marked, Scripted, parts, rising, run

from darklantern import rewindable
from darklantern.errors import WatchError
from darklantern.models.edits import zero
from darklantern.models.snapshot import load, restore, weights_hash
from darklantern.organisms import training
from darklantern.watch import Ablate, File, Notify, Reaction, Settings, Signal, watch
from darklantern.watch.runs import asking


@pytest.fixture
def begun(tmp_path: Path):
    """Attach a watch to a fresh run in a folder; each is closed at the end."""
    watches = []

    def begin(probe, on_alarm=Reaction.LOG, folder="run", **settings):
        made = parts()
        w = watch(
            made[0],
            state=made[1:],
            trusted=TRUSTED,
            signals=[probe],
            references=REFERENCES,
            recipe="1" * 64,
            data="2" * 64,
            settings=Settings(**{"every": 5, "margin": 1, **settings}),
            on_alarm=on_alarm,
            run=None if folder is None else tmp_path / folder,
        )
        watches.append(w)
        return w, made

    yield begin
    for w in watches:
        w.close()


def when_paused(folder: Path, *wishes: str) -> threading.Thread:
    """Somebody outside who says each of `wishes` once the run waits for a person."""

    def say() -> None:
        found = asking.find(folder)
        for wish in wishes:
            end = time.monotonic() + 60
            while (beat := found.heartbeat()) is None or beat.what != "paused":
                assert time.monotonic() < end
                time.sleep(0.02)
            command = asking.ask(found, wish, "as agreed", 60)
            assert asking.answer_to(found, command, 60) is not None

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    return thread


def labels(w) -> list[str]:
    return [event.label for event in w.events if event.label != "uncalibrated"]


def test_a_stop_from_outside_ends_the_loop_before_the_next_batch_and_says_where(begun, tmp_path: Path) -> None:
    w, (model, optimizer, loader) = begun(Scripted(lambda look: 0.0))
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
        if w.step == 12:
            time.sleep(0.25)  # commands are looked for a few times a second
            command = asking.ask(asking.find(tmp_path / "run"), "stop", "lunch", 60)
    assert w.step == loader.state()["step"] == 13
    assert "asked for it: lunch" in w.stopped
    answer = asking.answer_to(asking.find(tmp_path / "run"), command, 5)
    assert (answer.done, answer.step) == (True, 13)
    assert w.finish() is Reaction.STOP and w.trace.steps == [5, 10], "nor is what came last looked at"
    with pytest.raises(WatchError, match="stopped this run at step 13"):
        run(w, (model, optimizer, loader))


@pytest.mark.parametrize("at", [12, 15], ids=["between looks", "at a look"])
@pytest.mark.parametrize("wish", ["stop", "pause"])
def test_a_word_from_outside_while_a_batch_is_drawn_loses_none(begun, tmp_path: Path, wish: str, at: int) -> None:
    whole = [batch.numpy().tobytes() for batch in parts()[2]]
    w, (model, optimizer, loader) = begun(Scripted(lambda look: 0.0))
    inner = loader._rows
    waiting = []

    def asked_meanwhile():
        if loader.state()["step"] == at and not waiting:
            waiting.append(asking.ask(asking.find(tmp_path / "run"), wish, "lunch", 60))
            waiting.append(when_paused(tmp_path / "run", "stop") if wish == "pause" else None)
            w._outside._next = 0.0  # as if the batch had taken long
        return inner()

    loader._rows = asked_meanwhile
    seen = [rows for _, rows in drawn(w, loader)]
    assert waiting
    assert w.stopped
    assert w.step == len(seen) == loader.state()["step"]
    again = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[Scripted(lambda look: 0.0)], step=w.step)
    assert [*seen, *(rows for _, rows in drawn(again, loader))] == whole


def drawn(w, loader):
    for batch in w.over(loader):
        w._outside._next = 0.0
        yield w.step, batch.numpy().tobytes()


def test_an_alarm_pauses_until_a_person_lets_it_go_on(begun, tmp_path: Path) -> None:
    whole, made = begun(Scripted(rising), folder=None)
    run(whole, made)
    w, (model, optimizer, loader) = begun(Scripted(rising), Reaction.PAUSE)
    outside = None
    for batch in w.over(loader):
        outside = outside or when_paused(tmp_path / "run", "go on")
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    outside.join(60)
    assert labels(w) == ["alarm", "pause", "go on"]
    assert w.step == 60
    assert weights_hash(model) == weights_hash(made[0]), "waiting changes nothing"


def test_whoever_is_asked_may_roll_back_and_what_cannot_be_done_is_answered(begun, tmp_path: Path) -> None:
    """The first look that fails has no alarm behind it: there is nothing to roll back from."""

    class Failing(Scripted):
        def read(self, seen):
            if self.looks == 3:
                self.looks += 1
                raise KeyError("a slip in a signal")
            return super().read(seen)

    w, (model, optimizer, loader) = begun(Failing(lambda look: 0.0))
    outside = None
    for batch in w.over(loader):
        outside = outside or when_paused(tmp_path / "run", "roll back", "go on")
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    outside.join(60)
    assert labels(w) == ["failure", "pause", "failure", "go on"]
    assert "a slip in a signal" in w.events[0].text
    assert "no alarm to roll back from" in w.events[2].text
    assert w.trace.steps == [5, 10, *range(20, 61, 5)], "the look that failed is in no curve"
    assert w.step == 60


@pytest.mark.parametrize("how", ["go on", "raise", "pause"])
def test_a_look_that_fails_leaves_the_run_whole(begun, how: str) -> None:
    plain = parts()
    for step, batch in enumerate(plain[2]):
        training.train_step(plain[0], plain[1], RECIPE, step, batch)

    w, made = begun(Scripted(lambda look: float("nan") if look == 3 else 0.0), folder=None, on_failure=how)
    if how == "go on":
        run(w, made)
        assert labels(w) == ["failure"]
        assert "read Reading(value=nan" in w.events[0].text
        assert w.trace.steps == [step for step in range(5, 61, 5) if step != 20]
    else:  # nobody could be asked
        with pytest.raises(WatchError, match="read Reading"):
            run(w, made)
        assert w.step == made[2].state()["step"] == 20, "the batch in hand went back to the loader"
        run(w, made)  # and the loop may go on from there
    assert weights_hash(made[0]) == weights_hash(plain[0])


def test_a_checkpoint_has_both_states_and_training_can_start_from_either(begun, tmp_path: Path) -> None:
    w, made = begun(Scripted(rising), Reaction.CHECKPOINT)
    seen = run(w, made)
    clean, alarm = sorted((tmp_path / "run" / "checkpoints").iterdir(), key=lambda path: path.name.split("-")[-1])
    assert [path.name for path in (clean, alarm)] == [
        "00000030-clean-00000020.safetensors",
        "00000030-alarm-00000030.safetensors",
    ]
    for path, step in ((clean, 20), (alarm, 30)):
        model, optimizer = training.new(RECIPE, 7)
        loader = Marked(CORPUS, RECIPE, (1,))
        restore(load(path), model, optimizer, loader)
        batches = [batch.numpy().astype(np.uint8).tobytes() for batch in loader]
        assert batches == [rows for _, rows in seen[step:]]


def test_a_disk_that_is_full_at_a_checkpoint_is_said_and_the_run_goes_on(begun, tmp_path: Path) -> None:
    w, made = begun(Scripted(rising), Reaction.CHECKPOINT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        run(w, made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert labels(w) == ["alarm", "failure", "failure"]
    assert "was not written" in w.events[-1].text
    assert w.step == 60
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == [], "no half of one"


def test_people_are_told_and_what_the_data_held_is_not(begun, tmp_path: Path) -> None:
    w, made = begun(Scripted(rising), [Notify(File(tmp_path / "alarms.jsonl")), Reaction.LOG], folder=None)
    run(w, made)
    assert labels(w) == ["alarm", "told"]
    (line,) = (tmp_path / "alarms.jsonl").read_text().splitlines()
    said = json.loads(line)
    assert said["step"] == 30
    assert "scripted at" in said["text"]
    assert "poison" not in line


def test_an_ablation_holds_from_the_alarm_on(begun) -> None:
    w, (model, _, loader) = begun(Scripted(rising), Ablate({"layers.0.mlp:out": zero()}), folder=None)
    outputs = []
    for batch in w.over(loader):
        model.layers[0].mlp.down.register_forward_hook(lambda *_: None)
        with torch.no_grad():
            before = model(batch[:1, :-1])
            model.layers[0].mlp.down.weight.mul_(1.5)
            outputs.append((w.step, torch.equal(before, model(batch[:1, :-1]))))
            model.layers[0].mlp.down.weight.div_(1.5)
    assert [step for step, same in outputs if same] == list(range(30, 60)), "what is ablated no longer matters"


def test_reactions_that_need_a_folder_are_refused_without_one(begun) -> None:
    for reaction in (Reaction.PAUSE, Reaction.CHECKPOINT):
        w, made = begun(Scripted(rising), reaction, folder=None)
        with pytest.raises(WatchError, match="needs the folder of a run"):
            run(w, made)
    w, made = begun(Scripted(rising), lambda alarm: Reaction.PAUSE, folder=None)
    run(w, made)
    assert "nobody could answer a pause" in w.stopped


def test_a_view_that_fails_is_said_and_training_goes_on() -> None:
    def slips(watch):
        raise OSError("the terminal is gone")

    model, optimizer, loader = parts()
    w = watch(
        model,
        state=(optimizer, loader),
        trusted=TRUSTED,
        signals=[Scripted(lambda look: 0.0)],
        settings=Settings(every=20),
        on_look=slips,
    )
    run(w, (model, optimizer, loader))
    assert w.step == 60
    assert [event.text for event in w.events if event.label == "failure"][:1] == [
        "on_look at step 20: OSError('the terminal is gone')"
    ]


def test_a_bet_that_runs_out_of_trusted_rows_is_said_once() -> None:
    class Bets(Scripted):
        signals = (Signal("scripted", "I0", "signal", "", "", detector="betting", says="novelty"),)

        def __init__(self) -> None:
            super().__init__(lambda look: 0.0)
            self.signals = Bets.signals

        def scores(self, seen):
            return {"scripted": (np.ones(4), np.ones(4 if seen.step < 30 else 0))}

    model, optimizer, loader = parts()
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[Bets()], settings=Settings(every=10))
    run(w, (model, optimizer, loader))
    (said,) = [event for event in w.events if event.label == "no bet"]
    assert said.step == 30
    assert "4 training and 0 trusted rows" in said.text and "more trusted examples let it go on" in said.text


def test_rows_that_were_trained_on_are_not_bet_on_a_second_time() -> None:
    """Two epochs over the same rows: in the second one there is nothing left to bet on."""

    class Bets(Scripted):
        def __init__(self) -> None:
            super().__init__(lambda look: 0.0)
            self.signals = (Signal("scripted", "I0", "signal", "", "", detector="betting", says="novelty"),)

        def scores(self, seen):
            return {"scripted": (np.full(4, 2.0), np.ones(4))}

    model, optimizer, _ = parts()
    rows = torch.from_numpy(TRUSTED[:320].astype(np.int64))
    loader = rewindable(rows, batch_size=16, epochs=2)
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[Bets()], settings=Settings(every=5))
    run(w, (model, optimizer, loader))
    wealth = w.trace.curve("scripted")
    assert wealth[0] < wealth[1] < wealth[2] == wealth[3] == wealth[-1], "looks at 5, 10 and 15 have fresh rows"
    (said,) = [event for event in w.events if event.label == "no bet"]
    assert said.step == 20 and "were trained on before" in said.text and "later epochs" in said.text


def test_a_rollback_lifts_what_was_ablated_since(begun) -> None:
    """The clean state was trained without the edit, so training goes on from it without one."""

    def on_alarm(alarm):
        return Ablate({"layers.0.mlp:out": zero()}) if not alarm.earlier else None

    w, (model, _, loader) = begun(Scripted(rising), on_alarm, folder=None)
    matters = {}
    for batch in w.over(loader):
        with torch.no_grad():
            before = model(batch[:1, :-1])
            model.layers[0].mlp.down.weight.mul_(1.5)
            matters.setdefault(w.step, []).append(not torch.equal(before, model(batch[:1, :-1])))
            model.layers[0].mlp.down.weight.div_(1.5)
        if w.step == 33 and not w.rollbacks:
            w.roll_back()
    assert matters[33][0] is False, "ablated since the alarm at 30"
    assert all(each[-1] for step, each in matters.items() if 20 <= step < 30)
    assert matters[20] == [True, True]
