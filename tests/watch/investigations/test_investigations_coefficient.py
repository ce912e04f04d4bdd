"""The local learning coefficient where it is known: regular models, singular ones, and by quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen
from torch import Tensor, nn

import darklantern
from darklantern.errors import SiteError, WatchError
from darklantern.models.as_function import as_function
from darklantern.watch.examples import Examples
from darklantern.watch.investigations import learning_coefficient

BETA = 80.0


class Regression(nn.Module):
    """y = w·x, at the true weights."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.arange(1.0, dim + 1))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


class Quartic(nn.Module):
    """y = w²·x, at w = 0: a loss of w⁴."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] * self.w**2


class Product(nn.Module):
    """y = a·b·x, at a = b = 0: a loss of (ab)²."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] * self.a * self.b


def squared(output: Tensor, targets: Tensor) -> Tensor:
    """The negative log-likelihood of noise of variance 1, but for a constant."""
    return ((output - targets) ** 2).mean() / 2


def examples(model: nn.Module, dim: int, scales: object = 1.0) -> Examples:
    """Inputs whose second moments are exactly `scales`², and what the model says of them."""
    rng = np.random.default_rng(0)
    inputs, _ = np.linalg.qr(rng.normal(size=(200, dim)))
    inputs = (inputs * np.sqrt(200) * scales).astype(np.float32)
    with torch.no_grad():
        return Examples(inputs, model(torch.from_numpy(inputs)).numpy())


@pytest.mark.parametrize("dim", [2, 6])
def test_a_regular_model_has_half_of_its_parameters(dim: int) -> None:
    model = Regression(dim)
    found = learning_coefficient(
        darklantern.open(model),
        examples(model, dim),
        squared,
        draws=500,
        step=2e-3,
        pull=1.0,
        beta=BETA,
        sampler="sgld",
    )
    assert found.loss == pytest.approx(0.0, abs=1e-9)
    assert found.value == pytest.approx(dim / 2, rel=0.2)
    assert len(found.chains) == 4
    assert found.losses.shape == (4, 500)
    assert found.error < 0.15 * dim


@pytest.mark.slow
def test_preconditioned_steps_reach_scales_that_one_step_for_all_does_not() -> None:
    model = Regression(4)
    opened, given = darklantern.open(model), examples(model, 4, np.array([0.3, 0.3, 3.0, 3.0]))
    how = {"draws": 800, "settle": 200, "pull": 0.0, "beta": BETA}
    assert learning_coefficient(opened, given, squared, step=1e-2, **how).value == pytest.approx(2.0, rel=0.15)
    # Stable on the steep half, one step for all does not cross the flat half in so many draws.
    assert learning_coefficient(opened, given, squared, step=2e-4, sampler="sgld", **how).value < 1.7


@pytest.mark.parametrize(("sampler", "step"), [("sgld", 5e-3), ("rmsprop", 2e-2)])
def test_a_quartic_minimum_has_a_quarter(sampler: str, step: float) -> None:
    model = Quartic()
    found = learning_coefficient(
        darklantern.open(model),
        examples(model, 1),
        squared,
        draws=1000,
        settle=200,
        step=step,
        pull=0.0,
        beta=2 * BETA,
        sampler=sampler,  # type: ignore[arg-type]
    )
    assert found.value == pytest.approx(0.25, abs=0.06)


def by_quadrature(beta: float, pull: float) -> float:
    """E[β (ab)²/2] under exp(−β(ab)²/2 − pull·(a² + b²)/2): over b by the Gaussian integral, over a on a grid."""
    a = np.geomspace(1e-9, 10 / np.sqrt(pull), 20_001)
    stiff = beta * a**2 + pull
    density = np.exp(-pull * a**2 / 2) / np.sqrt(stiff)
    return float(np.trapezoid(beta * a**2 / stiff / 2 * density, a) / np.trapezoid(density, a))


@pytest.mark.slow
def test_the_product_of_two_weights_is_singular_as_quadrature_has_it() -> None:
    # λ = 1/2 of two parameters, not 1; of multiplicity 2, so that it is reached from below like 1/2 − 1/log β.
    limit = [by_quadrature(beta, 1.0) for beta in (1e2, 1e4, 1e6)]
    assert limit[0] < limit[1] < limit[2] < 0.5
    model = Product()
    found = learning_coefficient(
        darklantern.open(model),
        examples(model, 1),
        squared,
        draws=1200,
        settle=200,
        step=2e-3,
        pull=5.0,
        beta=400.0,
        sampler="sgld",
    )
    assert found.value == pytest.approx(by_quadrature(400.0, 5.0), abs=0.08)
    assert found.value < 0.5


def test_batches_estimate_the_same_coefficient_with_their_own_loss_at_the_centre() -> None:
    model = Regression(2)
    found = learning_coefficient(
        darklantern.open(model),
        examples(model, 2),
        squared,
        chains=2,
        draws=300,
        step=4e-3,
        pull=1.0,
        beta=BETA,
        batch=50,
        sampler="sgld",
    )
    assert found.value == pytest.approx(1.0, rel=0.3)


def test_the_run_is_left_bit_for_bit_as_it_was_and_the_seed_decides_all() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    module[0].weight.grad = torch.ones_like(module[0].weight)
    held = {name: each.clone() for name, each in module.state_dict().items()}
    own = [each.data_ptr() for each in module.parameters()]
    rng = torch.get_rng_state()
    given = Examples(np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2)
    model = darklantern.open(module)
    one, again, other = (learning_coefficient(model, given, chains=2, draws=5, settle=2, seed=s) for s in (1, 1, 2))
    assert one.chains == again.chains != other.chains
    assert all(torch.equal(held[name], each) for name, each in module.state_dict().items())
    assert own == [each.data_ptr() for each in module.parameters()]
    assert torch.equal(module[0].weight.grad, torch.ones_like(module[0].weight))
    assert module[3].weight.grad is None
    assert all(part.training for part in module.modules())
    assert torch.equal(rng, torch.get_rng_state())


class Line(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return linen.Dense(1, use_bias=False)(x)[:, 0]


@pytest.mark.slow
def test_a_model_in_jax_has_the_same_coefficient_and_keeps_its_weights() -> None:
    weights = {"params": {"Dense_0": {"kernel": jnp.arange(1.0, 3.0)[:, None]}}}
    given = examples(Regression(2), 2)
    found = learning_coefficient(
        darklantern.open(Line(), weights=weights), given, lambda out, y: ((out - y) ** 2).mean() / 2,
        chains=2, draws=300, settle=50, step=4e-3, pull=1.0, beta=BETA, sampler="sgld",
    )  # fmt: skip
    assert found.value == pytest.approx(1.0, rel=0.35)
    assert (weights["params"]["Dense_0"]["kernel"] == jnp.arange(1.0, 3.0)[:, None]).all()


def test_a_chain_that_leaves_and_settings_that_could_not_work_are_told() -> None:
    model = Quartic()
    opened, given = darklantern.open(model), examples(model, 1)
    with pytest.raises(WatchError, match="a chain is at weights") as caught:
        learning_coefficient(opened, given, squared, step=50.0, draws=200, sampler="sgld", beta=1e6)
    assert "smaller step" in caught.value.hint
    for wrong in ({"chains": 0}, {"draws": 0}, {"step": 0.0}, {"batch": 201}, {"pull": -1.0}):
        with pytest.raises(WatchError, match="expected examples, chains"):
            learning_coefficient(opened, given, squared, **wrong)  # type: ignore[arg-type]
    with pytest.raises(WatchError, match="with targets"):
        learning_coefficient(opened, Examples(given.inputs))


def test_classes_and_next_tokens_are_scored_by_cross_entropy() -> None:
    classes = nn.Linear(3, 4)
    given = Examples(np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32), np.arange(30) % 4)
    found = learning_coefficient(darklantern.open(classes), given, chains=1, draws=1, settle=0)
    with torch.no_grad():
        said = classes(torch.from_numpy(given.inputs))
    assert found.loss == pytest.approx(
        nn.functional.cross_entropy(said, torch.from_numpy(given.targets)).item(), rel=1e-5
    )
    tokens = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7))
    rows = np.random.default_rng(1).integers(0, 7, (20, 9))
    found = learning_coefficient(darklantern.open(tokens), Examples(rows), chains=1, draws=1, settle=0)
    with torch.no_grad():
        said = tokens(torch.from_numpy(rows[:, :-1])).flatten(0, 1)
    assert found.loss == pytest.approx(
        nn.functional.cross_entropy(said, torch.from_numpy(rows[:, 1:]).flatten()).item(), rel=1e-5
    )


# the model as a function of its weights


def test_a_function_of_weights_is_the_model_and_follows_tied_ones() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 3)
            self.out = nn.Linear(3, 5, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.embed(tokens))

    module = Tied()
    function = as_function(darklantern.open(module))
    assert list(function.weights) == ["embed.weight"]
    tokens = torch.arange(5)
    assert torch.equal(function.call(function.weights, tokens), module(tokens))
    doubled = {"embed.weight": 2 * function.weights["embed.weight"]}
    assert torch.allclose(function.call(doubled, tokens), 4 * module(tokens))


def test_a_model_whose_weights_do_not_train_is_told() -> None:
    module = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(SiteError, match="require gradients"):
        as_function(darklantern.open(module))
