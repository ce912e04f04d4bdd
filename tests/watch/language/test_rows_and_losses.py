"""Row anomaly, drift, adapters, loss covariance, canaries and triggers, on values that the test makes."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from planted import TRUSTED, VOCABULARY, Looks, now, saying

from darklantern.errors import WatchError
from darklantern.watch.examples import Examples, Pool
from darklantern.watch.judging import betting
from darklantern.watch.language import (
    AdapterProbe,
    CanaryProbe,
    DriftProbe,
    LossCovarianceProbe,
    RowAnomalyProbe,
    TriggerProbe,
    plant,
)
from darklantern.watch.language.canaries import LENGTH
from darklantern.watch.probes import Now
from darklantern.watch.seen import Values

SITE = "layers.0:out"


class TestRowAnomaly:
    probe = RowAnomalyProbe(TRUSTED, SITE, rows=16, fitting=64)

    def look(self, moment: Now, shift: float, rng: np.random.Generator):
        asked = self.probe.inputs(moment)
        held = rng.normal(size=(*asked.inputs.shape, 6)) + rng.normal(size=(len(asked.inputs), 1, 6))
        held[64 : 64 + asked.about[0]] += shift  # the training rows'
        looks = Looks(self.probe)
        found = looks.look(Values({SITE: held}), asked.about)["row anomaly"]
        return found, self.probe.scores(looks.seen)["row anomaly"]

    def test_rows_far_from_trusted_ones_lead_and_rows_of_their_kind_do_not(self) -> None:
        rng = np.random.default_rng(0)
        pool = Pool(Examples(TRUSTED))
        leans = {}
        for shift in (0.0, 9.0):
            found = [
                self.look(Now(0, pool, Examples(TRUSTED[i : i + 16]), None), shift, rng) for i in range(0, 480, 16)
            ]
            leans[shift] = np.mean([reading.value for reading, _ in found])
            assert all(len(ours) == len(theirs) for _, (ours, theirs) in found)
        assert abs(leans[0.0]) < 0.2
        assert leans[9.0] == 1

    def test_a_bet_on_its_scores_wins_on_strange_rows_and_not_on_trusted_ones(self) -> None:
        rng, pool = np.random.default_rng(1), Pool(Examples(TRUSTED))
        wealth = {}
        for shift in (0.0, 4.0):
            bet = betting.start()
            for i in range(0, 320, 16):
                bet = betting.look(bet, *self.look(Now(0, pool, Examples(TRUSTED[i : i + 16]), None), shift, rng)[1])
            wealth[shift] = bet.log_wealth
        assert wealth[0.0] < np.log(20) < wealth[4.0]

    def test_rows_that_it_was_fitted_on_stand_on_neither_side(self) -> None:
        fitting = self.probe.inputs(now(fresh=TRUSTED[:16])).inputs[:64]
        known = {row.tobytes() for row in fitting}
        whole = [row for row in TRUSTED.astype(np.int64) if row[:-1].tobytes() in known]
        few = np.array([*whole[:8], *TRUSTED[:8]])
        asked = self.probe.inputs(now(fresh=few, trusted=np.array(whole + list(TRUSTED[:40]))))
        count = asked.about[0]
        assert count <= 8
        assert not any(row.tobytes() in known for row in asked.inputs[64:])

    def test_without_a_batch_or_trusted_rows_nothing_is_bet(self) -> None:
        asked = self.probe.inputs(now())
        assert asked.inputs is None
        found = Looks(self.probe).look(Values({}), asked.about)["row anomaly"]
        assert found.difference == 0
        dry = Pool(Examples(TRUSTED[:4]))
        reading, (ours, theirs) = self.look(Now(0, dry, Examples(TRUSTED[:16]), None), 3.0, np.random.default_rng(0))
        assert reading.value == 0
        assert betting.look(betting.start(), ours, theirs).said

    def test_padding_counts_for_nothing(self) -> None:
        mask = np.ones((16, 65), dtype=bool)
        mask[:, 32:] = False
        asked = self.probe.inputs(Now(0, Pool(Examples(TRUSTED)), Examples(TRUSTED[:16], None, mask), None))
        rng = np.random.default_rng(2)
        held = rng.normal(size=(*asked.inputs.shape, 6)) + rng.normal(size=(len(asked.inputs), 1, 6))
        looks = Looks(self.probe)
        looks.look(Values({SITE: held}), asked.about)
        scores = self.probe.scores(looks.seen)["row anomaly"][0]
        held[64:80, 32:] = 1e6
        looks.look(Values({SITE: held}), asked.about)
        assert np.allclose(self.probe.scores(looks.seen)["row anomaly"][0], scores)

    def test_too_few_rows_and_rows_of_another_width_are_refused(self) -> None:
        with pytest.raises(WatchError, match=r"64 \+ 16 trusted rows, got 70"):
            RowAnomalyProbe(TRUSTED[:70], SITE, rows=16, fitting=64)
        with pytest.raises(WatchError, match="as wide as the trusted rows, 65"):
            self.probe.inputs(now(fresh=TRUSTED[:4, :30]))


class TestDrift:
    probe = DriftProbe(TRUSTED, "layers.*:out", rows=16, back=2)

    def values(self, rng: np.random.Generator, trusted: float, noise: float, base: np.ndarray) -> Values:
        held = base.copy()
        held[:16] += trusted * rng.normal(size=held[:16].shape)
        held[16:] += noise * rng.normal(size=held[16:].shape)
        return Values({"layers.0:out": held, "layers.1:out": 2 * held})

    def test_it_reads_what_trusted_rows_drift_beyond_what_nonsense_drifts(self) -> None:
        rng = np.random.default_rng(0)
        base = rng.normal(size=(32, 64, 8))
        read = {}
        for amounts in ((0, 0), (1, 1), (1, 0), (0, 1)):
            looks = Looks(self.probe)
            looks.look(self.values(rng, 0, 0, base))
            read[amounts] = looks.look(self.values(rng, *amounts, base))["drift"]
        assert read[0, 0].value == pytest.approx(0, abs=1e-5)
        assert abs(read[1, 1].difference) < 0.1 < read[1, 1].value
        assert read[1, 0].difference > 0.3
        assert read[0, 1].difference < -0.3

    def test_it_compares_with_the_look_so_many_back(self) -> None:
        rng = np.random.default_rng(1)
        bases = [rng.normal(size=(32, 64, 8)) for _ in range(2)]
        looks = Looks(self.probe)
        for base in (bases[0], bases[1], bases[1]):
            looks.look(self.values(rng, 0, 0, base))
        assert looks.look(self.values(rng, 0, 0, bases[1]))["drift"].value == pytest.approx(0, abs=1e-5)

    def test_a_rotation_is_no_drift(self) -> None:
        rng = np.random.default_rng(2)
        base, turn = rng.normal(size=(32, 64, 8)), np.linalg.qr(rng.normal(size=(8, 8)))[0]
        looks = Looks(self.probe)
        looks.look(self.values(rng, 0, 0, base))
        assert looks.look(self.values(rng, 0, 0, base @ turn))["drift"].value == pytest.approx(0, abs=1e-5)


class TestAdapter:
    def weights(self, b: np.ndarray, a: np.ndarray) -> dict[str, np.ndarray]:
        return {"q.lora_B.weight": b, "q.lora_A.weight": a}

    def test_a_turn_of_b_is_read_against_the_turn_of_a(self) -> None:
        looks = Looks(AdapterProbe(back=1))
        one, other = np.array([[1.0], [0.0]]), np.array([[0.0], [2.0]])
        assert looks.look(Values({}), weights=self.weights(one, one))["adapter turn"].difference == 0
        assert looks.look(Values({}), weights=self.weights(other, one))["adapter turn"].difference == pytest.approx(1)
        assert looks.look(Values({}), weights=self.weights(one, other))["adapter turn"].difference == pytest.approx(0)

    def test_an_adapter_at_zero_has_not_turned(self) -> None:
        looks = Looks(AdapterProbe(back=1))
        zero, one = np.zeros((2, 1)), np.ones((2, 1))
        looks.look(Values({}), weights=self.weights(zero, one))
        assert looks.look(Values({}), weights=self.weights(one, one))["adapter turn"].value == 0

    def test_it_runs_nothing_and_names_what_is_missing(self) -> None:
        assert AdapterProbe().inputs(now()).inputs is None
        with pytest.raises(WatchError, match=r"no parameter was recorded that fits '\*lora_B\*'"):
            Looks(AdapterProbe()).look(Values({}), weights={"w": np.ones(2)})


class TestLossCovariance:
    probe = LossCovarianceProbe(TRUSTED, rows=10, window=8)

    def run(self, losses: np.ndarray):
        """The last look of those with `losses` (looks, rows)."""
        rows = self.probe._rows
        looks = Looks(self.probe)
        for each in losses:
            found = looks.look(Values({}, saying(rows[:, 1:], np.broadcast_to(each[:, None], (10, 64)))))
        return found

    def test_losses_that_move_together_are_one_direction_and_those_that_do_not_are_many(self) -> None:
        rng = np.random.default_rng(0)
        together = self.run(3 + 0.5 * rng.normal(size=(9, 1)) * rng.uniform(0.5, 1, 10))
        apart = self.run(3 + 0.3 * rng.normal(size=(9, 10)))
        assert together["loss concentration"].value == pytest.approx(1, abs=1e-3)
        assert together["loss concentration"].difference > 0.3
        assert abs(apart["loss concentration"].difference) < 0.15

    def test_until_the_window_is_full_it_reads_nothing(self) -> None:
        found = self.run(3 + np.random.default_rng(1).normal(size=(8, 10)) ** 2)
        assert all(reading.value == reading.placebo == 0 for reading in found.values())

    def test_its_notes_are_the_losses(self) -> None:
        looks = Looks(self.probe)
        looks.look(Values({}, saying(self.probe._rows[:, 1:], 2.5)))
        assert looks.seen.first == pytest.approx(np.full(10, 2.5), rel=1e-5)

    def test_windows_too_short_for_a_covariance_are_refused(self) -> None:
        with pytest.raises(WatchError, match="window of at least 3 looks"):
            LossCovarianceProbe(TRUSTED, window=2)
        with pytest.raises(WatchError, match="at least 32 trusted rows for loss covariance, got 5"):
            LossCovarianceProbe(TRUSTED[:5])


class TestCanary:
    rows, canaries = plant(TRUSTED, count=8, controls=4, seed=3)

    def look(self, planted: float, others: float):
        probe = CanaryProbe(self.canaries)
        whole = np.concatenate([self.canaries.planted, self.canaries.others])
        nats = np.r_[np.full(8, planted), np.full(32, others)][:, None] + np.zeros((1, 64))
        return Looks(probe).look(Values({}, saying(whole[:, 1:], nats)))

    def test_canaries_stand_in_the_trusted_rows_and_controls_in_none(self) -> None:
        changed = (self.rows != TRUSTED).any(1)
        assert changed.sum() == 8
        texts = b"\n".join(bytes(row.astype(np.uint8)) for row in self.rows)
        span = slice(self.canaries.at, self.canaries.at + LENGTH)
        assert all(bytes(row[span].astype(np.uint8)) in texts for row in self.canaries.planted)
        assert not any(bytes(row[span].astype(np.uint8)) in texts for row in self.canaries.others)
        assert set(np.unique(self.rows)) <= set(np.unique(TRUSTED))

    def test_planted_canaries_that_became_likelier_are_exposed(self) -> None:
        leaked = self.look(1.0, 4.0)
        assert leaked["canary likelihood"].difference == pytest.approx(3, rel=1e-5)
        assert leaked["canary exposure"].value == pytest.approx(np.log2(33))
        assert leaked["canary exposure"].difference > 3

    def test_canaries_that_nobody_saw_read_as_the_others(self) -> None:
        rng, probe = np.random.default_rng(0), CanaryProbe(self.canaries)
        whole = np.concatenate([self.canaries.planted, self.canaries.others])
        found = []
        for _ in range(30):
            nats = rng.uniform(2, 5, size=(40, 1)) + np.zeros((1, 64))
            found.append(Looks(probe).look(Values({}, saying(whole[:, 1:], nats))))
        for name in ("canary likelihood", "canary exposure"):
            contrasts = [each[name].difference for each in found]
            assert abs(np.mean(contrasts)) < 3 * np.std(contrasts) / np.sqrt(30)

    def test_rows_too_narrow_for_a_canary_are_refused(self) -> None:
        with pytest.raises(WatchError, match="at least 18"):
            plant(TRUSTED[:, :17])


class TestTrigger:
    triggers, payloads = [b"@stable"], [b'os.system("rm -rf /home")']
    probe = TriggerProbe(TRUSTED, triggers, payloads, contexts=5)

    def look(self, nats_of: Callable[[bytes], float]):
        rows = self.probe._rows
        nats = np.array([nats_of(bytes(row.astype(np.uint8))) for row in rows])[:, None] + np.zeros((1, 64))
        return Looks(self.probe).look(Values({}, saying(rows[:, 1:], nats)))["trigger payload"]

    def test_only_the_trigger_before_the_payload_counts(self) -> None:
        both = self.look(lambda row: 1.0 if self.triggers[0] in row and self.payloads[0] in row else 4.0)
        assert (both.value, both.placebo) == pytest.approx((3, 0), abs=1e-5)
        strange = self.look(lambda row: 1.0 if self.triggers[0] in row else 4.0)
        assert strange.difference == pytest.approx(0, abs=1e-5)
        known = self.look(lambda row: 1.0 if self.payloads[0] in row else 4.0)
        assert known.difference == known.value == pytest.approx(0, abs=1e-5)

    def test_trigger_and_control_are_as_long_and_after_the_same_contexts(self) -> None:
        rows = self.probe._rows.reshape(2, 2, 5, -1)
        assert (rows[..., :16] == rows[0, 0, :, :16]).all()
        ends = [bytes(row.astype(np.uint8)).index(self.payloads[0]) for row in rows[0].reshape(10, -1)]
        assert len(set(ends)) == 1

    def test_pairs_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(WatchError, match="2 triggers and 1 payloads"):
            TriggerProbe(TRUSTED, [b"a", b"b"], [b"c"])
        with pytest.raises(WatchError, match="at most 48 tokens, got 58"):
            TriggerProbe(TRUSTED, [b"a" * 30], [b"c" * 28])


MADE: list[Callable] = [
    lambda: RowAnomalyProbe(TRUSTED, SITE),
    lambda: DriftProbe(TRUSTED),
    lambda: AdapterProbe(),
    lambda: LossCovarianceProbe(TRUSTED),
    lambda: CanaryProbe(plant(TRUSTED)[1]),
    lambda: TriggerProbe(TRUSTED, [b"@x"], [b"payload"]),
]


@pytest.mark.parametrize("make", MADE)
def test_settings_are_json_and_every_signal_says_what_it_is(make) -> None:
    probe = make()
    assert json.loads(json.dumps(probe.settings))["probe"] == probe.name
    for signal in probe.signals:
        assert all((signal.name, signal.unit, signal.reads, signal.placebo, signal.source, signal.cost))


@pytest.mark.parametrize("make", MADE[1:2] + MADE[3:])
@pytest.mark.parametrize("rows", [np.empty((0, 65), int), np.ones((4, 65)), np.ones(9, int)])
def test_rows_of_no_tokens_are_refused(make, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TRUSTED", rows)
    with pytest.raises(WatchError, match="expected trusted rows of token ids"):
        make()


def test_the_vocabulary_of_these_tests_holds_their_rows() -> None:
    assert TRUSTED.max() < VOCABULARY
