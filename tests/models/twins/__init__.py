"""JAX models with the weights of the torch oracles: the oracles' hand-written passes are the truth for them too.

In: an oracle's torch module. Out: the same model in a framework of JAX, written as that framework's users write, with
the oracle's own numbers in it. Never: a call of the engine under test, except `darklantern.tag` in a model that names
its own values.
"""

from . import (
    cnn_equinox,
    cnn_linen,
    gpt2_equinox,
    gpt2_functions,
    gpt2_haiku,
    gpt2_linen,
    gpt2_nnx,
    llama_equinox,
    llama_linen,
    llama_nnx,
)
from .twin import Built, Twin, run, wide

__all__ = ["TWINS", "Built", "Twin", "run", "wide"]

TWINS: tuple[Twin, ...] = tuple(
    twin
    for module in (
        gpt2_linen, gpt2_nnx, gpt2_equinox, gpt2_haiku, gpt2_functions,
        llama_linen, llama_nnx, llama_equinox,
        cnn_linen, cnn_equinox,
    )
    for twin in module.TWINS
)  # fmt: skip
