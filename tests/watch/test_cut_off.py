"""What Ctrl-C cuts off at an alarm is finished before anything is trained on, wherever it fell."""

import json
import sys
from pathlib import Path

import pytest
import torch
from watch.loops import RECIPE, REFERENCES, TRUSTED, Scripted, parts, run
from watch.test_answering import when_paused

from darklantern.errors import WatchError
from darklantern.models.edits import zero
from darklantern.models.snapshot import capture, weights_hash
from darklantern.organisms import training
from darklantern.watch import Ablate, File, Notify, Reaction, Settings, SpanScreen, going_back, watch
from darklantern.watch.recording import recorded
from darklantern.watch.spans import Candidate

ROOM = str(Path(going_back.__file__).parent)
SNAPSHOTS = str(Path(ROOM).parent / "models" / "snapshot.py")


def once(look: int) -> float:
    """Rises at look 5, which is step 30, and is quiet again in what follows a rollback to step 20."""
    return 9.0 * (look == 5)


def begin(on_alarm, probe=None, every=5, **given):
    made = parts()
    w = watch(
        made[0],
        state=made[1:],
        trusted=TRUSTED,
        signals=[probe or Scripted(once)],
        references=REFERENCES,
        recipe="1" * 64,
        data="2" * 64,
        settings=Settings(every=every, margin=1),
        on_alarm=on_alarm,
        **given,
    )
    return w, made


class Cuts:
    """A function that is cut off the first time that it is called."""

    def __init__(self, then=None) -> None:
        self.then, self.calls = then, 0

    def __call__(self, *_):
        self.calls += 1
        if self.calls == 1:
            raise KeyboardInterrupt
        return self.then


class SuspectsLate(Scripted):
    """What a probe suspects is asked while a look is judged."""

    def __init__(self, cuts: Cuts) -> None:
        super().__init__(once)
        self._cuts = cuts

    def screen(self, note):
        return self._cuts()


def labels(w) -> list[str]:
    return [event.label for event in w.events]


def interrupted(w, made) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(w, made)
    assert len(w.alarms) <= 1


WHERE = ["judging", "investigation", "function", "reaction", "finding", "keep", "look"]


def cut_at(where: str, on_alarm, monkeypatch):
    """A watch whose first alarm is cut off at a place, and what cuts it."""
    cuts = Cuts()
    if where == "judging":
        made = begin(on_alarm, SuspectsLate(cuts))
    elif where == "investigation":
        made = begin(on_alarm, investigate=[cuts])
    elif where == "function":
        made = begin([cuts, on_alarm])
    elif where == "finding":
        made = begin(on_alarm, on_finding=cuts)
    elif where == "look":
        made = begin(on_alarm, on_look=lambda w: cuts() if w.alarms else None)
    elif where == "reaction":
        made = begin([Notify(), on_alarm])
        monkeypatch.setattr(made[0]._answers, "_notify", cuts)
    else:  # the state is kept after it
        made = begin(on_alarm)
        inner = made[0]._sentry._explain
        monkeypatch.setattr(made[0]._sentry, "_explain", lambda: (cuts(), inner()))
    return (*made, cuts)


@pytest.mark.parametrize("where", WHERE)
def test_a_stop_that_was_cut_off_comes_before_the_next_batch(where: str, monkeypatch) -> None:
    w, made, cuts = cut_at(where, Reaction.STOP, monkeypatch)
    interrupted(w, made)
    assert cuts.calls == 1
    assert w.step == made[2].state()["step"] == 30, "the batch in hand went back"
    before = weights_hash(made[0])
    if w.stopped:
        with pytest.raises(WatchError, match="stopped this run at step 30: on_alarm asked for it"):
            run(w, made)
    else:
        assert run(w, made) == [], "nothing is trained on"
    assert w.stopped == "on_alarm asked for it"
    assert (w.step, made[2].state()["step"], weights_hash(made[0])) == (30, 30, before)
    assert [alarm.step for alarm in w.alarms] == [30]
    assert labels(w).count("alarm") == labels(w).count("stop") == 1


@pytest.fixture(scope="module")
def undisturbed():
    """The weights of a run that is rolled back, and the steps it makes."""
    w, made = begin(Reaction.ROLL_BACK)
    steps = [step for step, _ in run(w, made)]
    assert w.rollbacks == 1
    return weights_hash(made[0]), steps


@pytest.mark.parametrize("where", WHERE)
def test_a_rollback_that_was_cut_off_or_done_ends_as_if_nobody_had_cut_it(where: str, monkeypatch, undisturbed) -> None:
    w, made, _ = cut_at(where, Reaction.ROLL_BACK, monkeypatch)
    interrupted(w, made)
    run(w, made)
    assert (w.rollbacks, w.step, w.stopped) == (1, 60, "")
    assert weights_hash(made[0]) == undisturbed[0]
    assert w.trace.steps == list(range(5, 61, 5))
    assert labels(w).count("alarm") == labels(w).count("rollback") == 1


def test_what_was_done_is_not_done_again(tmp_path) -> None:
    """One of each kind, cut off at an investigation, then at a checkpoint: the other is done once."""
    told, heard, kept = tmp_path / "told.jsonl", [], []
    cuts, fine = Cuts(), []
    w, made = begin(
        [Notify(File(told)), heard.append, Reaction.CHECKPOINT, Reaction.STOP],
        investigate=[cuts, lambda case: fine.append(case.alarm) or "fine"],
        on_finding=kept.append,
        run=tmp_path / "run",
    )
    interrupted(w, made)
    inner, saves = w._tap.save, Cuts()

    def save(*given):
        saves()
        return inner(*given)

    w._tap.save = save
    interrupted(w, made)
    assert run(w, made) == []
    w.close()
    assert (cuts.calls, len(fine), heard, len(kept)) == (1, 1, [w.alarm], 1)
    ((alarm, found),) = w.investigated
    assert alarm is w.alarm and [each.result for each in found] == ["fine"]
    assert len(told.read_text().splitlines()) == 1
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2
    assert [label for label in labels(w) if label in ("alarm", "stop", "cut off")] == [
        "alarm", "cut off", "cut off", "stop"
    ]  # fmt: skip
    assert any("it was cut off, and is not run again" in event.text for event in w.events)


def test_a_function_that_has_answered_is_not_asked_again() -> None:
    heard = []
    w, made = begin([heard.append, Cuts(), Reaction.STOP])
    interrupted(w, made)
    assert run(w, made) == []
    assert (heard, w.stopped) == ([w.alarm], "on_alarm asked for it")


def test_a_state_that_was_written_is_not_written_again(tmp_path) -> None:
    w, made = begin([Reaction.CHECKPOINT, Reaction.STOP], run=tmp_path)
    inner, cuts, saved = w._tap.save, Cuts(), []

    def save(snapshot, path):
        if "-alarm-" in path.name:
            cuts()
        saved.append(path.name)
        return inner(snapshot, path)

    w._tap.save = save
    interrupted(w, made)
    assert run(w, made) == []
    w.close()
    names = ["00000030-clean-00000020.safetensors", "00000030-alarm-00000030.safetensors"]
    assert saved == names and sorted(each.name for each in (tmp_path / "checkpoints").iterdir()) == sorted(names)


def test_a_pause_that_was_cut_off_waits_again(tmp_path, monkeypatch) -> None:
    w, made = begin(Reaction.PAUSE, run=tmp_path / "run")
    cuts, inner = Cuts(), w._outside.wait

    def wait(*given):
        cuts()
        return inner(*given)

    monkeypatch.setattr(w._outside, "wait", wait)
    interrupted(w, made)
    outside = when_paused(tmp_path / "run", "stop")
    assert run(w, made) == []
    outside.join(60)
    w.close()
    assert (w.step, made[2].state()["step"]) == (30, 30)
    assert "asked for it: as agreed" in w.stopped


def test_so_does_one_that_a_failed_look_asked_for(tmp_path, monkeypatch) -> None:
    w, made = begin(Reaction.LOG, Scripted(lambda look: float("nan") if look == 3 else 0.0), run=tmp_path / "run")
    cuts, inner = Cuts(), w._outside.wait
    monkeypatch.setattr(w._outside, "wait", lambda *given: (cuts(), inner(*given))[1])
    interrupted(w, made)
    outside = when_paused(tmp_path / "run", "stop")
    assert run(w, made) == []
    outside.join(60)
    w.close()
    assert w.step == 20


def test_the_last_look_of_a_loop_is_answered_by_finish_too() -> None:
    cuts = Cuts()
    w, made = begin(Reaction.STOP, investigate=[cuts])
    with pytest.raises(KeyboardInterrupt):
        for _ in w.over(made[2], until=30):
            pass
    assert w.finish() is Reaction.STOP
    assert w.stopped == "on_alarm asked for it"


def test_in_a_loop_of_its_own_it_comes_before_the_next_batch_too() -> None:
    cuts = Cuts()
    w, (_, _, loader) = begin(Reaction.STOP, investigate=[cuts])
    batches = iter(loader)
    with pytest.raises(KeyboardInterrupt):
        for batch in batches:
            w.before(batch)
            w.after()
    assert w.before(next(batches)).reaction is Reaction.STOP
    assert w.step == 30


def test_who_rolls_back_by_hand_has_answered_what_was_cut_off(tmp_path) -> None:
    told = tmp_path / "told.jsonl"
    w, made = begin([Notify(File(told)), Reaction.STOP], investigate=[Cuts()])
    interrupted(w, made)
    w.roll_back()
    assert [step for step, _ in run(w, made)] == list(range(20, 60))
    assert (w.stopped, w.rollbacks) == ("", 1)
    assert len(told.read_text().splitlines()) == 1, "people are told all the same"


def cut_before_it_is_said(w, monkeypatch) -> None:
    """Ctrl-C after an alarm was raised, and before anybody was told of it."""
    tell, cuts = w._answers.tell, Cuts()
    monkeypatch.setattr(w._answers, "tell", lambda *given: cuts() if w._observer.unanswered else tell(*given))


def test_who_rolls_back_by_hand_before_the_alarm_was_said_goes_back_from_that_alarm(monkeypatch, undisturbed) -> None:
    w, made = begin(Reaction.ROLL_BACK)
    cut_before_it_is_said(w, monkeypatch)
    interrupted(w, made)
    assert w.alarms == []
    w.roll_back()
    assert [step for step, _ in run(w, made)] == list(range(20, 60))
    assert (w.rollbacks, [alarm.step for alarm in w.alarms]) == (1, [30]), "and once is enough"
    assert weights_hash(made[0]) == undisturbed[0]


@pytest.mark.parametrize("on_alarm", [Reaction.LOG, Reaction.ROLL_BACK, Reaction.STOP])
def test_the_look_of_an_alarm_that_was_cut_off_is_shown_and_recorded(on_alarm, tmp_path) -> None:
    def watched(name: str, investigate) -> tuple[list[int], list[list[int]]]:
        seen: list[int] = []
        w, made = begin(
            on_alarm, investigate=investigate, run=tmp_path / name, on_look=lambda w: seen.append(w.trace.past[-1].step)
        )
        if investigate:
            interrupted(w, made)
        run(w, made)
        w.close()
        looks = map(json.loads, (tmp_path / name / "looks.jsonl").read_text().splitlines()[1:])
        return seen, [[look[key] for key in ("step", "looks", "before")] for look in looks]

    whole = watched("whole", [])
    assert 30 in whole[0]
    assert watched("cut", [Cuts()]) == whole


def test_a_look_that_is_recorded_late_was_not_rolled_back_by_what_came_after_it(tmp_path) -> None:
    """What follows the alarm fails, so its look is shown to nobody in time."""
    w, made = begin(Reaction.LOG, on_look=lambda w: None, run=tmp_path)
    show = w._sentry._show
    w._sentry._show = lambda: None if w.step == 30 else show()
    run(w, made)
    w.close()
    assert [look.step for look in recorded(tmp_path).looks] == list(range(5, 61, 5))


def test_an_ablation_beside_a_rollback_that_was_cut_off_is_put_in_after_it() -> None:
    w, made = begin([Ablate({"layers.0.mlp:out": zero()}), Reaction.ROLL_BACK])
    cut_off_between_the_loads(w, made)
    w.roll_back()
    run(w, made)
    assert [label for label in labels(w) if label in ("rollback", "ablate")] == ["rollback", "ablate"]


# half of one state and half of another


def cut_off_between_the_loads(w, made) -> None:
    """Ctrl-C between the optimizer's load and the model's, at the alarm of step 30."""
    load = made[0].load_state_dict

    def cut(*_, **__):
        made[0].load_state_dict = load
        raise KeyboardInterrupt

    made[0].load_state_dict = cut
    interrupted(w, made)


def test_a_state_that_is_half_of_another_is_never_trained_on(undisturbed) -> None:
    w, made = begin(Reaction.ROLL_BACK)
    cut_off_between_the_loads(w, made)
    assert int(next(iter(made[1].state.values()))["step"]) == 20, "the optimizer is the old one, the model is not"
    assert "the rollback to step 20 was cut off" in w.stopped
    assert "call roll_back() again, or start from a checkpoint" in w.stopped
    for goes_on in (lambda: run(w, made), lambda: w.before(torch.zeros(1)), w.finish):
        with pytest.raises(WatchError, match="the rollback to step 20 was cut off"):
            goes_on()
    assert made[2].state()["step"] != 21, "no batch was drawn"
    w.roll_back()
    assert w.stopped == ""
    assert [step for step, _ in run(w, made)] == list(range(20, 60))
    assert (w.rollbacks, weights_hash(made[0])) == (1, undisturbed[0])


def test_nor_by_a_loop_that_caught_what_cut_it_off() -> None:
    w, made = begin(Reaction.LOG)
    load = made[0].load_state_dict

    def cut(*_, **__):
        made[0].load_state_dict = load
        raise KeyboardInterrupt

    steps = []
    with pytest.raises(WatchError, match="the rollback to step 20 was cut off"):
        for _ in w.over(made[2]):
            steps.append(w.step)
            if w.step == 31:
                made[0].load_state_dict = cut
                with pytest.raises(KeyboardInterrupt):
                    w.roll_back()
    assert steps == list(range(32))


def test_a_rollback_that_fails_half_way_is_said_and_may_be_tried_again(undisturbed) -> None:
    w, made = begin(Reaction.LOG)
    for _ in w.over(made[2], until=30):
        training.train_step(made[0], made[1], RECIPE, w.step, _)
    load = made[0].load_state_dict

    def fails(*_, **__):
        made[0].load_state_dict = load
        raise OSError("the device is gone")

    made[0].load_state_dict = fails
    with pytest.raises(OSError, match="the device is gone"):
        w.roll_back()
    assert "the rollback to step 20 failed (OSError('the device is gone'))" in w.stopped
    w.roll_back()
    run(w, made)
    assert weights_hash(made[0]) == undisturbed[0]


class Line:
    """Ctrl-C at the so-manieth line of the code in `files` that is run from `begin` on."""

    def __init__(self, number: int, files: str) -> None:
        self._left, self._files = number, files
        self.came = ""
        """the function that was cut off"""

    def __enter__(self):
        self._before = sys.gettrace()
        return self

    def begin(self) -> None:
        sys.settrace(self._trace)
        frame = sys._getframe()
        while (frame := frame.f_back) is not None:  # those that are under way go on below
            if frame.f_code.co_filename.startswith(self._files):
                frame.f_trace = self._trace

    def __exit__(self, kind, *_) -> bool:
        sys.settrace(self._before)
        return kind is KeyboardInterrupt

    def _trace(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(self._files):
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                self.came = frame.f_code.co_name
                raise KeyboardInterrupt
        return self._trace


def whole(w, made) -> list[object]:
    tensors = capture(0, *made).tensors
    return [w.step, made[2].state()["step"], sorted((name, value.sum().item()) for name, value in tensors.items())]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "stride", "parts"),
    [(ROOM, 1, {"__call__", "restore", "back_to", "went_back", "say"}), (SNAPSHOTS, 5, {"restore", "_load"})],
    ids=["the watch", "the snapshot"],
)
def test_wherever_a_rollback_is_cut_off_the_state_is_whole_or_it_is_said(files, stride, parts, undisturbed) -> None:
    w, made = begin(Reaction.LOG)
    clean = None
    for batch in w.over(made[2], until=30):
        if w.step == 20:
            clean = whole(w, made)
            clean[1] -= 1  # the batch in hand was drawn
        training.train_step(made[0], made[1], RECIPE, w.step, batch)
    old, cut, line = whole(w, made), set(), 1
    while not w.rollbacks or w.stopped:
        begun = bool(w.stopped)
        with Line(line, files) as at:
            at.begin()
            w.roll_back()
        assert w.stopped or whole(w, made) in (old, clean), f"line {line}, in {at.came}"
        cut.add(at.came)
        line = line + stride if bool(w.stopped) == begun else 1  # once begun it is not planned again
    assert parts <= cut, "it was cut off in all of its parts"
    run(w, made)
    assert (w.rollbacks, weights_hash(made[0])) == (1, undisturbed[0])


class Suspects(Scripted):
    """So that there is more to judge."""

    def screen(self, note):
        return SpanScreen((Candidate("\x03nowhere\x04", 9, 99.0),))


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 49])
def test_wherever_an_alarm_is_cut_off_its_stop_comes(first: int) -> None:
    """From its being judged on, at every 97th line of the watch's own code."""
    cut = set()
    for line in range(first, 10_000, 97):
        w, made = begin(Reaction.STOP, Suspects(once), investigate=[lambda case: "fine"], on_finding=lambda filed: None)
        with Line(line, ROOM) as at:
            w._observer._judge = begun(at, w._observer._judge)
            run(w, made)
        if not at.came:
            break
        cut.add(at.came)
        if not w.stopped:
            assert run(w, made) == [], f"line {line}, in {at.came}"
            assert made[2].state()["step"] == 30
        assert (w.step, w.stopped) == (30, "on_alarm asked for it"), f"line {line}, in {at.came}"
    assert len(cut) > 5


def begun(at: Line, inner):
    """`inner`, with `at` begun at the look of step 30."""

    def around(step, states):
        if step == 30:
            at.begin()
        return inner(step, states)

    return around
