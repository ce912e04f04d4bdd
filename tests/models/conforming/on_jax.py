"""JAX subjects: the oracles' twins, in float64 and 64-bit mode. The truth is the oracle's pass, in torch.

A documented difference: JAX compiles what the engine runs, and may fuse otherwise than where it runs a model operation
by operation. Two runs agree to rounding there, not to the bit.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from oracles import SUBJECTS as ORACLES
from twins import TWINS, Twin, run, wide

from darklantern import models
from darklantern.models import edits

from .subject import Case, Edits, Subject
from .truth import Array, Truth

ROUNDING = 1e-12
_MANY = 20_000  # of the 65,530 that a process may have; a test adds two thousand at most


def _memory_maps() -> int:
    """How many there are; 0 on systems that have no list of them, nor so low a bound."""
    file = Path("/proc/self/maps")
    return file.read_bytes().count(b"\n") if file.exists() else 0


class Jax:
    """As the tests need it."""

    name = "jax"
    uncovered = ("slope", "router")  # a test of its own; no twin is a mixture of experts

    def array(self, numbers: Array) -> jax.Array:
        return jnp.array(numbers)

    def numbers(self, array: jax.Array) -> Array:
        numbers = np.asarray(array)
        # A documented difference: scores hold what the model's own mask puts there, often a very low number.
        return np.where(numbers < -1e29, -np.inf, numbers) if numbers.dtype.kind == "f" else numbers

    @contextmanager
    def looking(self) -> Iterator[None]:
        try:
            with wide():
                yield
        finally:
            # What one test compiled serves the next, up to where XLA crashes: see tests/conftest.py.
            if _memory_maps() > _MANY:
                jax.clear_caches()

    def differentiating(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def moving(self, run: Callable[[Edits], Any], steps: Mapping[str, Any]) -> Callable[[tuple[str, ...]], Any]:
        """Compiled once for all sites, with steps of nothing at all but those: to compile is what takes long."""
        all_at_once = jax.jit(lambda steps: run({site: edits.add(step) for site, step in steps.items()}))
        none = {site: jnp.zeros_like(step) for site, step in steps.items()}
        return lambda sites: all_at_once(none | {site: steps[site] for site in sites})


def opener(twin: Twin) -> Callable[[Truth], Case]:
    def opened(truth: Truth) -> Case:
        built, inputs = twin.build(truth.module, np.float64), twin.inputs(truth.inputs)
        model = models.open(built.module, weights=built.weights, call=built.call, example=inputs)
        return Case(model, inputs, partial(run, twin, built, inputs))

    return opened


def truth(twin: Twin) -> Truth:
    return Truth(next(oracle for oracle in ORACLES if oracle.name == twin.oracle), twin.forward)


SUBJECTS = tuple(
    Subject(
        twin.name,
        twin.oracle,
        Jax(),
        truth(twin),
        opener(twin),
        tolerance=twin.tolerance,
        # Where a kernel takes its softmax in float32, a fusion shows in float32's last digit.
        rounding=ROUNDING if twin.tolerance < 1e-8 else twin.tolerance,
        lacking=twin.lacking,
        together=twin.together,
        place=twin.placed,
        padding_counts=False,
    )
    for twin in TWINS
)
