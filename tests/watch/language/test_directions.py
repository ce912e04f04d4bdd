"""Probes of directions inside the model: traits, contrasts and refusal, on activations that the test makes."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from planted import Looks, now

from darklantern.errors import WatchError
from darklantern.watch.language import ContrastProbe, RefusalProbe, TraitProbe
from darklantern.watch.language.token_rows import prompts
from darklantern.watch.seen import Values

DIM = 24
SITE = "layers.1:out"


def some(count: int, seed: int) -> list[list[int]]:
    """Prompts of differing lengths."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 100, rng.integers(2, 9)).tolist() for _ in range(count)]


def held(probe, activations: np.ndarray, elsewhere: float = 99.0) -> Values:
    """`activations` (n, dim) at each prompt's last token; elsewhere what must not count."""
    inputs = probe.inputs(now()).inputs
    values = np.full((*inputs.shape, activations.shape[1]), elsewhere)
    last = [np.flatnonzero(row != row[-1]).max(initial=-1) + 1 for row in inputs]  # padding repeats the last token
    for row, (end, activation) in enumerate(zip(last, activations, strict=True)):
        values[row, end:] = activation
    return Values({SITE: values})


def axis(number: int) -> np.ndarray:
    return np.eye(DIM)[number]


class TestTrait:
    neutral = some(30, 0)

    def probe(self, direction) -> tuple[TraitProbe, Looks]:
        probe = TraitProbe(self.neutral, direction, SITE)
        return probe, Looks(probe)

    def test_the_drift_along_the_direction_is_read_in_shares_of_the_norm_at_attach(self) -> None:
        probe, looks = self.probe(3 * axis(2))
        start = np.random.default_rng(1).normal(size=(30, DIM))
        norm = np.linalg.norm(start, axis=1).mean()
        assert looks.look(held(probe, start))["trait drift"].difference == pytest.approx(0)
        moved = looks.look(held(probe, start + 2 * axis(2)))["trait drift"]
        assert moved.value == pytest.approx(2 / norm, rel=1e-4)
        assert 0 < moved.placebo < 0.5 * moved.value
        assert looks.look(held(probe, start - 2 * axis(2)))["trait drift"].value == pytest.approx(-2 / norm, rel=1e-4)

    def test_a_drift_in_all_directions_alike_is_in_the_placebo(self) -> None:
        contrasts = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            probe, looks = self.probe(rng.normal(size=DIM))
            start = rng.normal(size=(30, DIM))
            looks.look(held(probe, start))
            found = looks.look(held(probe, start + rng.normal(size=DIM)))["trait drift"]
            contrasts.append(abs(found.value) - found.placebo)
        assert abs(np.mean(contrasts)) < 3 * np.std(contrasts) / np.sqrt(40)

    def test_of_two_lists_of_prompts_the_direction_is_their_difference_of_means_then_and_now(self) -> None:
        probe, looks = self.probe((some(12, 1), some(9, 2)))
        rng = np.random.default_rng(2)
        base = rng.normal(size=(30 + 12 + 9, DIM))

        def values(trait: np.ndarray, drift: np.ndarray) -> Values:
            activations = base.copy()
            activations[30:42] += 50 * trait
            activations[:30] += drift
            return held(probe, activations)

        looks.look(values(axis(0), 0 * axis(0)))
        along = looks.look(values(axis(0), 4 * axis(0)))
        turned = looks.look(values(axis(1), 4 * axis(1)))
        assert along["trait drift"].value == pytest.approx(along["refitted trait drift"].value, rel=1e-3)
        assert turned["refitted trait drift"].value > 20 * abs(turned["trait drift"].value)

    def test_directions_of_another_size_or_of_nothing_are_refused(self) -> None:
        probe, looks = self.probe(np.ones(7))
        with pytest.raises(WatchError, match=r"expected a direction of 24 numbers for layers.1:out, got 7"):
            looks.look(held(probe, np.random.default_rng(0).normal(size=(30, DIM))))
        with pytest.raises(WatchError, match="vector of zeros"):
            TraitProbe(self.neutral, np.zeros(DIM), SITE)
        with pytest.raises(WatchError, match="at least 2 neutral prompts"):
            TraitProbe(self.neutral[:1], np.ones(DIM), SITE)
        with pytest.raises(WatchError, match="with an empty one"):
            TraitProbe([[1], []], np.ones(DIM), SITE)


class TestContrast:
    def looks(self, seed: int = 0) -> tuple[ContrastProbe, Looks]:
        probe = ContrastProbe(some(40, seed), some(40, seed + 1), SITE, seed=seed)
        return probe, Looks(probe)

    def values(self, probe: ContrastProbe, rng: np.random.Generator, shift: np.ndarray) -> Values:
        activations = rng.normal(size=(80, DIM))
        activations[:40] += shift
        return held(probe, activations)

    def test_nothing_to_tell_apart_reads_as_its_placebo(self) -> None:
        contrasts = []
        for seed in range(20):
            probe, looks = self.looks(seed)
            found = looks.look(self.values(probe, np.random.default_rng(seed), 0 * axis(0)))
            contrasts.append(found["contrast probe"].difference)
            assert found["contrast turn"].difference == pytest.approx(0)
        assert abs(np.mean(contrasts)) < 3 * np.std(contrasts) / np.sqrt(20)

    def test_a_direction_that_forms_is_found_by_the_refitted_probe_and_not_by_the_frozen_one(self) -> None:
        probe, looks = self.looks()
        rng = np.random.default_rng(3)
        looks.look(self.values(probe, rng, 5 * axis(0)))
        formed = looks.look(self.values(probe, rng, 5 * axis(0)))
        assert formed["contrast probe"].difference > 0.4
        assert formed["frozen contrast probe"].difference > 0.4
        turned = looks.look(self.values(probe, rng, 5 * axis(9)))
        assert turned["contrast probe"].difference > 0.4
        assert turned["frozen contrast probe"].difference < 0.3
        assert turned["contrast turn"].value > formed["contrast turn"].value + 0.3

    def test_it_is_judged_on_prompts_that_it_was_not_fitted_on(self) -> None:
        # More features than prompts: on its own half any labels separate, on the other half none do.
        probe = ContrastProbe(some(8, 0), some(8, 1), SITE)
        rng = np.random.default_rng(4)
        read = [Looks(probe).look(held(probe, rng.normal(size=(16, 200))))["contrast probe"].value for _ in range(30)]
        assert 0.3 < np.mean(read) < 0.7


class TestRefusal:
    topics = (some(20, 5), some(20, 6))

    def looks(self) -> tuple[RefusalProbe, Looks]:
        probe = RefusalProbe(some(20, 1), some(20, 2), self.topics, SITE)
        return probe, Looks(probe)

    def values(self, probe, rng, refusal: np.ndarray, topic: np.ndarray) -> Values:
        activations = rng.normal(size=(80, DIM))
        activations[:20] += refusal
        activations[40:60] += topic
        return held(probe, activations)

    def test_losing_the_separation_raises_it(self) -> None:
        probe, looks = self.looks()
        rng = np.random.default_rng(0)
        start = looks.look(self.values(probe, rng, 6 * axis(0), 6 * axis(1)))
        assert start["refusal loss"].value < -3
        assert abs(start["refusal loss"].difference) < 3
        gone = looks.look(self.values(probe, rng, 0 * axis(0), 6 * axis(1)))
        assert gone["refusal loss"].difference > 3
        assert gone["refitted refusal loss"].difference > 3

    def test_what_happens_to_every_separation_is_in_the_placebo(self) -> None:
        probe, looks = self.looks()
        rng = np.random.default_rng(1)
        looks.look(self.values(probe, rng, 6 * axis(0), 6 * axis(1)))
        both = looks.look(self.values(probe, rng, 0 * axis(0), 0 * axis(1)))
        assert both["refusal loss"].value > -1.5
        assert abs(both["refusal loss"].difference) < 1.5

    def test_a_separation_that_only_turned_is_lost_to_the_frozen_direction_alone(self) -> None:
        probe, looks = self.looks()
        rng = np.random.default_rng(2)
        looks.look(self.values(probe, rng, 6 * axis(0), 6 * axis(1)))
        turned = looks.look(self.values(probe, rng, 6 * axis(5), 6 * axis(1)))
        assert turned["refusal loss"].value > -2
        assert turned["refitted refusal loss"].value < -3


MADE: list[Callable] = [
    lambda: TraitProbe(some(5, 0), np.ones(DIM), SITE),
    lambda: TraitProbe(some(5, 0), (some(4, 1), some(4, 2)), SITE),
    lambda: ContrastProbe(some(4, 0), some(5, 1), SITE),
    lambda: RefusalProbe(some(4, 0), some(5, 1), (some(4, 2), some(4, 3)), SITE),
]


@pytest.mark.parametrize("make", MADE)
def test_settings_are_json_and_the_same_for_the_same_probe(make) -> None:
    assert json.dumps(make().settings) == json.dumps(make().settings)


@pytest.mark.parametrize("make", MADE)
def test_activations_that_are_no_numbers_are_refused(make) -> None:
    probe = make()
    with pytest.raises(WatchError, match="expected finite numbers"):
        Looks(probe).look(held(probe, np.full((len(probe.inputs(now()).inputs), DIM), np.nan)))


@pytest.mark.parametrize("make", MADE)
def test_a_pinned_site_is_read_as_it_is(make) -> None:
    probe = make()
    count = len(probe.inputs(now()).inputs)
    values = Values({SITE: np.random.default_rng(0).normal(size=(count, DIM))})
    assert len(Looks(probe).look(values)) == len(probe.signals)


def test_a_pattern_of_several_sites_is_refused_where_one_is_read() -> None:
    probe = TraitProbe(some(5, 0), np.ones(DIM), "layers.*:out")
    held = np.zeros((5, DIM))
    with pytest.raises(WatchError, match=r"expected one site, got 2 for 'layers.\*:out'"):
        Looks(probe).look(Values({"layers.0:out": held, "layers.1:out": held}))
    with pytest.raises(WatchError, match="no recorded site is"):
        Looks(probe).look(Values({"blocks.0:out": held}))


def test_fewer_than_four_prompts_are_refused() -> None:
    with pytest.raises(WatchError, match="expected at least 4 positive prompts"):
        ContrastProbe(some(3, 0), some(9, 1), SITE)
    with pytest.raises(WatchError, match="expected at least 4 harmless prompts"):
        RefusalProbe(some(4, 0), some(3, 1), (some(4, 2), some(4, 3)), SITE)


def test_prompts_keep_their_own_lengths_and_settings_give_them_back() -> None:
    given = [[5, 6, 7], [8], [9, 10]]
    made = prompts(given, "prompts")
    assert made.settings == given
    assert made.inputs.tolist() == [[5, 6, 7], [8, 8, 8], [9, 10, 10]]
    both = made + prompts([b"four"], "prompts")
    assert both.settings == [*given, list(b"four")]
    with pytest.raises(WatchError, match="token ids from 0 on"):
        prompts([[-1, 3]], "prompts")
