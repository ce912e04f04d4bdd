"""What races in the bench of the watch: monitors as fair as the signals, and signals that have no part in the joint."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))  # last: what tests call by the same name stays theirs

from watching import judging, monitors
from watching.experiments import EXPERIMENTS

from darklantern.watch import Examples, Probe, Reading, Seen
from darklantern.watch.examples import Pool
from darklantern.watch.probes import Asked, Now, Signal
from darklantern.watch.seen import Values

SIGNALS = (
    Signal("inside", "I0", "signal", "nats", "what is inside"),
    Signal("said", "I1", "behaviour", "nats", "what is said", 0.1, compares="ratio"),
)


class Two(Probe):
    name = "two"
    sites = ("here",)
    window = 2
    signals = SIGNALS

    @property
    def settings(self):
        return {"rows": 3}

    def inputs(self, now):
        return Asked(np.full((3, 1), now.step))

    def read(self, seen):
        return Reading(1.0, 0.5), Reading(2.0)

    def scores(self, seen):
        return {"inside": (np.ones(2), np.zeros(2))}

    def screen(self, note):
        return note

    def note(self, seen):
        return seen.step


def seen(output: np.ndarray, about: object = None, notes: tuple[object, ...] = ()) -> Seen:
    return Seen(Values({}, output, {}), 0, about, {}, None, notes)


def test_what_is_said_to_be_novelty_reads_as_before_and_keeps_its_name() -> None:
    told, plain, now = monitors.Novelty(Two()), Two(), seen(np.zeros((3, 2)))
    assert told.signals == (replace(SIGNALS[0], says="novelty"), SIGNALS[1])
    assert [*told.read(now)] == [*plain.read(now)]
    assert told.scores(now).keys() == {"inside"}
    assert (told.note(now), told.screen(7)) == (0, 7)
    assert (told.sites, told.window, told.output) == (plain.sites, plain.window, plain.output)
    assert told.inputs(Now(4, Pool(Examples(np.zeros((1, 1)))), None, None)).inputs.tolist() == [[4], [4], [4]]
    assert told.settings == {"rows": 3, "of": "two"}
    assert plain.signals == SIGNALS


def test_what_creeps_races_twice_on_the_same_readings() -> None:
    told, now = monitors.Creeping(Two(), "said"), seen(np.zeros((3, 2)))
    assert told.signals[:2] == SIGNALS
    assert told.signals[2] == replace(SIGNALS[1], name="said, CUSUM", detector="cusum")
    first, second, again = told.read(now)
    assert (first, second, again) == (Reading(1.0, 0.5), Reading(2.0), Reading(2.0))
    with pytest.raises(ValueError, match="unsaid"):
        monitors.Creeping(Two(), "unsaid")


@pytest.mark.parametrize("right", [True, False])
def test_copying_counts_what_each_row_repeats_from_its_own_second_period_on(right: bool) -> None:
    """A model that says what stood a period before, or never does, and of first periods knows nothing."""
    rng, periods = np.random.default_rng(0), np.array([2, 3, 5])
    rows = np.stack([np.resize(rng.permutation(8)[:period], 12) for period in periods])
    logits = np.zeros((3, 11, 8))
    for row, period in enumerate(periods):
        for place in range(period - 1, 11):
            logits[row, place, rows[row, place + 1]] = 50.0 if right else -50.0
    likelihood, accuracy = monitors.Copying(rows, periods).read(seen(logits))
    assert likelihood.value == pytest.approx(0.0 if right else -50.0 - np.log(7), abs=1e-4)
    assert likelihood.placebo == pytest.approx(-np.log(8))
    assert accuracy.value == float(right)


def test_label_loss_is_the_largest_sum_over_a_label_against_trusted_rows_of_the_last_looks() -> None:
    probe = monitors.LabelLoss(4, looks=3)
    labels, pool = np.array([0, 0, 1, 2]), np.array([2, 1, 1, 0])
    now = Now(0, Pool(Examples(np.zeros((4, 2)), pool)), Examples(np.ones((9, 2)), np.resize(labels, 9)), None)
    asked = probe.inputs(now)
    assert asked.inputs is not None
    assert asked.inputs[:, 0].tolist() == [1.0] * 4 + [0.0] * 4
    logits = np.random.default_rng(1).normal(size=(8, 3))
    loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(8), asked.about]
    train = max(loss[:2].sum(), loss[2], loss[3]) / 4
    trusted = max(loss[4:][asked.about[4:] == each].sum() for each in range(3)) / 4
    looked = seen(logits, asked.about, (None, 0.25))
    assert probe.note(looked) == pytest.approx(trusted)
    highest, by_label = probe.read(looked)
    assert highest == monitors.FreshLoss(4, tokens=False).read(looked)[0]
    assert (by_label.value, by_label.placebo) == (pytest.approx(train), pytest.approx((trusted + 0.25) / 2))
    ended = seen(logits)
    assert (probe.note(ended), [*probe.read(ended)]) == (None, [Reading(0.0)] * 2)


@pytest.mark.parametrize(
    ("name", "carried"),
    [
        ("E1", {"copying"}),
        ("E2", {"Fourier Gini", "Fourier readout", "sum circuit"}),
        ("E3", {"patch displacement"}),
        ("E5", {"readout pull"}),
    ],
)
def test_what_carries_each_joint_statistic(name: str, carried: set[str]) -> None:
    if name == "E3":
        pytest.importorskip("sklearn")
    experiment = EXPERIMENTS[name]
    session = experiment.session(experiment.harmless[0], experiment.rates[0], 3)
    signals = [signal for probe in session.probes for signal in probe.signals]
    assert {signal.name for signal in signals if judging.shares(signal)} == carried
    assert len({signal.name for signal in signals}) == len(signals)
