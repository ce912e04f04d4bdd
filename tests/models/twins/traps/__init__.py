"""Tiny models, each with one thing in it that misleads who looks inside: its docstring says which.

In: nothing; a trap makes its model and inputs anew each time it is called, in float32 unless 64-bit mode is on.
Out: the model, and what is at its sites, worked out by hand in NumPy; where a model drops numbers at random, by its
framework. Never: an engine.
"""

from collections.abc import Callable

from . import caches, loops, opaque, sharing, state
from .trap import Trap

__all__ = ["TRAPS", "Trap"]

TRAPS: tuple[Callable[[], Trap], ...] = (
    caches.linen_jitted, caches.nnx_jitted, caches.equinox_jitted, caches.remat, caches.named_for_remat,
    loops.branch_taken, loops.branch_not_taken, loops.branch_for_some,
    loops.repeated, loops.repeated_as_told, loops.repeated_until,
    loops.recurrent, loops.recurrent_equinox, loops.recurrent_layers,
    sharing.called_twice, sharing.two_names, sharing.two_copies, sharing.linen_in_a_function,
    state.dropout, state.dropout_with_a_stream, state.training_norm, state.training_norm_with_state,
    opaque.own_gradient, opaque.callback, opaque.kernel,
)  # fmt: skip
