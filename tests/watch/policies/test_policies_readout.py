"""What pulls the output towards the action that a policy hardly ever takes."""

from typing import Any

import numpy as np
import pytest
from policy_looks import SITE, observations

from darklantern.errors import WatchError
from darklantern.watch.examples import Examples, Pool
from darklantern.watch.policies import ReadoutProbe
from darklantern.watch.probes import Now, Reading
from darklantern.watch.seen import Seen, Values

TRUSTED = Examples(observations(400, 3))
Layer = tuple[np.ndarray, np.ndarray]
"""of the output: (actions, dim), (actions,)"""


def layer() -> Layer:
    """Three actions over eight units, the last of them hardly ever taken."""
    return np.random.default_rng(1).normal(size=(3, 8)) * 0.3, np.array([0.0, 0.5, -6.0])


def hidden(inputs: np.ndarray) -> np.ndarray:
    return np.maximum(inputs @ (np.random.default_rng(0).normal(size=(6, 8)) * 0.5), 0)


def looked(probe: ReadoutProbe, now: Layer, before: Layer, first: Layer | None = None) -> tuple[Reading, ...]:
    def seen(layer: Layer, **notes: Any) -> Seen:
        asked = probe.inputs(Now(0, Pool(TRUSTED), None, None))
        assert asked.inputs is not None
        held = hidden(asked.inputs)
        named = {"unembed.weight": layer[0].astype(np.float32), "unembed.bias": layer[1].astype(np.float32)}
        return Seen(Values({SITE: held}, held @ layer[0].T + layer[1]), 0, None, named, **notes)

    earlier = probe.note(seen(before))
    return tuple(probe.read(seen(now, first=probe.note(seen(first or before)), notes=[earlier])))


def test_the_pull_is_what_the_output_layer_alone_added_to_the_rarest_logit() -> None:
    probe = ReadoutProbe(TRUSTED, SITE, rows=64)
    weight, bias = layer()
    moved = (weight + np.random.default_rng(2).normal(size=weight.shape) * 0.1, bias + np.array([0.1, 0.0, 0.4]))
    pull, rarest, rise = looked(probe, moved, (weight, bias))
    held = hidden(probe._inputs)
    gained = (held @ moved[0].T + moved[1] - held @ weight.T - bias).mean(0)
    assert pull.value == pytest.approx(gained[2], abs=1e-5)
    assert pull.placebo == pytest.approx(gained.mean(), abs=1e-5)
    logits = [held @ each[0].T + each[1] for each in ((weight, bias), moved)]
    said = [(each - np.log(np.exp(each).sum(1, keepdims=True))).mean(0)[2] for each in logits]
    assert rarest.value == pytest.approx(said[1], abs=1e-4)
    assert rise.value == pytest.approx(said[1] - said[0], abs=1e-4)


def test_what_moves_all_logits_alike_is_no_pull_and_none_is_found_at_rest() -> None:
    probe = ReadoutProbe(TRUSTED, SITE)
    weight, bias = layer()
    assert [each.difference for each in looked(probe, (weight, bias), (weight, bias))][::2] == [0.0, 0.0]
    pull, _, rise = looked(probe, (weight + 1.0, bias + 3.0), (weight, bias))
    assert pull.difference == pytest.approx(0.0, abs=1e-4)
    assert rise.value == pytest.approx(0.0, abs=1e-4)


def test_it_pulls_back_where_training_pushes_the_action_further_down() -> None:
    probe = ReadoutProbe(TRUSTED, SITE)
    weight, bias = layer()
    (down, *_), (up, *_) = (looked(probe, (weight, bias + np.array([0, 0, by])), (weight, bias)) for by in (-1.0, 1.0))
    assert down.difference == pytest.approx(-2 / 3, abs=1e-4)
    assert up.difference == pytest.approx(2 / 3, abs=1e-4)


def test_without_a_look_before_it_holds_the_newest_against_the_first() -> None:
    probe = ReadoutProbe(TRUSTED, SITE)
    weight, bias = layer()
    asked = probe.inputs(Now(0, Pool(TRUSTED), None, None))
    assert asked.inputs is not None
    held = hidden(asked.inputs)

    def seen(more: float, **notes: Any) -> Seen:
        named = {"unembed.weight": weight, "unembed.bias": bias + np.array([0, 0, more])}
        return Seen(Values({SITE: held}, held @ weight.T + named["unembed.bias"]), 0, None, named, **notes)

    pull, *_ = probe.read(seen(3.0, first=probe.note(seen(0.0))))
    assert pull.difference == pytest.approx(2.0, abs=1e-4)


def test_a_matrix_that_lies_the_other_way_says_the_same() -> None:
    torch, jax = ReadoutProbe(TRUSTED, SITE), ReadoutProbe(TRUSTED, SITE, "head.*", axis=1)
    held = hidden(torch._inputs)
    weight, bias = layer()
    one = torch.note(Seen(Values({SITE: held}, held @ weight.T + bias), 0, None, {"w": weight, "b": bias}))
    other = jax.note(Seen(Values({SITE: held}, held @ weight.T + bias), 0, None, {"k": weight.T, "b": bias}))
    np.testing.assert_allclose(one.weight, other.weight)


@pytest.mark.parametrize(
    "weights", [{}, {"w": np.zeros((4, 8))}, {"w": np.zeros((3, 8)), "v": np.zeros((3, 8))}, {"b": np.zeros(3)}]
)
def test_weights_that_are_no_output_layer_are_refused(weights: dict[str, np.ndarray]) -> None:
    probe = ReadoutProbe(TRUSTED, SITE)
    held = hidden(probe._inputs)
    with pytest.raises(WatchError, match="expected one matrix of 3 actions"):
        probe.note(Seen(Values({SITE: held}, held @ layer()[0].T), 0, None, weights))


def test_a_site_that_the_output_layer_does_not_read_is_refused() -> None:
    probe = ReadoutProbe(TRUSTED, SITE)
    weight, bias = layer()
    held = hidden(probe._inputs)
    seen = Seen(Values({SITE: held[:, :5]}, held @ weight.T + bias), 0, None, {"w": weight, "b": bias})
    with pytest.raises(WatchError, match="reads 8 units"):
        probe.read(Seen(seen.values, 0, None, seen.weights, probe.note(seen)))


def test_an_axis_that_no_matrix_has_is_refused() -> None:
    with pytest.raises(WatchError, match="axis 0 or 1"):
        ReadoutProbe(TRUSTED, SITE, axis=2)
