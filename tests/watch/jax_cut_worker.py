"""A JAX loop whose state is cut over four virtual devices, alarm and rollback in it; says as JSON what came of it."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

sys.path.insert(0, str(Path(__file__).parent.parent))

from watch.jax_loops import LM, Marked, bits, donating, fresh, start
from watch.loops import CORPUS, RECIPE, Scripted, rising

from darklantern.watch import Reaction
from darklantern.watch.attach import jax_loop

MESH = Mesh(np.array(jax.devices()).reshape(2, 2), ("data", "model"))
ROWS = NamedSharding(MESH, PartitionSpec("data"))


class Cut(Marked):
    def __iter__(self):
        return (jax.device_put(batch, ROWS) for batch in super().__iter__())


def cut(leaf):
    """Matrices over `model`, all else everywhere; the step is still a number."""
    if not isinstance(leaf, jax.Array):
        return leaf
    is_matrix = leaf.ndim == 2 and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.device_put(leaf, NamedSharding(MESH, PartitionSpec("model") if is_matrix else PartitionSpec()))


def pieces(leaf) -> int:
    """Bytes on all four devices."""
    if not isinstance(leaf, jax.Array):
        return 0
    return 4 * leaf.nbytes // (1 if leaf.sharding.is_fully_replicated else 2)


def main() -> None:
    w, loader = start(
        Scripted(rising),
        lambda alarm: Reaction.ROLL_BACK,
        loader=Cut(CORPUS, RECIPE, (1,)),
        state=jax.tree.map(cut, fresh()),
        rollbacks=1,
    )
    states, rows = [], set()
    for batch in w.over(loader):
        rows.add((batch.shape, batch.sharding))
        if w.step == 20:
            states.append((bits(w.state), [leaf.sharding for leaf in jax.tree.leaves(w.state)]))
        w.state, _ = donating(w.state, batch)
    before, after = states
    told = {
        "devices": len(jax.devices()),
        "same bits": before[0] == after[0],
        "same sharding": before[1] == after[1],
        "cut": sum(not sharding.is_fully_replicated for sharding in after[1]),
        "held bytes": jax_loop.tap(LM, (w.state, loader)).state_bytes() - sum(map(pieces, jax.tree.leaves(w.state))),
        "kinds of batches": len(rows),
        "screened rows": w.screened_rows,
    }
    print(json.dumps(told))


main()
