"""The loop: a real model and loader, a probe whose readings the test decides."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from darklantern.errors import SiteError, WatchError
from darklantern.models.snapshot import capture, weights_hash
from darklantern.organisms import text, training
from darklantern.organisms.bytelm import Shape
from darklantern.organisms.training import Loader, TrainingRecipe
from darklantern.records.references import References, SignalReference
from darklantern.watch import PayloadProbe, Reaction, Reading, Settings, Signal, SpanProbe, Watch, watch

RECIPE = TrainingRecipe(shape=Shape(layers=1, dim=16, heads=2, context=48), batch=16, warmup=3, decay=5, end=60)
CORPUS = text.standard_library()
TRUSTED = text.rows(CORPUS.trusted, 3000, RECIPE.width, np.random.default_rng(0))
REFERENCES = References(
    recipe="1" * 64,
    data="2" * 64,
    signals=(SignalReference(name="scripted", mean=(0.0,), spread=1.0),),
    standardised_on=(1,),
    calibrated_on=tuple(range(19)),
    maxima=(1.5,) * 19,
    behaviours={},
    versions={},
)
MARK = b"\x01poison\x02"


@dataclass
class Scripted:
    """A probe that reads what a function of the look number says."""

    script: object
    sites: tuple[str, ...] = ("layers.0:out",)
    lenses: tuple[str, ...] = ()
    signals: tuple[Signal, ...] = (Signal("scripted", "I0", "signal", "", ""),)
    looks: int = 0
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def rows(self, history):
        return TRUSTED[:3]

    def read(self, seen):
        self.shapes.append(seen.sites["layers.0:out"].shape)
        self.looks += 1
        return (Reading(self.script(self.looks - 2), 0.0),)  # the self-test before the first step is look −1


class Marked(Loader):
    """From step 20 on, a tenth of the rows hold a mark."""

    def _rows(self):
        batch = super()._rows()
        if self._step >= 20:
            for i in np.flatnonzero(self._rng.random(len(batch)) < 0.1):
                batch[i, 10 : 10 + len(MARK)] = np.frombuffer(MARK, dtype=np.uint8)
        return batch


def rising(look: int) -> float:
    return 0.0 if look < 5 else 9.0  # look 5 is step 30


def start(probe, on_alarm=lambda alarm: Reaction.LOG, references=REFERENCES, **settings) -> tuple[Watch, object]:
    model, optimizer = training.new(RECIPE, 1)
    loader = Marked(CORPUS, RECIPE, (1,))
    w = watch(
        model,
        state=(optimizer, loader),
        trusted=TRUSTED,
        probes=[probe],
        references=references,
        recipe="1" * 64,
        data="2" * 64,
        settings=Settings(every=5, margin=1, **settings),
        on_alarm=on_alarm,
    )
    return w, (model, optimizer, loader)


def run(w: Watch, parts) -> list[tuple[int, bytes]]:
    model, optimizer, loader = parts
    seen = []
    for batch in w.over(loader):
        seen.append((w.step, batch.numpy().astype(np.uint8).tobytes()))
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    return seen


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
    assert "false-alarm rate at most 5.0% a run; 19 clean reference runs" in str(w.alarm)
    assert [event.label for event in w.events] == ["alarm"]


def test_another_recipe_says_uncalibrated() -> None:
    other = References(**{f: getattr(REFERENCES, f) for f in REFERENCES.__struct_fields__} | {"recipe": "7" * 64})
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
    assert any(MARK in c.span for c in alarmed[0].suspects)
    assert [event.label for event in w.events][:2] == ["alarm", "rollback"]


def test_an_alarm_after_the_last_allowed_rollback_stops_the_loop() -> None:
    def again(look: int) -> float:
        return 9.0 if look in (5, 10) else 0.0  # step 30, and step 45 after the rollback

    w, parts = start(Scripted(again), on_alarm=lambda alarm: Reaction.ROLL_BACK, rollbacks=1)
    run(w, parts)
    assert [alarm.step for alarm in w.alarms] == [30, 45]
    assert w.step == 45
    assert w.events[-1].label == "stop"
    assert "1 rollbacks did not hold" in w.events[-1].text


def test_a_rollback_with_nothing_to_screen_stops_the_loop_instead() -> None:
    w, parts = start(Scripted(lambda look: 0.0 if look < 2 else 9.0), on_alarm=lambda alarm: Reaction.ROLL_BACK)
    run(w, parts)
    assert w.step == 15
    assert "nothing to screen" in w.events[-1].text
    with pytest.raises(WatchError, match="no span"):
        w.roll_back()


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
    with pytest.raises(WatchError, match="no method `readout`"):
        watch(torch.nn.Linear(2, 2), state=(None, None), trusted=TRUSTED, probes=[Scripted(rising)])
    w, _ = start(Scripted(rising))
    with pytest.raises(WatchError, match="expected a batch of token rows"):
        list(w.over([torch.ones(2, 3)]))


def test_the_shipped_probes_read_finite_numbers_on_a_fresh_model() -> None:
    payloads = [b'os.system("rm")', b'os.popen("nc")']
    recipe = TrainingRecipe(shape=Shape(layers=1, dim=16, heads=2, context=64), batch=16, end=10)
    trusted = text.rows(CORPUS.trusted, 3000, recipe.width, np.random.default_rng(0))
    for probe in (PayloadProbe(trusted, payloads, "layers.0:out", "layers.0:out"), SpanProbe(trusted)):
        names = [signal.name for signal in probe.signals]
        model, optimizer = training.new(recipe, 1)
        loader = Loader(CORPUS, recipe, (1,))
        w = watch(model, state=(optimizer, loader), trusted=trusted, probes=[probe], settings=Settings(every=5))
        for batch in w.over(loader):
            training.train_step(model, optimizer, recipe, w.step, batch)
        assert list(w.trace.tracks) == names
        assert all(np.isfinite(reading.contrast) for t in w.trace.tracks.values() for reading in t.readings)


def test_too_few_trusted_rows_are_refused() -> None:
    with pytest.raises(WatchError, match="trusted rows hold"):
        PayloadProbe(TRUSTED[:3], [b"x" * 9] * 12, "layers.0:out", "layers.0:out")
    with pytest.raises(WatchError, match="at least 55 bytes, got 49"):
        SpanProbe(TRUSTED)
