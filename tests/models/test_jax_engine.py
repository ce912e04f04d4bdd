"""The JAX engine beyond the conformance suite: what is silent elsewhere, what compiles when, partial runs."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from twins.traps import TRAPS, Trap, opaque
from twins.traps.trap import matrix

import darklantern as dl
from darklantern.errors import SiteError

every_trap = pytest.mark.parametrize("make", TRAPS, ids=lambda make: make.__name__)
LAYERS, DIM = 5, 6
X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, DIM)), jnp.float32)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, _: None = None) -> tuple[jax.Array, None]:
        h = nn.Dense(3 * DIM, name="up")(nn.LayerNorm(name="norm1")(x))
        return x + nn.Dense(DIM, name="down")(nn.gelu(h)), None


class Scanned(nn.Module):
    layers: int = LAYERS

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        blocks = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=self.layers)
        return nn.Dense(3, name="head")(blocks(name="blocks")(x, None)[0])


class Unrolled(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for number in range(LAYERS):
            x, _ = Block(name=f"block_{number}")(x)
        return nn.Dense(3, name="head")(x)


def opened(module: nn.Module, **how: Any) -> Any:
    return dl.open(module, weights=module.init(jax.random.key(0), X), example=X, **how)


@pytest.fixture(scope="module", params=[Scanned, Unrolled])
def model(request: pytest.FixtureRequest) -> Any:
    return opened(request.param())


def weights_of(model: Any, number: int) -> Any:
    """One block's weights, whichever way they are held."""
    params = model.weights["params"]
    if "blocks" in params:
        return jax.tree.map(lambda stacked: stacked[number], params["blocks"])
    return params[f"block_{number}"]


def by_hand(model: Any, x: jax.Array, first: int = 0) -> list[jax.Array]:
    """The stream into each block and out of the last, block by block."""
    found = [x]
    for number in range(first, LAYERS):
        found.append(Block().apply({"params": weights_of(model, number)}, found[-1])[0])
    return found


@pytest.fixture
def compilations(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], int]]:
    """How many functions XLA has compiled since."""
    before = jax.config.jax_log_compiles
    jax.config.update("jax_log_compiles", True)
    caplog.set_level(logging.WARNING)
    yield lambda: sum("Finished XLA compilation of jit(function)" in each.message for each in caplog.records)
    jax.config.update("jax_log_compiles", before)


# traps


@every_trap
def test_what_is_inside_a_trap_is_seen_or_refused(make: Callable[[], Trap]) -> None:
    trap = make()
    module, weights, call = trap.built
    model = dl.open(module, weights=weights, call=call, example=trap.inputs)
    for site, value in trap.inside.items():
        np.testing.assert_allclose(np.asarray(model.record(trap.inputs, site)[site].array), value, atol=1e-5)
    for site in trap.absent:
        with pytest.raises(SiteError, match="never reached"):
            model.record(trap.inputs, site)
        with pytest.raises(SiteError, match="never reached"):
            model.run(trap.inputs, {site: dl.zero()})


def test_a_function_with_a_gradient_of_its_own_is_not_differentiated_otherwise() -> None:
    trap = opaque.own_gradient()
    function, weights, _ = trap.built
    (site,) = trap.inside
    model = dl.open(function, weights=weights, example=trap.inputs)
    assert model.record(trap.inputs, site)[site].shape == trap.inside[site].shape
    with pytest.raises(SiteError, match="derivative of its own"):
        model.gradient(trap.inputs, jnp.sum, site)
    with pytest.raises(SiteError, match="derivative of its own"):
        jax.grad(lambda x: model.run(x, {site: dl.scale(2.0)}).sum())(trap.inputs)
    own = jax.grad(lambda x: function(weights, x).sum())(trap.inputs)
    np.testing.assert_allclose(jax.grad(lambda x: model.run(x).sum())(trap.inputs), own)
    inlined = dl.open(function, weights=weights, custom="inline").gradient(trap.inputs, jnp.sum, site)
    assert not np.asarray(inlined.gradients[site].array).any()  # that of rounding itself


def test_a_relu_keeps_its_gradient_under_recording_and_edits() -> None:
    model = dl.open(lambda w, x: jax.nn.relu(x @ w) @ w.T, weights=matrix(1), example=matrix(2))
    assert {":pre", ":post"} <= set(map(str, model.sites("**:*")))
    bare = jax.grad(lambda x: (jax.nn.relu(x @ matrix(1)) @ matrix(1).T).sum())(matrix(2))
    kept = jax.grad(lambda x: model.record(x, ":pre", ":post").output.sum())(matrix(2))
    np.testing.assert_allclose(kept, bare, rtol=1e-6)


def test_no_site_is_asked_for_before_there_is_a_trace() -> None:
    module = Unrolled()
    model = dl.open(module, weights=module.init(jax.random.key(0), X))
    with pytest.raises(SiteError, match="was traced"):
        model.sites()
    model.run(X)
    assert model.sites("layers.*:out")


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        ("layers.9:out", "there are layers.0 … layers.4"),
        ("layers.1.mlp:z", "no site"),
        ("layers.1:ouut", "did you mean"),
        ("layers.1:out[head=1]", "axes"),
        ("layers.1:out[pos=9]", "outside"),
        ("layers.1:out#3", "got"),
    ],
)
def test_a_site_that_is_not_there_is_an_error_that_says_what_is(model: Any, ask: str, match: str) -> None:
    with pytest.raises(SiteError) as error:
        model.record(X, ask)
    assert match in f"{error.value} {error.value.hint}"


def test_torch_tensors_and_wrong_weights_are_refused(model: Any) -> None:
    import torch

    with pytest.raises(SiteError, match="torch"):
        model.run(torch.ones(2, 4, DIM))
    with pytest.raises(SiteError, match="weights for a linen module"):
        dl.open(Unrolled())
    with pytest.raises(SiteError, match=r"other shapes|a tree of arrays"):
        model.with_weights({"params": {}})


# exactness


def test_looking_leaves_the_output_as_it_was(model: Any) -> None:
    bare = jax.jit(model.module.apply)(model.weights, X)
    np.testing.assert_allclose(model.record(X, "**:*").output, bare, atol=1e-5)
    np.testing.assert_array_equal(model.run(X), bare)


def test_the_stream_is_that_of_blocks_applied_by_hand(model: Any) -> None:
    stream = by_hand(model, X)
    recording = model.record(X, "layers.*:out", "layers.3:in")
    for number in range(LAYERS):
        np.testing.assert_allclose(recording[f"layers.{number}:out"].array, stream[number + 1], atol=1e-5)
    np.testing.assert_allclose(recording["layers.3:in"].array, stream[3], atol=1e-5)


def test_ablating_is_zeroing_the_weights_that_make_it(model: Any) -> None:
    params = model.weights["params"]
    cut = jax.tree.map(jnp.copy, params)
    if "blocks" in cut:
        cut["blocks"]["down"] = jax.tree.map(lambda each: each.at[2].set(0), cut["blocks"]["down"])
    else:
        cut["block_2"]["down"] = jax.tree.map(jnp.zeros_like, cut["block_2"]["down"])
    truth = model.module.apply({"params": cut}, X)
    np.testing.assert_allclose(model.run(X, {"layers.2.down:out": dl.zero()}), truth, atol=1e-6)
    np.testing.assert_allclose(model.with_weights({"params": cut}).run(X), truth, atol=1e-6)


def test_gradients_are_central_differences(model: Any) -> None:
    def metric(output: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(output))

    sites = ("layers.1:out", "layers.3.up:out", "layers.*.norm1:scale")
    found = model.gradient(X, metric, *sites)
    generator = np.random.default_rng(3)
    for site in found.gradients.sites:
        value, gradient = found.values[site], np.asarray(found.gradients[site].array)
        step = jnp.asarray(1e-2 * generator.normal(size=value.shape), jnp.float32)
        up, down = (float(metric(model.run(X, {site: dl.add(sign * step)}))) for sign in (1, -1))
        assert (up - down) / 2 == pytest.approx(float((gradient * step).sum()), rel=2e-2, abs=2e-4), site


def test_forward_and_backward_products_agree(model: Any) -> None:
    u, v = (jnp.asarray(np.random.default_rng(n).normal(size=X.shape), jnp.float32) for n in (5, 6))
    forward = model.jvp(X, {"layers.1:out": u}, "layers.3:out")["layers.3:out"].array
    backward = model.vjp(X, {"layers.3:out": v}, "layers.1:out").gradients["layers.1:out"].array
    assert float((forward * v).sum()) == pytest.approx(float((u * backward).sum()), rel=1e-4)


def test_runs_work_within_jit_vmap_and_grad(model: Any) -> None:
    steered = jax.vmap(lambda vector: model.run(X, {"layers.1:out": dl.add(vector)}))(jnp.eye(DIM))
    one = model.run(X, {"layers.1:out": dl.add(jnp.eye(DIM)[2])})
    np.testing.assert_allclose(steered[2], one, atol=1e-5)
    jitted = jax.jit(lambda x: model.record(x, "layers.2:out")["layers.2:out"].array)(X)
    np.testing.assert_allclose(jitted, model.record(X, "layers.2:out")["layers.2:out"].array, atol=1e-6)


def test_selections_read_and_write_what_they_name(model: Any) -> None:
    whole = np.asarray(model.record(X, "layers.2:out")["layers.2:out"].array)
    for text, index in (
        ("[pos=1]", np.s_[:, 1]),
        ("[pos=-1,dim=2]", np.s_[:, -1, 2]),
        ("[pos=1:3]", np.s_[:, 1:3]),
        ("[dim={4,1}]", np.s_[:, :, [4, 1]]),
        ("[batch=1]", np.s_[1]),
        ("[pos=(3,1)]", ([0, 1], [3, 1])),
    ):
        part = model.record(X, f"layers.2:out{text}")[f"layers.2:out{text}"]
        np.testing.assert_allclose(part.array, whole[index], atol=1e-6, err_msg=text)
        made = model.record(X, "layers.2:out", edits={f"layers.2:out{text}": dl.put(7.0)})["layers.2:out"].array
        truth = whole.copy()
        truth[index] = 7.0
        np.testing.assert_allclose(made, truth, atol=1e-6, err_msg=text)


def test_edits_at_one_site_go_in_their_order(model: Any) -> None:
    site = "layers.2:out"
    one = model.record(X, site, edits={site: [dl.scale(2.0), dl.add(jnp.ones(DIM))]})[site].array
    other = model.record(X, site, edits={site: [dl.add(jnp.ones(DIM)), dl.scale(2.0)]})[site].array
    plain = model.record(X, site)[site].array
    np.testing.assert_allclose(one, 2 * plain + 1, atol=1e-5)
    np.testing.assert_allclose(other, 2 * (plain + 1), atol=1e-5)


# what compiles


def test_one_compilation_serves_all_layers_directions_and_positions(compilations: Callable[[], int]) -> None:
    model = opened(Scanned())
    for layer in range(LAYERS):
        for pos in range(3):
            vector = jnp.full(DIM, float(pos))
            model.record(X, f"layers.{layer}:out[pos={pos}]", edits={f"layers.{layer}.up:out[pos={pos}]": dl.zero()})
            model.run(X, {f"layers.{layer}:out": dl.add(vector)})
    assert compilations() == 2


def test_other_weights_compile_nothing(compilations: Callable[[], int]) -> None:
    model = opened(Scanned())
    for step in range(3):
        moved = jax.tree.map(lambda each, step=step: each + 0.1 * step, model.weights)
        model.with_weights(moved).record(X, "layers.1:out")
    assert compilations() == 1


def test_a_few_of_many_layers_cost_a_few_layers_memory() -> None:
    module = Scanned(layers=64)
    x = jnp.ones((8, 64, DIM))
    model = dl.open(module, weights=module.init(jax.random.key(0), x), example=x)

    def temporary(*sites: str) -> int:
        def recorded(weights: Any, x: jax.Array) -> list[jax.Array]:
            return [value.array for value in model.with_weights(weights).record(x, *sites).values()]

        return jax.jit(recorded).lower(model.weights, x).compile().memory_analysis().temp_size_in_bytes

    assert temporary("layers.3:out", "layers.40:out") < 0.2 * temporary("layers.*:out")


# partial runs


def test_a_stopped_run_computes_what_is_recorded_and_no_more(model: Any) -> None:
    stopped = model.record(X, "layers.1:out", stop=True)
    assert stopped.output is None
    np.testing.assert_allclose(stopped["layers.1:out"].array, by_hand(model, X)[2], atol=1e-5)
    part, full = model.executed(X, "layers.1:out", stop=True), model.executed(X)
    blocks = 2 * 2 * X.shape[0] * X.shape[1] * DIM * 3 * DIM
    assert full.flops == full.flops_full == LAYERS * blocks + 2 * X.shape[0] * X.shape[1] * DIM * 3
    assert part.flops == 2 * blocks
    assert full.parameter_fraction == 1.0
    own = sum(leaf.size for leaf in jax.tree.leaves(weights_of(model, 0)))
    assert part.parameters_read == 2 * own


def test_an_edit_behind_the_stop_is_refused(model: Any) -> None:
    for site in ("layers.2:out", "layers.4:in", "head:out"):
        with pytest.raises(SiteError, match="stops once"):
            model.record(X, "layers.1:out", edits={site: dl.zero()}, stop=True)
    assert not model.record(X, "layers.1:out", edits={"layers.1:out": dl.zero()}, stop=True)["layers.1:out"].array.any()


def test_a_run_from_a_start_is_the_rest_of_the_run(model: Any) -> None:
    start = model.start(X, "layers.3")
    np.testing.assert_allclose(model.run(start), model.run(X), atol=1e-5)
    np.testing.assert_allclose(
        model.record(start, "layers.4:out")["layers.4:out"].array, by_hand(model, X)[5], atol=1e-5
    )
    assert model.executed(start).flops < 0.5 * model.executed(X).flops
    patched = model.run(start, {"layers.3:in": dl.zero()})
    np.testing.assert_allclose(patched, model.run(X, {"layers.3:in": dl.zero()}), atol=1e-5)
    with pytest.raises(SiteError, match=r"starts at layers\.3"):
        model.record(start, "layers.2:out")
    with pytest.raises(SiteError, match=r"comes before layers\.3"):
        model.run(start, {"layers.0:out": dl.zero()})
    with pytest.raises(SiteError, match="expected a block"):
        model.start(X, "head")


def test_an_edited_model_has_its_edits_in_starts_and_plans(model: Any) -> None:
    edited = model.edited({"layers.1:out": dl.scale(0.5), "layers.3:in": dl.scale(0.5), "layers.4:in": dl.scale(0.5)})
    np.testing.assert_allclose(edited.run(edited.start(X, "layers.3")), edited.run(X), atol=1e-5)
    assert "scale" in str(edited.plan("layers.2:out"))


# values at rest, pictures, trees


def test_recordings_go_to_folders_and_come_back(model: Any, tmp_path: Path) -> None:
    model.record(X, "layers.*:out", to=tmp_path / "all")
    found = dl.load_recording(tmp_path / "all")
    np.testing.assert_array_equal(found["layers.2:out"].array, model.record(X, "layers.*:out")["layers.2:out"].array)
    means = model.record(X, "layers.*:out", reduce=lambda value: value.mean("pos"))
    assert means["layers.2:out"].axes == ("batch", "dim")
    with pytest.raises(SiteError):
        model.record(X, "layers.9:out", to=tmp_path / "none")
    assert not (tmp_path / "none").exists() or not list((tmp_path / "none").iterdir())


def test_a_stream_of_batches_is_recorded_one_by_one(model: Any, tmp_path: Path) -> None:
    for recording in model.stream([X, X + 1], "layers.1:out", to=tmp_path):
        assert recording["layers.1:out"].shape == X.shape
    assert sorted(each.name for each in tmp_path.iterdir()) == ["000000", "000001"]


def test_a_tree_shows_classes_ports_weights_and_shapes(model: Any) -> None:
    shown = str(model.tree())
    assert "5 × Block" in shown
    assert "pre slope post neurons" in " ".join(shown.split())
    own = sum(leaf.size for leaf in jax.tree.leaves(weights_of(model, 0)))
    assert f"{own} each" in shown


# other frameworks' ways


def test_an_nnx_module_is_seen_as_it_is_now() -> None:
    class Small(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.inner = nnx.Linear(DIM, DIM, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.drop(self.inner(x))

    module = Small(nnx.Rngs(0))
    module.eval()
    model = dl.open(module, example=X)
    np.testing.assert_allclose(model.run(X), module(X), atol=1e-6)
    module.inner.kernel[...] = module.inner.kernel[...] * 2
    np.testing.assert_allclose(model.run(X), module(X), atol=1e-6)
    state = jax.tree.map(np.asarray, jax.tree.leaves(nnx.state(module, nnx.Param)))
    module.train()
    dropped = model.record(X, "inner:out").output
    assert (np.asarray(dropped) == 0).any()
    for before, after in zip(state, jax.tree.leaves(nnx.state(module, nnx.Param)), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_function_of_an_equinox_module_has_its_parts() -> None:
    mlp = eqx.nn.MLP(DIM, 3, 8, 1, key=jax.random.key(0))
    model = dl.open(lambda mlp, x: jax.vmap(jax.vmap(mlp))(x).sum(-1), weights=mlp, example=X)
    recording = model.record(X, "layers.0:out")
    truth = jax.vmap(jax.vmap(mlp.layers[0]))(X)
    np.testing.assert_allclose(recording["layers.0:out"].array, truth, atol=1e-6)


def test_a_module_with_one_method_opened_and_another_called_by_name() -> None:
    class Two(nn.Module):
        def setup(self) -> None:
            self.up, self.down = nn.Dense(8), nn.Dense(DIM)

        def encode(self, x: jax.Array) -> jax.Array:
            return self.up(x)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.down(self.encode(x))

    module = Two()
    weights = module.init(jax.random.key(0), X)
    assert dl.open(module, weights=weights, call="encode").run(X).shape == (2, 4, 8)
    assert dl.open(module, weights=weights, example=X).record(X, "encode:out", "up:out")["encode:out"].shape == (
        2,
        4,
        8,
    )


def test_tags_name_values_of_ones_own_code() -> None:
    def body(x: jax.Array, w: jax.Array) -> tuple[jax.Array, None]:
        x = dl.tag("block:mid", jnp.sin(x @ w))
        return x, None

    def function(weights: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
        with dl.part("scaling"):
            x = dl.tag("twice", {"a": 2 * x, "b": x})["a"]
        return {"logits": jax.lax.scan(body, x, weights)[0]}

    weights = 0.5 * jnp.asarray(np.random.default_rng(1).normal(size=(3, DIM, DIM)), jnp.float32)
    model = dl.open(function, weights=weights, example=X)
    assert list(map(str, model.sites("**:mid"))) == ["layers.0:mid", "layers.1:mid", "layers.2:mid"]
    recording = model.record(X, "/block.1:mid", "scaling:twice.a", ":out")
    first = jnp.sin(2 * X @ weights[0])
    np.testing.assert_allclose(recording["layers.1:mid"].array, jnp.sin(first @ weights[1]), atol=1e-5)
    np.testing.assert_allclose(recording["scaling:twice.a"].array, 2 * X, atol=1e-6)
    assert function(weights, X)["logits"].shape == X.shape
