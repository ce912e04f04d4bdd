"""A model's weights, to be hashed later: arrays never change, so they are held until then."""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from darklantern.errors import SiteError


def hash_later(weights: Any) -> Callable[[], str]:
    """What gives SHA-256 over names, dtypes, shapes and bytes of a tree of arrays, in the order of their names.

    Names are the tree's own paths, so the same numbers in torch have another hash. Raises SiteError then for arrays
    that a step has been given to write over.
    """
    named = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(weights)[0]]

    def hashed() -> str:
        digest = hashlib.sha256()
        for name, leaf in sorted(named, key=lambda pair: pair[0]):
            if getattr(leaf, "is_deleted", bool)():
                raise SiteError(
                    f"the weights {name} were given to a step that wrote over them (donated), so they cannot be hashed",
                    hint="take .evidence() before training goes on, or make the result again",
                )
            is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
            digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    return hashed
