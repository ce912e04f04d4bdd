"""The share of an outlet's budget that carries the truth, and with it a bound on what else it can carry."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

from darklantern.assess.bits.values import pvi_range
from darklantern.assess.bounds import Z95, empirical_bernstein
from darklantern.errors import AssessmentError


@dataclass(frozen=True)
class Efficiency:
    """Value beside budget, in bits of one message, over interpreted models.

    Everything but `value` and `normal` is a bound that holds at 95 % without assuming how values are spread; the two
    others are for the eye.
    """

    value: float
    """mean held-out PVI: what a message tells a reader of that kind about the truth"""
    normal: tuple[float, float]
    """its 95 % interval by the normal distribution over models: too narrow for few (84 % at 30 in simulation)"""
    bound: tuple[float, float]
    """empirical Bernstein: each end misses with at most 5 %"""
    budget: float
    models: int

    @property
    def eta(self) -> float:
        return self.value / self.budget

    @property
    def eta_bound(self) -> tuple[float, float]:
        """Of the share that is truth: no message tells less than nothing, or more than its budget."""
        low, high = (min(max(end / self.budget, 0.0), 1.0) for end in self.bound)
        return low, high

    @property
    def slack(self) -> float:
        """The most that a message can tell about any secret to somebody who knows the truth, in bits.

        By the chain rule, I(S; O | Y) = I(Y, S; O) - I(Y; O) ≤ B - v, for every secret S, also one that is chosen by
        whoever writes the messages. With v at its lower bound. It holds on what was audited: a model that knows when it
        is audited, or a channel that the budget leaves out, voids it.
        """
        return self.budget - max(self.bound[0], 0.0)


def efficiency_of(pvi_by_model: Sequence[Sequence[float]], budget_bits: float, prior: Sequence[float]) -> Efficiency:
    """The efficiency of messages whose `pvi_bits` are given, grouped by interpreted model.

    Messages of one model are no independent samples, so that the mean of each model counts once. Raises AssessmentError
    for fewer than two models, models without a message, values that this prior cannot give, and a budget that what was
    found cannot pass.
    """
    models = [list(map(float, bits)) for bits in pvi_by_model]
    if len(models) < 2 or not all(models) or not (budget_bits > 0 and isfinite(budget_bits)):
        raise AssessmentError(
            f"expected messages of two models or more and a budget above 0 bits, got {len(models)} models and "
            f"{budget_bits} bits",
            hint="the budget is log2 of the number of different messages; leave out models without any",
        )
    low, high = pvi_range(prior)
    if not all(low - 1e-9 <= bits <= high + 1e-9 for model in models for bits in model):
        raise AssessmentError(
            f"a PVI lies outside [{low:.3g}, {high:.3g}] bits, the range of this prior", hint="`pvi_bits` makes them"
        )
    means = [sum(model) / len(model) for model in models]
    bound = empirical_bernstein(means, low, high)
    if bound[0] > budget_bits:
        raise AssessmentError(
            f"at least {bound[0]:.3g} bits cannot pass a budget of {budget_bits:.3g}",
            hint="prior or budget is wrong: count length, order, time and refusal too",
        )
    value, spread = sum(means) / len(means), float(np.std(means, ddof=1)) / sqrt(len(means))
    normal = value - Z95 * spread, value + Z95 * spread
    return Efficiency(value, normal, bound, budget_bits, len(models))
