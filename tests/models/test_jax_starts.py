"""Starts in scans: at each block, whichever way they run and whatever they are wrapped in, the rest of the run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import darklantern as dl
from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import parse
from darklantern.models.on_jax import running
from darklantern.models.on_jax.opened import Model

pytestmark = pytest.mark.slow  # JAX compiles each plan
LAYERS = 4
BLOCKS = [f"layers.{number}" for number in range(LAYERS)]
X = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 4)), jnp.float32)


def opened(reverse: bool = False, rows: bool = True, wrapped: str = "") -> Model:
    """Layers that read the position before; with `rows`, a scan over them returns something of each besides."""
    rng = np.random.default_rng(0)
    weights = {"w": jnp.asarray(rng.normal(size=(LAYERS, 4, 4)) * 0.3, jnp.float32), "u": jnp.eye(4)[:, :3]}

    def model(weights: Any, x: Any) -> Any:
        def body(x: Any, w: Any) -> Any:
            with dl.part("layers.*"):
                x = dl.tag("in", x)
                x = dl.tag("out", x + jnp.tanh(jnp.roll(x, 1, 1) @ w))
            return x, x.mean(-1) if rows else None

        def run(x: Any) -> Any:
            return jax.lax.scan(jax.checkpoint(body) if wrapped == "remat" else body, x, weights["w"], reverse=reverse)

        def loop(x: Any) -> Any:
            for number, w in enumerate(weights["w"]):
                with dl.part(f"layers.{number}"):
                    x = dl.tag("in", x)
                    x = dl.tag("out", x + jnp.tanh(jnp.roll(x, 1, 1) @ w))
            return x, None

        x, returned = {"": run, "remat": jax.checkpoint(run), "jit": jax.jit(run), "loop": loop}[wrapped](x)
        return x @ weights["u"], returned

    return models.open(model, weights=weights, example=X)


def close(one: Any, other: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), one, other)


KINDS = [
    {}, {"reverse": True}, {"wrapped": "remat"}, {"wrapped": "jit"}, {"wrapped": "loop"},
    {"rows": False, "reverse": True, "wrapped": "jit"},
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_from_every_block_the_rest_of_the_run_follows(kind: dict[str, Any]) -> None:
    model = opened(**kind)
    full = model.run(X)
    for block, start in zip(BLOCKS, model.starts(X, *BLOCKS), strict=True):
        assert not isinstance(start, SiteError)
        close(start.output, full)
        close(model.run(start), full)
        site, change = f"{block}:out", {f"{block}:in[pos=1]": dl.zero()}
        close(model.run(start, change), model.run(X, change))
        close(model.record(start, site, stop=True)[site].array, model.record(X, site)[site].array)
        one, other = (model.gradient(given, lambda output: output[0].sum(), site) for given in (start, X))
        close(one.gradients[site].array, other.gradients[site].array)


def test_before_and_behind_a_block_go_the_way_in_which_the_scan_runs() -> None:
    for reverse, before, behind in ((False, 0, 3), (True, 3, 0)):
        model = opened(reverse)
        start = model.start(X, "layers.2")
        model.record(start, f"layers.{behind}:out")
        with pytest.raises(SiteError, match=r"starts at layers\.2"):
            model.record(start, f"layers.{before}:out")
        with pytest.raises(SiteError, match=r"comes before layers\.2"):
            model.run(start, {f"layers.{before}:out": dl.zero()})
        with pytest.raises(SiteError, match=r"starts at layers\.2"):
            model.gradient(start, lambda output: output[0].sum(), f"layers.{before}:out")
        with pytest.raises(SiteError, match=r"starts at layers\.2"):
            model.jvp(start, {f"layers.{before}:out": X}, f"layers.{behind}:out")


def test_a_start_holds_the_edits_that_it_was_taken_under_and_wants_them_again() -> None:
    model = opened()
    edited = model.edited({"layers.1:out": dl.scale(0.5)})
    start = edited.start(X, "layers.3")
    close(edited.run(start), edited.run(X))
    with pytest.raises(SiteError, match="was taken under the edit scale"):
        model.run(start)
    with pytest.raises(SiteError, match="comes before"):
        edited.run(model.start(X, "layers.3"))


def test_a_start_of_another_model_or_of_other_weights_is_refused() -> None:
    model = opened()
    start = model.start(X, "layers.1")
    for other in (opened(), model.with_weights(jax.tree.map(lambda leaf: 2 * leaf, model.weights))):
        with pytest.raises(SiteError, match="taken from another model, or of other weights"):
            other.run(start)
    close(model.with_weights(model.weights).run(start), model.run(X))


def test_starts_at_all_blocks_share_one_run_and_runs_from_them_one_compiled_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traced, core = [], running.core

    def counted(*given: Any) -> Callable[..., Any]:
        function = core(*given)
        return lambda *arrays: (traced.append(1), function(*arrays))[1]

    monkeypatch.setattr(running, "core", counted)
    model = opened()
    starts = model.starts(X, *BLOCKS)
    assert len(traced) == 1
    for number, start in enumerate(starts):
        model.run(start, {f"layers.{number}:in[pos={number % 3}]": dl.zero()})
    assert len(traced) == 2


def test_what_one_block_hands_to_the_next_alone_is_read_off_the_data_flow() -> None:
    pairs = {parse(f"layers.{i}:out"): parse(f"layers.{i + 1}:in") for i in range(LAYERS - 1)}
    for kind, expected in (
        ({"rows": False}, pairs),
        ({"rows": False, "wrapped": "jit"}, pairs),
        ({"wrapped": "loop"}, pairs),
        ({"rows": True}, {}),  # the rows read each output too
        ({"rows": False, "reverse": True}, {}),  # which hands on to the block before
    ):
        model = opened(**kind)
        assert model.handed_on(X, model.record(X, "layers.*:{in,out}"), pairs) == expected, kind
