"""Twins of torch models whose arrays lie cut over a mesh, for jax_shards_worker: sites are whole, and stay cut."""

from typing import Any

import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax_cut import cut
from jax_mesh import Case

from darklantern import models
from darklantern.models import edits


def _opened(name: str, mesh: Mesh) -> tuple[Any, Any, Any, Array]:
    twin, truth, built, inputs = cut(name, mesh)
    return models.open(built.module, weights=built.weights, call=built.call, example=inputs), twin, truth, inputs


def _same(twin: Any, found: Any, expected: Any) -> None:
    """As close as the twin is on one device; a mask may be a very low number."""
    found, expected = np.asarray(found), np.asarray(expected)
    found = np.where(found < -1e29, -np.inf, found)
    size = np.abs(np.nan_to_num(expected, neginf=0)).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=twin.tolerance * size)


def every_site(name: str) -> Case:
    """The engine sees whole values in a model that is cut; they stay where they are."""

    def case(mesh: Mesh) -> None:
        model, twin, truth, inputs = _opened(name, mesh)
        seen = {site: value for site, value in truth.seen.items() if not twin.lacking(site)}
        recording = model.record(inputs, *seen)
        for site, value in seen.items():
            _same(twin, recording[site].array, value)
        _same(twin, recording.output, truth.output)
        for site in ("layers.0:resid_mid", "layers.1.mlp:neurons"):
            assert not recording[site].array.sharding.is_fully_replicated, site

    return case


def changed(name: str) -> Case:
    """And changes, differentiates, stops and starts them as in one that is whole."""

    def case(mesh: Mesh) -> None:
        model, twin, truth, inputs = _opened(name, mesh)
        ones = np.ones_like(truth.output)
        sites = ["layers.1.attn:pattern", "layers.1.mlp:neurons", "layers.0:resid_mid"]
        gradients = model.gradient(inputs, lambda output: output.sum(), *sites).gradients
        true = truth.gradients(ones, sites)
        for site in sites:
            _same(twin, model.run(inputs, {site: edits.zero()}), truth.gone(site))
            _same(twin, gradients[site].array, true[site])
        site = "layers.0:resid_mid"
        _same(twin, model.record(inputs, site, stop=True)[site], truth.seen[site])
        start = model.start(inputs, "layers.1")
        _same(twin, model.run(start), truth.output)
        site = "layers.1.mlp:neurons"
        _same(twin, model.run(start, {site: edits.zero()}), truth.gone(site))

    return case


_TWINS = ("gpt2-function-tagged", "gpt2-linen", "gpt2-linen-scan", "gpt2-nnx", "gpt2-equinox", "gpt2-haiku")
CASES: dict[str, Case] = {f"every site, {name}": every_site(name) for name in _TWINS} | {
    f"changed, {name}": changed(name) for name in _TWINS
}
