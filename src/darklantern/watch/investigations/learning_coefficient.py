"""How degenerate is the loss around the present weights? The local learning coefficient, by sampling near them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from darklantern.errors import WatchError
from darklantern.models import shim
from darklantern.models.as_function import as_function
from darklantern.models.opened import Model
from darklantern.watch.examples import Examples
from darklantern.watch.formulas import Floats
from darklantern.watch.investigations.material import cross_entropy, inputs_and_targets, placed

Loss = Callable[[Any, Any], Any]
"""(output, targets) → the mean loss over examples in nats, an array of no axes; differentiable"""
Weights = dict[str, Any]


@dataclass(frozen=True)
class LearningCoefficient:
    """An estimate of the local learning coefficient, and what it rests on."""

    chains: tuple[float, ...]
    """nβ(E[L] − L(w*)) of each chain"""
    losses: Floats
    """(chains, draws): L(w) − L(w*), in nats, on the batch of each draw"""
    loss: float
    """L(w*), in nats, on all examples"""
    beta: float
    """n·β, n being the number of examples"""

    @property
    def value(self) -> float:
        """The mean over chains. d/2 for a regular model of d parameters, less for a singular one."""
        return float(np.mean(self.chains))

    @property
    def error(self) -> float:
        """The standard error of the mean over chains: of sampling alone, not of a step or pull ill chosen."""
        return float(np.std(self.chains, ddof=1) / math.sqrt(len(self.chains))) if len(self.chains) > 1 else math.nan

    def __str__(self) -> str:
        return f"{self.value:.3g} ± {self.error:.2g} over {len(self.chains)} chains, at a loss of {self.loss:.4g} nats"


def learning_coefficient(
    model: Model,
    examples: Examples,
    loss: Loss = cross_entropy,
    chains: int = 4,
    draws: int = 200,
    settle: int = 100,
    step: float = 1e-4,
    pull: float = 100.0,
    beta: float | None = None,
    batch: int | None = None,
    sampler: Literal["rmsprop", "sgld"] = "rmsprop",
    decay: float = 0.99,
    tiny: float = 0.1,
    seed: int = 0,
) -> LearningCoefficient:
    """λ̂ = nβ(E[L(w)] − L(w*)) over weights w drawn near the present ones w*, at nβ = n / log n unless `beta` is given.

    Lau et al., "The local learning coefficient" (2023). Langevin steps (Welling and Teh 2011)
        w ← w − (ε/2)·G·(nβ ∇L(w) + γ(w − w*)) + √(εG)·ξ,
    ε `step`, γ `pull`, with G = 1 for "sgld" and, for "rmsprop", G = 1 / (√v + `tiny`), v the running mean of the
    squared nβ ∇L with `decay`, as Hitchcock and Hoogland (2025) sample up to 100 million parameters: steps follow each
    weight's own scale, and v takes no part of the pull. v begins at 1, since at w* the gradient is near 0 and the first
    steps would be leaps. What the changing of G adds to the law is left out, as there: little where v moves slowly.

    Costs chains · (settle + draws) forward and backward passes over a batch (all examples unless `batch`), and as many
    forward for batches, whose L(w*) is taken on the same examples. The model runs in evaluation mode, on copies of its
    weights, without its edits; no weight, gradient or buffer of it changes. Raises WatchError where a chain leaves
    for weights whose loss is not finite: a smaller step or more pull keeps it near.
    """
    n = len(examples)
    if n < 3 or min(chains, draws, step) <= 0 or settle < 0 or pull < 0 or (batch is not None and not 0 < batch <= n):
        raise WatchError(
            f"expected examples, chains, draws and a step, got {n}, {chains}, {draws} and {step:g}; batch={batch}",
            hint="as in learning_coefficient(model, examples, chains=4, draws=200, step=1e-4)",
        )
    weight = n / math.log(n) if beta is None else beta
    function, backend = as_function(model), shim.backend(model.framework)
    given, targets = (placed(each, function.weights) for each in inputs_and_targets(examples))

    def cost(weights: Weights, inputs: Any, answers: Any) -> Any:
        return loss(function.call(weights, inputs), answers)

    def descend(weights: Weights, inputs: Any, answers: Any) -> Any:
        return backend.value_and_grad(lambda moved: cost(moved, inputs, answers))(weights)

    with shim.without_gradients():
        centre = float(backend.jit(cost)(function.weights, given, targets))
    chain = _Chain(
        backend,
        backend.jit(descend),
        backend.jit(cost),
        function.weights,
        (given, targets),
        centre,
        weight,
        step,
        pull,
        sampler == "rmsprop",
        decay,
        tiny,
        batch,
    )
    risen = np.array([chain.run(settle, draws, (seed, number)) for number in range(chains)])
    return LearningCoefficient(tuple(float(each) for each in weight * risen.mean(1)), risen, centre, weight)


@dataclass(frozen=True)
class _Chain:
    backend: Any
    descend: Callable[..., Any]
    cost: Callable[..., Any]
    weights: Weights
    examples: tuple[Any, Any]
    centre: float
    beta: float
    step: float
    pull: float
    adapts: bool
    decay: float
    tiny: float
    batch: int | None

    def run(self, settle: int, draws: int, seed: tuple[int, int]) -> Floats:
        """L(w) − L(w*) of each draw, (draws,)."""
        rng = np.random.default_rng(seed)
        xp = self.backend.xp
        weights = dict(self.weights)
        squares = {name: xp.ones_like(each) for name, each in weights.items()}
        risen = np.empty(draws)
        for number in range(-settle, draws):
            inputs, answers, centre = self._drawn(rng)
            value, grads = self.descend(weights, inputs, answers)
            if number >= 0:
                risen[number] = float(value) - centre
            if not math.isfinite(float(value)):
                raise WatchError(
                    f"after {number + settle} steps a chain is at weights whose loss is {float(value)}",
                    hint=f"a smaller step than {self.step:g}, or more pull than {self.pull:g}",
                )
            with shim.without_gradients():
                weights, squares = self._moved(weights, squares, grads, rng)
        return risen

    def _moved(self, weights: Weights, squares: Weights, grads: Weights, rng: Any) -> tuple[Weights, Weights]:
        xp = self.backend.xp
        moved, kept = {}, {}
        for name, each in weights.items():
            slope = self.beta * grads[name]
            scale = 1.0
            kept[name] = squares[name]
            if self.adapts:
                kept[name] = self.decay * squares[name] + (1 - self.decay) * slope * slope
                scale = 1 / (xp.sqrt(kept[name]) + self.tiny)
            noise = self.backend.normal(each.shape, int(rng.integers(2**31)), each)
            drift = slope + self.pull * (each - self.weights[name])
            spread = math.sqrt(self.step) * (scale**0.5) * noise
            moved[name] = each - self.step / 2 * scale * drift + spread
        return moved, kept

    def _drawn(self, rng: Any) -> tuple[Any, Any, float]:
        """A batch and L(w*) on it."""
        given, targets = self.examples
        if self.batch is None:
            return given, targets, self.centre
        index = shim.listed([int(each) for each in rng.choice(len(given), self.batch, replace=False)], given)
        inputs, answers = given[index], targets[index]
        with shim.without_gradients():
            return inputs, answers, float(self.cost(self.weights, inputs, answers))
