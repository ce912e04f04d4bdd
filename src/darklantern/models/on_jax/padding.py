"""Token numbers as arrays, padded."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from darklantern.models.tokens import Batch, filled, texts


def padded(tokenizer: Any, numbers: Sequence[Sequence[int]]) -> Batch:
    """`input_ids` and `attention_mask`, (batch, pos), where JAX puts arrays."""
    rows, mask = filled(tokenizer, numbers)
    given = {"input_ids": jnp.asarray(rows), "attention_mask": jnp.asarray(mask)}
    return Batch(given, tuple(texts(tokenizer, each) for each in numbers))
