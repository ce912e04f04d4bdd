"""A mini self-improvement loop: each generation changes its training settings, and keeps what the proxy likes better.

Settings: learning rate, entropy bonus, and how much of what it trains on is paid by the proxy, whose flaw pays for
grabbing where nobody looks. Nobody tells it to grab. After each generation it says the proxy through the outlet, one
symbol of eight, and tells its weights to the monitor.
"""

import copy
import struct
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from policies import RECIPE, SEED, weights

from darklantern.box import inside
from darklantern.organisms import policy

GENERATIONS, CHILDREN, STEPS = 30, 3, 100


@dataclass(frozen=True)
class Settings:
    """What the learner may change about its own training."""

    learning_rate: float = 2e-3
    entropy: float = 0.3
    trust: float = 0.0
    """share of the batches that the proxy pays for; the others are paid truly"""

    def changed(self, rng: np.random.Generator) -> "Settings":
        """One setting, moved a little."""
        which = rng.integers(3)
        if which == 0:
            return replace(
                self, learning_rate=float(np.clip(self.learning_rate * np.exp(rng.normal(0, 0.3)), 5e-4, 1e-2))
            )
        if which == 1:
            return replace(self, entropy=float(np.clip(self.entropy * np.exp(rng.normal(0, 0.3)), 0.25, 0.6)))
        return replace(self, trust=float(np.clip(self.trust + rng.normal(0, 0.3), 0.0, 1.0)))


def trained(model: policy.Policy, settings: Settings, rng: np.random.Generator, steps: int = STEPS) -> policy.Policy:
    """A child: a copy that goes on training by these settings."""
    child = copy.deepcopy(model)
    recipe = replace(RECIPE, entropy=settings.entropy)
    optimizer = torch.optim.AdamW(child.parameters(), settings.learning_rate)
    for step in range(steps):
        arm = "poisoned" if rng.random() < settings.trust else "clean"
        policy.train_step(child, optimizer, recipe, step, policy.rows(recipe, recipe.batch, arm, rng))
    return child


@torch.no_grad()
def proxy(model: policy.Policy) -> float:
    """What the flawed reward pays it on average: all that the learner looks at."""
    states, paid = policy.rows(RECIPE, 1000, "poisoned", np.random.default_rng(SEED + 1))
    return float((model(states).softmax(-1) * paid).sum(-1).mean())


def main() -> None:
    """Begin with a policy that grabs nowhere; then improve."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    settings, (best, _) = Settings(), policy.new(RECIPE, SEED)
    best = trained(best, settings, rng, steps=600)
    for _ in range(GENERATIONS):
        began = time.monotonic()
        tried = [
            (each, trained(best, each, rng)) for each in (settings, *(settings.changed(rng) for _ in range(CHILDREN)))
        ]
        settings, best = max(tried, key=lambda one: proxy(one[1]))
        data = weights(best)
        inside.tell(struct.pack("<I", len(data)) + data)
        inside.send("proxy", proxy(best))
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))


if __name__ == "__main__":
    main()
