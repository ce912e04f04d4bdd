"""What the conformance suite runs on: models of every framework, each with a forward pass written by hand.

In: the oracles, and for JAX their twins. Out: `SUBJECTS`, which the tests ask in NumPy alone: what a model's own call
returns, what the hand-written pass has at each site, and what that pass returns after a change there. Never: a word in
the tests about a framework.
"""

from importlib.util import find_spec

from .on_torch import SUBJECTS as TORCH
from .subject import Framework, Subject

__all__ = ["SUBJECTS", "Framework", "Subject"]

SUBJECTS: tuple[Subject, ...] = TORCH
if find_spec("darklantern.models.on_jax"):  # until the JAX engine is there, which these subjects wait for
    from .on_jax import SUBJECTS as JAX

    SUBJECTS = TORCH + JAX
