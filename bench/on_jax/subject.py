"""What a subject of this bench is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Subject:
    """A model, how its framework runs it, and how its framework looks inside, if it can."""

    name: str
    module: Any
    """for `darklantern.open`"""
    weights: Any
    """the same; None where the module has them"""
    apply: Callable[..., Any]
    """(state, ids) → logits: what `jax.jit` is given for the plain run"""
    state: Any
    captured: Callable[..., Any] | None
    """(state, ids) → what the framework's own capture gives, as it jits it"""
    capture: str
    """what that is called, or why there is none"""
    call: Callable[..., Any] | None = None
    """for `darklantern.open`"""
