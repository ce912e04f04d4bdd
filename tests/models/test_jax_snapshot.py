"""A restored JAX training state goes on bit for bit as if nothing had happened."""

import random
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from darklantern.errors import SnapshotError
from darklantern.models.on_jax import snapshot


class State(NamedTuple):
    params: dict[str, Any]
    moments: Any
    key: Any
    step: Any


class Loader:
    """Rows from a seed."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __next__(self):
        return self.rng.normal(size=(8, 4)).astype(np.float32)

    def state(self):
        return self.rng.bit_generator.state

    def restore(self, state):
        self.rng.bit_generator.state = state


OPTIMIZER = optax.adamw(0.01)


def start() -> State:
    params = {"w": jax.random.normal(jax.random.key(1), (4, 3)), "half": jnp.ones(3, jnp.bfloat16)}
    return State(params, OPTIMIZER.init(params), jax.random.key(7, impl="rbg"), 0)


def update(state: State, batch):
    key, now = jax.random.split(state.key)

    def loss(params):
        dropped = jax.random.bernoulli(now, 0.8, batch.shape) * batch
        return ((dropped @ params["w"]) ** 2 * params["half"]).mean()

    value, gradients = jax.value_and_grad(loss)(state.params)
    changes, moments = OPTIMIZER.update(gradients, state.moments, state.params)
    return State(optax.apply_updates(state.params, changes), moments, key, state.step + 1), value


STEPS = {
    "plain": jax.jit(update),
    "donating": jax.jit(update, donate_argnums=0),
}


def train(step, state, loader, steps: int):
    losses = []
    for _ in range(steps):
        state, loss = step(state, next(loader))
        losses.append((float(loss), random.gauss(0, 1), np.random.standard_normal()))
    return state, losses


def bits(tree) -> list[tuple[Any, ...]]:
    """All that a later step could tell apart."""
    out = []
    for path, leaf in jax.tree.leaves_with_path(tree):
        about = [jax.tree_util.keystr(path), type(leaf).__name__]
        if isinstance(leaf, jax.Array):
            about += [str(leaf.dtype), getattr(leaf, "weak_type", None), leaf.sharding]
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
        out.append((*about, np.asarray(leaf).tobytes()))
    return out


@pytest.mark.parametrize("how", STEPS)
@pytest.mark.parametrize("at", [0, 5])
def test_training_on_from_a_restored_state_is_bit_exact_each_time(how: str, at: int) -> None:
    loader = Loader()
    state, _ = train(STEPS[how], start(), loader, at)
    held = snapshot.capture(at, state, loader)
    before = bits(held.state)
    ended, straight = train(STEPS[how], state, loader, 6)
    for _ in range(2):  # once more from the same snapshot, whose first copy was trained on, or donated
        again = snapshot.restore(held, loader)
        assert bits(again) == before
        ended_again, losses = train(STEPS[how], again, loader, 6)
        assert losses == straight
        assert bits(ended_again) == bits(ended)
    assert bits(held.state) == before


def test_nothing_is_compiled_anew_for_a_restored_state() -> None:
    step, loader = jax.jit(update), Loader()
    state, _ = train(step, start(), loader, 3)
    held = snapshot.capture(3, state, loader)
    compiled = step._cache_size()
    train(step, snapshot.restore(held, loader), loader, 3)
    assert step._cache_size() == compiled


def test_numpy_arrays_are_copied_and_numbers_texts_and_functions_kept() -> None:
    state = {
        "table": np.arange(3.0),
        "rate": 0.1,
        "name": "a",
        "last": np.float32(2),
        "model": eqx.nn.MLP(2, 2, 4, 1, key=jax.random.key(0)),
    }
    held = snapshot.capture(0, state, Loader())
    state["table"][0] = 9
    again = snapshot.restore(held, Loader())
    assert again["table"].tolist() == [0, 1, 2]
    assert again["table"] is not held.state["table"]
    assert again["model"].activation is state["model"].activation
    assert jax.tree.structure(again) == jax.tree.structure(state)


def test_what_was_donated_is_refused_and_named() -> None:
    state = {"params": {"w": jnp.ones(3)}}
    jax.jit(lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnums=0)(state)
    with pytest.raises(SnapshotError, match=r"state\['params'\]\['w'\] was deleted") as refused:
        snapshot.capture(0, state, Loader())
    assert "the step returned" in refused.value.hint


def test_what_could_change_unseen_and_what_is_traced_is_refused() -> None:
    with pytest.raises(SnapshotError, match=r"got Loader at state\['loader'\]"):
        snapshot.capture(0, {"loader": Loader()}, Loader())
    with pytest.raises(SnapshotError, match=r"state\['x'\] is traced"):
        jax.jit(lambda x: snapshot.capture(0, {"x": x}, Loader()))(1.0)


DAMAGE = {
    "no random streams": {"cursor": Loader().state()},
    "no cursor": {"random": None},
    "no NumPy stream": {"random": {"python": random.getstate(), "torch": None}, "cursor": Loader().state()},
    "a cursor of another loader": {"cursor": {"position": 3}},
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_does_not_fit_is_refused_and_nothing_changes(what: str) -> None:
    loader = Loader()
    held = snapshot.capture(0, start(), loader)
    rest = {**held.rest, **DAMAGE[what]} if what == "a cursor of another loader" else DAMAGE[what]
    next(loader), random.random(), np.random.random()
    before = snapshot.capture(0, start(), loader)
    with pytest.raises(SnapshotError) as refused:
        snapshot.restore(replace(held, rest=rest), loader)
    assert refused.value.hint
    assert snapshot.capture(0, start(), loader).rest == before.rest


def test_a_cursor_that_json_cannot_hold_is_refused_when_it_is_taken() -> None:
    loader = Loader()
    loader.state = lambda: {"order": {1, 2}}
    with pytest.raises(SnapshotError, match="does not fit into JSON"):
        snapshot.capture(0, start(), loader)
