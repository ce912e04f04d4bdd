"""Norms in JAX, whichever way their variance is written, have a scale and are no activations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import darklantern as dl
from darklantern import models

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)


class Normed(nn.Module):
    norm: nn.Module

    @nn.compact
    def __call__(self, x):
        return nn.Dense(4, name="after")(self.norm(x))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.RMSNorm, lambda **how: nn.GroupNorm(num_groups=2, **how)])
def test_the_square_in_a_variance_is_no_activation(kind, fast: bool) -> None:
    made = Normed(kind(use_fast_variance=fast))
    weights = {
        "params": {"norm": {"scale": jnp.ones(4)}, "after": {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}},
    }
    if kind is not nn.RMSNorm:
        weights["params"]["norm"]["bias"] = jnp.zeros(4)
    sites = [str(site) for site in models.open(made, weights=weights, example=X).sites("norm:*")]
    assert sites == ["norm:in", "norm:scale", "norm:out"]


def test_a_squared_relu_still_is_one() -> None:
    class Squared(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(4, name="down")(nn.relu(nn.Dense(8, name="up")(x)) ** 2)

    weights = {
        "params": {
            "up": {"kernel": jnp.ones((4, 8)), "bias": jnp.zeros(8)},
            "down": {"kernel": jnp.ones((8, 4)), "bias": jnp.zeros(4)},
        }
    }
    opened = models.open(Squared(), weights=weights, example=X)
    assert np.allclose(opened.record(X, ":post")[":post"], np.maximum(X.sum(-1, keepdims=True), 0) ** 2, atol=1e-5)


class OfImages(nn.Module):
    norm: nn.Module

    @nn.compact
    def __call__(self, x):
        return self.norm(nn.Conv(4, (3, 3), name="conv")(x))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("kind", "summed", "centred"),
    [
        (nn.LayerNorm, (3, 4), True),
        (nn.RMSNorm, (3, 4), False),
        (nn.InstanceNorm, (1, 2), True),
        (lambda **how: nn.GroupNorm(num_groups=2, **how), (1, 2, 4), True),
    ],
)
def test_a_scale_has_the_names_of_what_it_divides(kind, summed: tuple[int, ...], centred: bool, fast: bool) -> None:
    images = np.random.default_rng(1).normal(size=(2, 5, 6, 3)).astype(np.float32)
    made = OfImages(kind(use_fast_variance=fast, epsilon=1e-5))
    model = models.open(made, weights=made.init(jax.random.key(0), images), example=images)
    found = model.record(images, "norm:{in,scale,out}")
    given, scale = found["norm:in"], found["norm:scale"]
    assert given.axes == scale.axes == ("batch", "height", "width", "channel")
    values = np.asarray(given.array).reshape(2, 5, 6, 2, 2)  # channels in two groups
    mean = values.mean(summed, keepdims=True) if centred else 0
    by_hand = np.sqrt(((values - mean) ** 2).mean(summed, keepdims=True) + 1e-5)
    whole = np.broadcast_to(by_hand, values.shape).reshape(given.shape)
    np.testing.assert_allclose(np.broadcast_to(scale.array, given.shape), whole, rtol=1e-3)
    assert (given / scale).axes == given.axes
    doubled = model.run(images, {"norm:scale": dl.scale(2.0)})
    np.testing.assert_allclose(doubled, np.asarray(found["norm:out"].array) / 2, rtol=1e-3, atol=1e-5)


def test_a_scale_of_one_example_has_the_name_of_its_only_axis() -> None:
    def normed(weights, x):
        with dl.part("norm"):
            return dl.tag("out", weights * x / jnp.sqrt((dl.tag("in", x) ** 2).mean() + 1e-5))

    model = dl.open(normed, weights=jnp.ones(4), example=X[0, 0])
    found = model.record(X[0, 0], "norm:{in,scale}")
    assert found["norm:in"].axes == found["norm:scale"].axes
    np.testing.assert_allclose(found["norm:scale"].array, np.sqrt((X[0, 0] ** 2).mean(keepdims=True) + 1e-5), rtol=1e-5)
