"""The Flax organism in a loop of optax, and a probe whose readings the test decides."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from watch.loops import CORPUS, MARK, RECIPE, REFERENCES, TRUSTED

from darklantern.organisms import flax_bytelm
from darklantern.organisms.flax_bytelm import FlaxByteLM
from darklantern.organisms.loading import Batches
from darklantern.organisms.shape import Shape
from darklantern.watch import Reaction, Settings, watch

LM = FlaxByteLM(RECIPE.shape)
OPTIMIZER = optax.adamw(RECIPE.learning_rate)


class State(NamedTuple):
    params: Any
    moments: Any
    key: Any
    step: Any


class Marked(Batches):
    """From step 20 on, a tenth of the rows hold a mark."""

    def _rows(self):
        batch = super()._rows()
        if self._step >= 20:
            for i in np.flatnonzero(self._rng.random(len(batch)) < 0.1):
                batch[i, 10 : 10 + len(MARK)] = np.frombuffer(MARK, dtype=np.uint8)
        return batch


def updating(lm: FlaxByteLM):
    """One update, on inputs of which a twentieth is replaced at random, so that the key matters."""

    def update(state: State, batch) -> tuple[State, Any]:
        key, now = jax.random.split(state.key)
        tokens = jnp.asarray(batch, jnp.int32)
        given = jnp.where(jax.random.bernoulli(now, 0.05, tokens.shape), 32, tokens)

        def nats(params):
            return flax_bytelm.loss_nats(lm.apply({"params": params}, given[:, :-1]), tokens[:, 1:])

        loss, gradients = jax.value_and_grad(nats)(state.params)
        changes, moments = OPTIMIZER.update(gradients, state.moments, state.params)
        return State(optax.apply_updates(state.params, changes), moments, key, state.step + 1), loss

    return update


plain = jax.jit(updating(LM))
donating = jax.jit(updating(LM), donate_argnums=0)


def fresh(shape: Shape = RECIPE.shape) -> State:
    params = flax_bytelm.new(shape, 1)
    return State(params, OPTIMIZER.init(params), jax.random.key(2), 0)


def start(probe, on_alarm=lambda alarm: Reaction.LOG, references=REFERENCES, loader=None, state=None, **settings):
    loader = Marked(CORPUS, RECIPE, (1,)) if loader is None else loader
    w = watch(
        LM,
        state=(fresh() if state is None else state, loader),
        trusted=TRUSTED,
        signals=[probe],
        references=references,
        recipe="1" * 64,
        data="2" * 64,
        settings=Settings(**{"every": 5, "margin": 1, **settings}),
        on_alarm=on_alarm,
    )
    return w, loader


def run(w, loader, step=plain) -> list[tuple[int, np.ndarray, float]]:
    """Step, batch and loss of each update."""
    seen = []
    for batch in w.over(loader):
        now = w.step
        w.state, loss = step(w.state, batch)
        seen.append((now, np.array(batch), float(loss)))
    return seen


def bits(tree) -> list[tuple[Any, ...]]:
    """All that a later step could tell apart."""
    out = []
    for path, leaf in jax.tree.leaves_with_path(tree):
        about = (jax.tree_util.keystr(path), type(leaf).__name__, str(getattr(leaf, "dtype", "")))
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        out.append((*about, np.asarray(leaf).tobytes()))
    return out
