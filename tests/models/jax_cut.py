"""Twins of torch models, cut over a mesh."""

from typing import Any

import jax
import numpy as np
from conforming.truth import Truth
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from oracles import SUBJECTS as ORACLES
from twins import TWINS, Built, Twin


def cut_tree(mesh: Mesh, tree: Any) -> Any:
    """Matrices cut by columns where they divide, all else on every device."""

    def place(leaf: Array) -> Array:
        columns = leaf.ndim >= 2 and leaf.shape[-1] % mesh.shape["model"] == 0
        spec = PartitionSpec(*(None,) * (leaf.ndim - 1), "model") if columns else PartitionSpec()
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    return jax.tree.map(place, tree)


def cut_rows(mesh: Mesh, array: Array) -> Array:
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec("data")))


def twin(name: str) -> tuple[Twin, Truth]:
    found = next(each for each in TWINS if each.name == name)
    return found, Truth(next(oracle for oracle in ORACLES if oracle.name == found.oracle), found.forward)


def cut(name: str, mesh: Mesh) -> tuple[Twin, Truth, Built, Array]:
    """The twin with its weights and its inputs over the mesh."""
    whole, truth = twin(name)
    built = whole.build(truth.module, np.float64)
    built = built._replace(weights=cut_tree(mesh, built.weights))
    return whole, truth, built, cut_rows(mesh, whole.inputs(truth.inputs))
