"""Ports in JAX against values made by hand: few heads, norms of other axes, blocks written in one piece."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import darklantern as dl

DIM = 8


def random(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def attention(weights: Any, x: jax.Array, heads: int, shared: int) -> tuple[jax.Array, jax.Array]:
    """What attention adds, and its z; `shared` are the heads of keys and values."""
    rows = (*x.shape[:2], -1, DIM // heads)
    q, k, v = ((x @ weights[name]).reshape(rows) for name in "qkv")
    q = q.reshape(*rows[:2], shared, heads // shared, DIM // heads)
    pattern = jax.nn.softmax(jnp.einsum("bqhgd,bkhd->bhgqk", q, k))
    z = jnp.einsum("bhgqk,bkhd->bqhgd", pattern, v).reshape(x.shape)
    return z @ weights["o"], z.reshape(rows)


def attention_weights(heads: int, shared: int) -> dict[str, jax.Array]:
    narrow = shared * DIM // heads
    return {
        "q": random(1, DIM, DIM),
        "k": random(2, DIM, narrow),
        "v": random(3, DIM, narrow),
        "o": random(4, DIM, DIM),
    }


@pytest.mark.parametrize(("examples", "positions"), [(2, 5), (1, 1)])
@pytest.mark.parametrize(("heads", "shared"), [(1, 1), (2, 2), (2, 1), (4, 2), (DIM, DIM), (DIM, 1)])
def test_each_heads_result_is_its_part_of_the_projection(
    examples: int, positions: int, heads: int, shared: int
) -> None:
    weights, x = attention_weights(heads, shared), random(0, examples, positions, DIM)
    model = dl.open(lambda w, x: x + attention(w, x, heads, shared)[0], weights=weights, example=x)
    _, z = attention(weights, x, heads, shared)
    by_head = jnp.einsum("bqhd,hde->bqhe", z, weights["o"].reshape(heads, DIM // heads, DIM))
    found = model.record(x, ":result")[":result"]
    assert found.axes == ("batch", "pos", "head", "dim")
    np.testing.assert_allclose(found.array, by_head, rtol=1e-4, atol=1e-4)
    without = model.run(x, {":result[head=-1]": dl.zero()})
    np.testing.assert_allclose(without, x + by_head[:, :, :-1].sum(2), rtol=1e-4, atol=1e-4)


MLP = {"up": random(5, DIM, 16), "down": random(6, 16, DIM)}
PLAIN = attention_weights(2, 2) | MLP


def mlp(weights: Any, x: jax.Array) -> jax.Array:
    return jax.nn.gelu(x @ weights["up"]) @ weights["down"]


def in_one_piece(weights: Any, x: jax.Array) -> jax.Array:
    x = x + attention(weights, x, 2, 2)[0]
    return x + mlp(weights, x)


def head_by_head(weights: Any, x: jax.Array) -> jax.Array:
    """The same, with attention as a sum over heads that has names of its own."""
    rows = (*x.shape[:2], 2, DIM // 2)
    q, k, v = ((x @ weights[name]).reshape(rows) for name in "qkv")
    added = []
    for head, out in enumerate(weights["o"].reshape(2, DIM // 2, DIM)):
        pattern = jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", q[:, :, head], k[:, :, head]))
        added.append(jnp.einsum("bqk,bkd->bqd", pattern, v[:, :, head]) @ out)
    x = x + (added[0] + added[1])
    return x + mlp(weights, x)


def in_parts(weights: Any, x: jax.Array) -> jax.Array:
    with dl.part("attn"):
        added = dl.tag("out", attention(weights, dl.tag("in", x), 2, 2)[0])
    x = x + added
    with dl.part("mlp"):
        added = dl.tag("out", mlp(weights, dl.tag("in", x)))
    return x + added


def looking_twice(weights: Any, x: jax.Array) -> jax.Array:
    """Attention again before the MLP, as in a decoder that also looks at an encoder."""
    x = x + attention(weights, x, 2, 2)[0]
    return in_one_piece(weights, x)


def scanned(weights: Any, x: jax.Array) -> jax.Array:
    def body(x: jax.Array, weights: Any) -> tuple[jax.Array, None]:
        with dl.part("block"):
            return dl.tag("out", in_one_piece(weights, dl.tag("in", x))), None

    return jax.lax.scan(body, x, jax.tree.map(lambda each: jnp.stack([each] * 3), weights))[0]


@pytest.mark.parametrize("block", [in_one_piece, head_by_head, in_parts, looking_twice])
def test_the_stream_between_attention_and_mlp_is_there_however_a_block_is_written(block: Any) -> None:
    x = random(0, 2, 5, DIM)
    model = dl.open(block, weights=PLAIN, example=x)
    mid = x + attention(PLAIN, x, 2, 2)[0]
    if block is looking_twice:
        mid = mid + attention(PLAIN, mid, 2, 2)[0]
    found = model.record(x, ":resid_mid")[":resid_mid"]
    assert found.axes == ("batch", "pos", "dim")
    np.testing.assert_allclose(found.array, mid, rtol=1e-4, atol=1e-4)
    halved = model.run(x, {":resid_mid": dl.scale(0.5)})
    np.testing.assert_allclose(halved, mid / 2 + mlp(PLAIN, mid / 2), rtol=1e-4, atol=1e-3)


def test_each_layer_of_a_scan_has_its_stream_between_attention_and_mlp() -> None:
    x = random(0, 2, 5, DIM) / 100
    weights = jax.tree.map(lambda each: each / 10, PLAIN)
    model = dl.open(lambda weights, x: scanned(weights, x), weights=weights, example=x)
    (path,) = {str(site).partition(".")[0] for site in model.sites("**:resid_mid")}
    found = model.record(x, f"{path}.*:{{in,resid_mid}}")
    for layer in range(3):
        before, mid = (found[f"{path}.{layer}:{port}"].array for port in ("in", "resid_mid"))
        np.testing.assert_allclose(mid, before + attention(weights, before, 2, 2)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "block",
    [
        lambda weights, x: x + attention(weights, x, 2, 2)[0] + mlp(weights, x),  # one beside the other
        lambda weights, x: x + attention(weights, x, 2, 2)[0],
        lambda weights, x: x + mlp(weights, attention(weights, x, 2, 2)[0]),
        lambda weights, x: attention(weights, x + mlp(weights, x), 2, 2)[0],
    ],
)
def test_a_block_that_does_not_add_one_after_the_other_has_none(block: Any) -> None:
    x = random(0, 2, 5, DIM)
    ports = {str(site) for site in dl.open(block, weights=PLAIN, example=x).sites("**:*")}
    assert ":z" in ports and ":resid_mid" not in ports


def with_a_sink(weights: Any, x: jax.Array, zeroed: bool = False) -> tuple[jax.Array, jax.Array]:
    """Scores stand beside one of the weights, to which a query may look instead of any key; and the pattern."""
    q, k, v = (jnp.reshape(x @ weights[name], (*x.shape[:2], 2, DIM // 2)) for name in "qkv")
    scores = jnp.where(jnp.tri(x.shape[1], dtype=bool), jnp.einsum("bqhd,bkhd->bhqk", q, k), -1e9)
    sink = jnp.broadcast_to(weights["sink"][None, :, None, None], (*scores.shape[:3], 1))
    pattern = jax.nn.softmax(jnp.concatenate([scores, sink], -1))[..., :-1]
    pattern = pattern.at[:, 1].set(0) if zeroed else pattern
    return jnp.einsum("bhqk,bkhd->bqhd", pattern, v).reshape(x.shape) @ weights["o"], pattern


def test_an_attention_with_a_sink_has_a_pattern_that_sums_to_less_than_one_and_no_activation() -> None:
    weights, x = attention_weights(2, 2) | {"sink": random(5, 2)}, random(0, 3, 5, DIM)
    model = dl.open(lambda weights, x: with_a_sink(weights, x)[0], weights=weights, example=x)
    assert {site.port for site in model.sites()} == {
        "in", "out", "q", "k", "v", "scores", "pattern", "z", "result",
    }  # fmt: skip
    found = model.record(x, ":pattern", ":scores")
    assert found[":pattern"].axes == ("batch", "head", "pos", "key")
    assert found[":scores"].shape == (3, 2, 5, 5)
    np.testing.assert_allclose(found[":pattern"].array, with_a_sink(weights, x)[1], rtol=1e-5, atol=1e-6)
    assert found[":pattern"].array.sum(-1).min() < 0.5
    changed = model.run(x, {":pattern[head=1]": dl.zero()})
    np.testing.assert_allclose(changed, with_a_sink(weights, x, zeroed=True)[0], rtol=1e-4, atol=1e-5)


def test_heads_that_all_share_one_key_are_heads() -> None:
    def shared(weights: Any, x: jax.Array, kept: Any = None) -> jax.Array:
        q = (x @ weights["q"]).reshape(*x.shape[:2], 4, DIM // 4)
        k, v = x @ weights["k"], x @ weights["v"]
        z = jnp.einsum("bhqk,bkd->bqhd", jax.nn.softmax(jnp.einsum("bqhd,bkd->bhqk", q, k)), v)
        z = z if kept is None else z * kept
        return z.reshape(x.shape) @ weights["o"]

    weights, x = attention_weights(4, 1), random(0, 3, 5, DIM)
    model = dl.open(lambda weights, x: shared(weights, x), weights=weights, example=x)
    axes = {port: model.record(x, f":{port}")[f":{port}"].axes for port in ("q", "k", "pattern", "z", "result")}
    assert axes["q"] == axes["z"] == ("batch", "pos", "head", "dim")
    assert axes["k"] == ("batch", "pos", "dim")
    assert axes["pattern"] == ("batch", "head", "pos", "key")
    assert axes["result"] == ("batch", "pos", "head", "dim")
    kept = jnp.ones((4, 1)).at[2].set(0)
    changed = model.run(x, {":z[head=2]": dl.zero()})
    np.testing.assert_allclose(changed, shared(weights, x, kept), rtol=1e-4, atol=1e-4)


def test_a_softmax_that_is_no_attention_is_no_activation_either() -> None:
    def routed(weights: jax.Array, x: jax.Array) -> jax.Array:
        with dl.part("router"):
            gates = dl.tag("gates", jax.nn.softmax(x @ weights))
        with dl.part("mlp"):
            return gates * jax.nn.relu(x @ weights)

    sites = {str(site) for site in dl.open(routed, weights=random(1, DIM, DIM), example=random(0, 3, 5, DIM)).sites()}
    assert {site for site in sites if site.startswith("router")} == {"router:gates"}
    assert "mlp:pre" in sites


def test_layers_within_layers_keep_their_numbers() -> None:
    def model(weights: jax.Array, x: jax.Array) -> jax.Array:
        def layer(x: jax.Array, w: jax.Array) -> tuple[jax.Array, None]:
            with dl.part("layer"):
                return dl.tag("out", jax.nn.gelu(x @ w)), None

        def group(x: jax.Array, w: jax.Array) -> tuple[jax.Array, None]:
            with dl.part("groups"):
                return jax.lax.scan(layer, x, w)[0], None

        return jax.lax.scan(group, x, weights)[0]

    opened = dl.open(model, weights=random(1, 2, 3, DIM, DIM), example=random(0, 2, 5, DIM))
    paths = {str(site).partition(":")[0] for site in opened.sites("**:out")} - {""}
    assert len(paths) == 6 and all(path.split(".")[-1].isdigit() for path in paths), paths
