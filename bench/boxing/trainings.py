"""A training loop in torch or in JAX: prints how long it computed, and a hash of the weights that came out."""

import hashlib
import sys
import time

STEPS = 300


def in_torch() -> tuple[float, bytes]:
    """A small network on made-up data, one thread."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    given = torch.randn(512, 64)
    wanted = given.sum(1, keepdim=True).sin()
    began = time.process_time()
    for _ in range(STEPS):
        loss = ((model(given) - wanted) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    spent = time.process_time() - began
    return spent, b"".join(each.detach().numpy().tobytes() for each in model.parameters())


def in_jax() -> tuple[float, bytes]:
    """The same by hand-written gradient descent."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(0)
    weights = {"a": rng.normal(0, 0.1, (64, 512)).astype("f4"), "b": rng.normal(0, 0.1, (512, 1)).astype("f4")}
    given = rng.normal(size=(512, 64)).astype("f4")
    wanted = np.sin(given.sum(1, keepdims=True))

    def loss(held: dict[str, jnp.ndarray]) -> jnp.ndarray:
        return ((jax.nn.relu(given @ held["a"]) @ held["b"] - wanted) ** 2).mean()

    step = jax.jit(lambda held: jax.tree.map(lambda w, g: w - 0.01 * g, held, jax.grad(loss)(held)))
    weights = jax.block_until_ready(step(weights))
    began = time.process_time()
    for _ in range(STEPS):
        weights = step(weights)
    jax.block_until_ready(weights)
    spent = time.process_time() - began
    return spent, b"".join(np.asarray(weights[name]).tobytes() for name in ("a", "b"))


if __name__ == "__main__":
    spent, weights = {"torch": in_torch, "jax": in_jax}[sys.argv[1]]()
    print(spent, hashlib.sha256(weights).hexdigest(), flush=True)
