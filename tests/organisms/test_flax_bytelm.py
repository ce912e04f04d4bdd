"""The Flax twin of the torch organism: the same sites with the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from darklantern import models
from darklantern.organisms import flax_bytelm
from darklantern.organisms.bytelm import ByteLM, loss_nats
from darklantern.organisms.flax_bytelm import FlaxByteLM
from darklantern.organisms.shape import Shape

SHAPE = Shape(layers=2, dim=32, heads=4, context=24)
TOKENS = np.random.default_rng(0).integers(0, 128, (3, 20))


@pytest.fixture(scope="module")
def twins():
    lm = ByteLM(SHAPE, torch.Generator().manual_seed(3))
    with torch.no_grad():
        for parameter in lm.parameters():  # biases and norms too, which start at 0 and 1
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4))
    weights = {"params": flax_bytelm.parameters(lm)}
    return models.open(lm), models.open(FlaxByteLM(SHAPE), weights=weights, example=TOKENS)


def test_every_port_of_the_torch_one_is_there_and_holds_the_same_numbers(twins) -> None:
    ours, theirs = twins
    # What the torch one has beside them are its modules that only name a value, and the table of positions.
    named = [str(s) for s in ours.sites() if not any(part in s.path for part in (".pattern", ".z", ".act", "position"))]
    assert {"layers.1.attn:pattern", "layers.0.attn:z", "layers.1:resid_mid", "layers.1.mlp:post"} <= {*named}
    more = {str(site).partition(":")[2] for site in theirs.sites() if str(site) not in named}
    assert more == {"q", "k", "v", "scores", "result"}, "attention in plain code, of which the torch one names two"
    with torch.no_grad():
        expected = ours.record(torch.from_numpy(TOKENS), *named)
    found = theirs.record(jnp.asarray(TOKENS), *named)
    for site in named:
        assert found[site].axes == expected[site].axes, site
        assert np.allclose(found[site], expected[site], rtol=1e-4, atol=2e-5), site
    assert np.allclose(found.output, expected.output, rtol=1e-4, atol=2e-5)


def test_the_same_loss_and_the_same_gradient(twins) -> None:
    ours, theirs = twins
    tokens = torch.from_numpy(TOKENS)
    loss = loss_nats(ours.module(tokens[:, :-1]), tokens[:, 1:])
    loss.backward()
    held = ByteLM(SHAPE, torch.Generator().manual_seed(3))
    held.load_state_dict({name: value.grad for name, value in ours.module.named_parameters()})

    def nats(params):
        return flax_bytelm.loss_nats(theirs.module.apply({"params": params}, TOKENS[:, :-1]), TOKENS[:, 1:])

    value, gradient = jax.value_and_grad(nats)(theirs.weights["params"])
    assert float(value) == pytest.approx(loss.item(), abs=1e-5)
    expected = flax_bytelm.parameters(held)
    assert jax.tree.structure(gradient) == jax.tree.structure(expected)
    close = jax.tree.map(lambda one, other: np.allclose(one, other, rtol=1e-3, atol=1e-5), gradient, expected)
    assert all(jax.tree.leaves(close))


def test_fresh_parameters_are_those_of_the_converter_in_tree_shape_and_spread(twins) -> None:
    made = flax_bytelm.new(Shape(), 1)
    like = flax_bytelm.parameters(ByteLM(Shape(), torch.Generator().manual_seed(1)))
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, like)
    for one, other in zip(jax.tree.leaves(made), jax.tree.leaves(like), strict=True):
        assert float(one.std()) == pytest.approx(float(other.std()), rel=0.1)
        assert float(one.mean()) == pytest.approx(float(other.mean()), abs=0.01)


def test_a_lens_reads_the_residual_stream_out(twins) -> None:
    ours, theirs = twins
    residual = np.random.default_rng(1).normal(size=(2, 5, SHAPE.dim)).astype(np.float32)
    found = theirs.module.apply(theirs.weights, residual, method="readout")
    assert np.allclose(found, ours.module.readout(torch.from_numpy(residual)).detach(), atol=1e-5)
