"""Norms in JAX, whichever way their variance is written, have a scale and are no activations."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

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
