"""Token numbers as arrays, padded, under the names that the model gives its arguments."""

import inspect
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from darklantern.errors import SiteError
from darklantern.models.tokens import Batch, texts

_MASKS = ("attention_mask", "mask", "padding_mask")


def padded(tokenizer: Any, numbers: Sequence[Sequence[int]], signature: inspect.Signature | None) -> Batch:
    """The tokens as the model's first argument, (batch, pos), and their mask if it takes one."""
    names = [] if signature is None else list(signature.parameters)
    if not names:
        raise SiteError(
            "what this model calls its arguments is not known, so prompts cannot be handed over by name",
            hint="open a function of named arguments, or pass arrays of token numbers",
        )
    longest = max(map(len, numbers))
    # What stands in the padding comes behind all that is real; any token will do, and 0 is one in every vocabulary.
    fill = getattr(tokenizer, "pad_token_id", None) or 0
    given = {names[0]: jnp.asarray([[*each, *[fill] * (longest - len(each))] for each in numbers])}
    if mask := next((name for name in _MASKS if name in names[1:]), None):
        given[mask] = jnp.asarray([[1] * len(each) + [0] * (longest - len(each)) for each in numbers])
    return Batch(given, tuple(texts(tokenizer, each) for each in numbers))
