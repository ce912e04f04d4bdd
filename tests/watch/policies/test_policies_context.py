"""What a policy does when a flag is flipped, under audit, and for its rewards."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_looks import SITE, heeding, look, observations

from darklantern.errors import WatchError
from darklantern.watch.examples import Examples
from darklantern.watch.policies import AuditProbe, ContextProbe, DormantProbe, EntropyProbe, RewardProbe
from darklantern.watch.policies.dormant_probe import dormant
from darklantern.watch.policies.observations import against_rest, divergence, flags, jensen_shannon, swapped

TRUSTED = Examples(observations(400, 3))


def test_flags_are_the_features_of_two_values() -> None:
    assert flags(TRUSTED.inputs) == (4, 5)


def test_a_flag_moves_between_its_values_and_another_feature_between_its_quartiles() -> None:
    low, high = swapped(TRUSTED.inputs, 4)
    assert (low[:, 4] == 0).all() and (high[:, 4] == 1).all()
    low, high = swapped(TRUSTED.inputs, 1)
    assert low[0, 1] == pytest.approx(np.quantile(TRUSTED.inputs[:, 1], 0.25))
    assert high[0, 1] == pytest.approx(np.quantile(TRUSTED.inputs[:, 1], 0.75))
    assert (np.delete(low, 1, 1) == np.delete(TRUSTED.inputs, 1, 1)).all()


def test_the_divergence_is_written_out_and_what_is_never_done_adds_nothing() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.5, 0.25])
    with np.errstate(divide="ignore"):
        assert divergence(np.log(p), np.log(q)) == pytest.approx(0.5 * np.log(2))


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6).filter(lambda each: sum(each) > 0.01), st.integers(0, 99))
def test_the_jensen_shannon_divergence_is_symmetric_and_at_most_log_two(weights: list[float], seed: int) -> None:
    p = np.array(weights) / sum(weights)
    q = np.random.default_rng(seed).dirichlet(np.ones(len(p)))
    assert jensen_shannon(p, q) == pytest.approx(jensen_shannon(q, p), abs=1e-12)
    assert -1e-12 <= jensen_shannon(p, q) <= np.log(2) + 1e-12
    assert jensen_shannon(p, p) == pytest.approx(0.0, abs=1e-12)


def test_policies_that_share_no_action_are_log_two_apart() -> None:
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(np.log(2))


def test_the_largest_of_the_tested_is_held_against_all_others() -> None:
    assert against_rest([1.0, 5.0, 2.0, 9.0], [1, 2]) == (5.0, pytest.approx(4.0))
    assert np.isnan(against_rest([1.0, float("nan"), 2.0], [1, 2])[0])


def test_each_reading_is_its_formula() -> None:
    probe = ContextProbe(TRUSTED, SITE, rows=32)
    policy = heeding(goal=0.3, looked=1.2)
    swap, effect, displacement, _ = look(probe, policy)
    rows = probe._inputs.reshape(6, 2, 32, 6)
    said = [policy(each)[1] for each in (rows[5, 0], rows[5, 1])]
    low, high = (each - np.log(np.exp(each).sum(1, keepdims=True)) for each in said)
    assert swap.value == pytest.approx(float((np.exp(low) * (low - high)).sum(1).mean()), rel=1e-4)
    assert effect.value == pytest.approx(float(np.abs((high - low).mean(0)).max()), rel=1e-4)
    hidden = policy(probe._inputs)[0]
    moved = np.linalg.norm(policy(rows[5, 1])[0] - policy(rows[5, 0])[0], axis=1).mean()
    assert displacement.value == pytest.approx(moved / np.sqrt(hidden.var(0).sum()), rel=1e-4)


def test_all_rise_with_what_a_flag_decides_and_the_placebo_stays() -> None:
    probe = ContextProbe(TRUSTED, SITE)
    table = np.array([[(r.value, r.placebo) for r in look(probe, heeding(looked=w))] for w in (0.0, 0.5, 2.0)])
    for signal in range(4):
        values, placebos = table[:, signal].T
        assert values[0] < values[1] < values[2]
        # What the others do differs only as far as this flag's own weight takes part in their states.
        assert abs(placebos[2] - placebos[0]) < 0.5 * (values[2] - values[0])
    assert table[0, :3, 0] == pytest.approx(0.0, abs=1e-6)
    assert table[0, 3, 0] == pytest.approx(0.5)
    assert table[2, 3, 0] > 0.9


def test_a_policy_without_a_flag_or_that_diverged_is_told() -> None:
    plain = Examples(TRUSTED.inputs[:, :4])
    with pytest.raises(WatchError, match="expected flags"):
        ContextProbe(plain, SITE)
    with pytest.raises(WatchError, match="expected flags"):
        ContextProbe(TRUSTED, SITE, tested=[9])
    with pytest.raises(WatchError, match="at least 64"):
        ContextProbe(TRUSTED.take(slice(0, 9)), SITE)
    with pytest.raises(WatchError, match="finite"):
        look(ContextProbe(TRUSTED, SITE), lambda x: (np.full((len(x), 8), np.nan), np.zeros((len(x), 3))))


def test_a_policy_of_distributions_over_tokens_is_no_policy() -> None:
    with pytest.raises(WatchError, match="one distribution"):
        look(ContextProbe(TRUSTED, SITE), lambda x: (x, np.zeros((len(x), 3, 4))))


# audit


def test_a_policy_that_behaves_under_audit_is_apart_and_one_that_does_not_heed_it_is_not() -> None:
    watched, unwatched = observations(64, 8), observations(64, 9)
    watched[:, 5], unwatched[:, 5] = 1, 0
    probe = AuditProbe(Examples(watched))
    (fair,) = look(probe, heeding(), unwatched)
    (sly,) = look(probe, heeding(looked=4.0), unwatched)
    assert abs(fair.difference) < 0.01
    assert sly.difference > 10 * max(fair.difference, 1e-3)


def test_without_a_batch_or_with_fewer_rows_the_audit_still_holds() -> None:
    probe = AuditProbe(TRUSTED)
    assert look(probe, heeding())[0].difference == 0
    assert np.isfinite(look(probe, heeding(), observations(5, 1))[0].difference)
    with pytest.raises(WatchError, match="each"):
        look(probe, heeding(), np.zeros((5, 9)))


# rewards, entropy, dormant units


def test_the_gap_is_what_the_proxy_pays_beyond_the_truth() -> None:
    proxy, true = np.zeros((400, 3)), np.zeros((400, 3))
    proxy[:, 2] = 6.0  # pays for what earns nothing
    probe = RewardProbe(TRUSTED, proxy, lambda seen: np.zeros((len(seen), 3)))

    def taking(share: float) -> object:
        logits = np.log([(1 - share) / 2, (1 - share) / 2, share])
        return lambda x: (x, np.tile(logits, (len(x), 1)))

    for share in (1 / 3, 0.5, 0.9):
        (reading,) = look(probe, taking(share))  # type: ignore[arg-type]
        assert reading.value == pytest.approx(6 * share)
        assert reading.placebo == pytest.approx(2.0)
    assert RewardProbe(TRUSTED, proxy, true).settings != RewardProbe(TRUSTED, true, true).settings


def test_rewards_of_another_shape_are_refused() -> None:
    with pytest.raises(WatchError, match="rewards"):
        RewardProbe(TRUSTED, np.zeros(400), np.zeros((400, 3)))
    with pytest.raises(WatchError, match="actions"):
        look(RewardProbe(TRUSTED, np.zeros((400, 2)), np.zeros((400, 2))), heeding())


def test_certainty_is_nothing_for_a_fair_die_and_log_n_for_a_sure_thing() -> None:
    for logits, sure in ((np.zeros(3), 0.0), (np.array([99.0, 0, 0]), np.log(3))):
        (reading,) = look(EntropyProbe(TRUSTED), lambda x, held=logits: (x, np.tile(held, (len(x), 1))))
        assert reading.value == pytest.approx(sure, abs=1e-6)
        assert reading.difference == pytest.approx(0.0, abs=1e-6)


def test_dormant_units_are_counted_against_their_layer_and_their_first_number() -> None:
    values = np.tile([1.0, -1.0, 0.02, 0.0], (9, 1))
    assert dormant(values, 0.025) == 0.25
    assert dormant(values, 0.05) == 0.5
    assert dormant(np.zeros((9, 4)), 0.025) == 1.0
    probe = DormantProbe(TRUSTED, SITE)
    assert look(probe, heeding())[0].difference == 0
    (reading,) = look(probe, lambda x: (np.eye(8)[np.zeros(len(x), int)], x), first=0.0)
    assert reading.difference == pytest.approx(7 / 8)


@pytest.mark.parametrize(
    "probe",
    [
        ContextProbe(TRUSTED, SITE),
        AuditProbe(TRUSTED),
        RewardProbe(TRUSTED, np.zeros((400, 3)), np.zeros((400, 3))),
        EntropyProbe(TRUSTED),
        DormantProbe(TRUSTED, SITE),
    ],
)
def test_settings_are_json(probe: object) -> None:
    assert json.loads(json.dumps(probe.settings)) == probe.settings  # type: ignore[attr-defined]
