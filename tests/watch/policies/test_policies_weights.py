"""What weights alone say, and the table of a + b mod p."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_looks import look

from darklantern.errors import WatchError
from darklantern.watch.policies import FourierProbe, TableProbe, WeightsProbe
from darklantern.watch.policies.fourier import by_sum, gini, in_phase, losses, over_pairs, parts, powers, purity
from darklantern.watch.policies.weights_probe import concentration
from darklantern.watch.table import made, stated

P = 23


def waves(frequencies: list[int], columns: int = 12, seed: int = 0) -> np.ndarray:
    """An embedding (P, columns) of a few waves, each in directions of its own."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.outer(np.arange(P), frequencies) / P
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1) @ rng.normal(size=(2 * len(frequencies), columns))


@given(st.lists(st.floats(0.0, 100.0), min_size=2, max_size=20))
def test_the_gini_coefficient_is_half_the_mean_difference_over_the_mean(values: list[float]) -> None:
    held = np.array(values)
    if held.sum() < 1e-6:
        return
    by_hand = np.abs(held[:, None] - held[None]).mean() / (2 * held.mean())
    assert gini(held) == pytest.approx(by_hand, abs=1e-9)


def test_the_gini_coefficient_at_its_ends() -> None:
    assert gini(np.ones(9)) == pytest.approx(0.0)
    assert gini(np.eye(10)[3]) == pytest.approx(0.9)
    assert gini(np.zeros(4)) == 0.0


def test_powers_are_those_of_sine_and_cosine_by_hand() -> None:
    rows = np.random.default_rng(0).normal(size=(P, 5))
    angle = 2 * np.pi * np.arange(P) / P
    by_hand = [
        np.sqrt(sum(((wave(k * angle) @ rows) ** 2).sum() for wave in (np.cos, np.sin))) for k in range(1, P // 2 + 1)
    ]
    assert powers(rows) == pytest.approx(by_hand)


def test_an_embedding_of_few_waves_stands_out_and_a_random_one_does_not() -> None:
    probe = FourierProbe("embed.weight", P)
    (few,) = look(probe, None, weights={"embed.weight": waves([2, 5, 7])})
    random = [
        look(probe, None, weights={"embed.weight": np.random.default_rng(s).normal(size=(P, 12))})[0] for s in range(20)
    ]
    assert few.value > 0.6
    assert few.difference > 0.4
    assert max(abs(reading.difference) for reading in random) < 0.15
    assert abs(np.mean([reading.difference for reading in random])) < 0.03


def test_residues_may_be_columns_and_further_rows_are_left_aside() -> None:
    rows = np.concatenate([waves([3]), np.full((2, 12), 50.0)])
    one = look(FourierProbe("w", P), None, weights={"w": rows})
    assert one == look(FourierProbe("w", P, axis=1), None, weights={"w": rows.T})
    assert one[0].value > 0.85
    with pytest.raises(WatchError, match="a row for each of 23"):
        look(FourierProbe("w", P), None, weights={"w": rows[:9]})
    with pytest.raises(WatchError, match="one embedding"):
        look(FourierProbe("w*", P), None, weights={"w1": rows, "w2": rows})


# neurons


def neurons(count: int = 40, seed: int = 0, turned: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """What neurons read of each residue and write to each class, (P, count) each, when they add by waves."""
    rng = np.random.default_rng(seed)
    waves, phases, here = rng.integers(1, P // 2 + 1, count), rng.uniform(0, 2 * np.pi, count), np.arange(P)[:, None]
    angle = 2 * np.pi * here * waves / P
    return np.cos(angle + phases), np.cos(angle + 2 * phases + turned)


def test_neurons_of_one_frequency_are_pure_and_noise_is_as_pure_as_the_highest_of_so_many() -> None:
    reads, _ = neurons()
    assert purity(reads) == pytest.approx(1.0)
    assert purity(np.ones((P, 3))) == 0.0
    noise = purity(np.random.default_rng(0).normal(size=(P, 4000)))
    assert noise == pytest.approx(np.mean(1 / np.arange(1, P // 2 + 1)), rel=0.03)


@pytest.mark.parametrize(("turned", "expected"), [(0.0, 1.0), (np.pi, -1.0), (np.pi / 2, 0.0), (np.pi / 4, 0.5)])
def test_neurons_that_write_the_sum_of_what_they_read_are_in_phase(turned: float, expected: float) -> None:
    assert in_phase(*neurons(turned=turned)) == pytest.approx(expected, abs=1e-9)


def test_another_frequency_another_order_and_nothing_are_no_sum() -> None:
    reads, writes = neurons()
    order = np.random.default_rng(1).permutation(P)
    assert abs(in_phase(reads, neurons(seed=5)[1])) < 0.15
    assert abs(in_phase(reads[order], writes[order])) < 0.15
    assert in_phase(reads, np.zeros_like(writes)) == 0.0


def test_what_a_neuron_of_two_numbers_holds_of_their_sum_is_in_phase_by_hand() -> None:
    reads, _ = neurons()
    activations = np.maximum(reads[:, None] + reads[None], 0)
    assert in_phase(reads, by_sum(activations)) > 0.8
    differences = by_sum(np.maximum(reads[:, None] + reads[::-1][None], 0))
    assert abs(in_phase(reads, differences)) < 0.3


def test_a_circuit_of_sums_stands_out_in_all_three_and_other_weights_in_none() -> None:
    probe = FourierProbe("e", P, up="up", readout="out")
    reads, writes = neurons()
    held = {"e": reads, "up": np.eye(40), "out": writes}
    _, pure, sums = look(probe, None, weights=held)
    assert pure.value == pytest.approx(1.0) and pure.difference > 0.6
    assert sums.value == pytest.approx(1.0) and abs(sums.placebo) < 0.15
    rng = np.random.default_rng(2)
    other = {"e": rng.normal(size=(P, 8)), "up": rng.normal(size=(40, 8)), "out": rng.normal(size=(P, 40))}
    assert all(abs(each.difference) < 0.15 for each in look(probe, None, weights=other))
    assert look(probe, None, weights=held)[0] == look(FourierProbe("e", P), None, weights={"e": reads})[0]


def test_neurons_that_do_not_fit_are_named() -> None:
    with pytest.raises(WatchError, match="`up` and `readout`, or neither"):
        FourierProbe("e", P, up="up")
    probe = FourierProbe("e", P, up="up", readout="out")
    whole = {"e": np.ones((P, 3)), "up": np.ones((5, 3)), "out": np.ones((P, 5))}
    with pytest.raises(WatchError, match=r"expected up \(neurons, 3\) and readout"):
        look(probe, None, weights=whole | {"up": np.ones((3, 5))})
    with pytest.raises(WatchError, match="a readout"):
        look(probe, None, weights=whole | {"out": np.ones((9, 5))})
    with pytest.raises(WatchError, match="one parameter called 'e'"):
        look(probe, None, weights={"e": whole["e"]})


def test_a_probe_of_neurons_is_made_again_from_its_settings() -> None:
    probe = FourierProbe("e", P, seed=3, up="up", readout="out")
    assert [s.name for s in made(probe.name, stated(probe), None).signals] == [s.name for s in probe.signals]


# the table


def test_means_by_sum_parts_and_back_again() -> None:
    rng = np.random.default_rng(0)
    sums = rng.normal(size=(P, 4))
    table = over_pairs(sums)
    assert by_sum(table) == pytest.approx(sums)
    assert table[5, 20] == pytest.approx(sums[2])
    every = parts(sums, np.arange(P // 2 + 1))
    assert every == pytest.approx(sums)
    assert parts(sums, np.array([3])) + parts(sums, np.array([4])) == pytest.approx(parts(sums, np.array([3, 4])))


def test_the_loss_is_the_cross_entropy() -> None:
    logits = np.random.default_rng(0).normal(size=(6, 4))
    answers = np.array([0, 1, 2, 3, 0, 1])
    by_hand = -np.log(np.exp(logits)[np.arange(6), answers] / np.exp(logits).sum(1))
    assert losses(logits, answers) == pytest.approx(by_hand)


def adding(frequencies: list[int], scale: float = 4.0) -> object:
    """Logits Σ_k cos(2πk(a + b − c)/p): right, by a few waves."""

    def network(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turns = (inputs[:, 0] + inputs[:, 1])[:, None] - np.arange(P)[None]
        return inputs, scale * np.cos(2 * np.pi * turns[..., None] * np.array(frequencies) / P).sum(-1)

    return network


def memorising(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right on pairs with a < 12, random elsewhere, and no waves but those of single sums."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 0.5, (len(inputs), P))
    known = inputs[:, 0] < 12
    logits[known, (inputs[known, 0] + inputs[known, 1]) % P] += 12.0
    return inputs, logits


def test_a_network_that_adds_by_waves_keeps_its_loss_in_them_and_loses_it_without() -> None:
    probe = TableProbe(P, keys=4)
    gain, rise = look(probe, adding([1, 4, 6, 9]))  # type: ignore[arg-type]
    assert gain.value == pytest.approx(np.log(P), abs=0.1)  # the restricted loss is about 0
    assert gain.placebo == pytest.approx(0.0, abs=1e-6)  # other frequencies hold nothing
    assert rise.value == pytest.approx(np.log(P), abs=0.1)  # without them, all answers alike
    assert rise.placebo == pytest.approx(0.0, abs=1e-6)


def test_a_network_that_memorises_has_no_frequencies_to_speak_of() -> None:
    gain, rise = look(TableProbe(P, keys=4, trained=np.arange(P)[:, None] < np.full(P, 12)), memorising)
    assert abs(gain.difference) < 0.3
    assert abs(rise.difference) < 0.3


def test_rows_hold_all_pairs_and_the_suffix_and_the_last_position_answers() -> None:
    probe = TableProbe(P, suffix=(P,))
    held = []

    def network(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        held.append(inputs)
        logits = adding([1, 4, 6, 9, 11])(inputs)[1]  # type: ignore[operator]
        wider = np.concatenate([logits, np.zeros((len(logits), 1))], axis=1)
        return inputs, np.stack([np.zeros_like(wider), np.zeros_like(wider), wider], axis=1)

    gain, _ = look(probe, network)
    assert held[0].shape == (P * P, 3) and held[0].dtype == np.int64
    assert (held[0][:, 2] == P).all()
    assert len(np.unique(held[0], axis=0)) == P * P
    assert gain.value == pytest.approx(np.log(P), abs=0.1)


def test_what_does_not_fit_a_table_is_refused() -> None:
    for wrong in ({"period": 2}, {"period": P, "keys": 6}, {"period": P, "trained": np.ones((2, 2), dtype=bool)}):
        with pytest.raises(WatchError, match="expected 1 to"):
            TableProbe(**wrong)  # type: ignore[arg-type]
    with pytest.raises(WatchError, match="at least 23 classes"):
        look(TableProbe(P), lambda x: (x, np.zeros((len(x), 5))))
    with pytest.raises(WatchError, match="finite"):
        look(TableProbe(P), lambda x: (x, np.full((len(x), P), np.nan)))


# norms and ranks


def test_concentration_is_none_for_a_rotation_and_whole_for_one_direction() -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))
    assert concentration(3 * rotation) == pytest.approx(0.0, abs=1e-9)
    assert concentration(np.outer(np.arange(1, 9), np.ones(5))) == pytest.approx(1 - 1 / 5)
    assert concentration(np.zeros((3, 3))) == 0.0
    assert np.isnan(concentration(np.full((2, 2), np.nan)))


def test_norms_are_held_against_the_first_look_and_concentration_against_the_same_numbers_shuffled() -> None:
    probe = WeightsProbe("*")
    rng = np.random.default_rng(0)
    low_rank = {"w": np.outer(rng.normal(size=30), rng.normal(size=20)), "b": np.ones(7)}
    norm, ranks = look(probe, None, weights=low_rank)
    assert norm.value == pytest.approx(np.sqrt((low_rank["w"] ** 2).sum() + 7))
    assert norm.difference == 0
    assert ranks.difference > 0.1
    random = [look(probe, None, weights={"w": rng.normal(size=(30, 20))})[1].difference for _ in range(10)]
    assert max(map(abs, random)) < 0.1
    assert look(probe, None, weights=low_rank, first=1.0)[0].difference > 1
    assert look(probe, None, weights={"b": np.ones(3)})[1].difference == 0


def test_no_weights_named_is_refused_and_settings_are_json() -> None:
    with pytest.raises(WatchError, match="none"):
        WeightsProbe()
    for probe in (WeightsProbe("*.weight"), FourierProbe("e", P), TableProbe(P)):
        assert json.loads(json.dumps(probe.settings)) == probe.settings
