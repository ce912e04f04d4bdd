"""Several patches in one run: the run as a function of what is patched, mapped by `jax.vmap`.

Patches cannot touch each other then, whatever the model does with its batch, and what none of them changes is computed
once. All of a row, one site at several indices, are the same compiled function of other numbers.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from darklantern.errors import SiteError
from darklantern.models.edits import take
from darklantern.models.on_jax.planning import Prepared
from darklantern.models.on_jax.running import Call, Traced, check_fired, compiled, numbers
from darklantern.models.passes import note
from darklantern.models.recording import Recording
from darklantern.models.sites import Site

if TYPE_CHECKING:
    from darklantern.models.on_jax.opened import Model


class Patches:
    """Runs in which sites hold what they held in `source`, up to `at_once` of them as one."""

    def __init__(self, model: "Model", source: Recording, at_once: int) -> None:
        self._model, self._source, self._at_once = model, source, at_once
        self._alone = at_once == 1
        """each gets a run of its own, as where JAX has no rule to map what the model does"""

    def outputs(self, inputs: Any, cells: Sequence[Site], examples: int) -> Iterator[Any]:
        """What the model returns with each of `cells` changed, in their order."""
        # As many in each run: another number of them would be compiled anew.
        runs = -(-len(cells) // self._at_once)
        size = -(-len(cells) // runs) if runs else 1
        for first in range(0, len(cells), size):
            yield from self._together(inputs, cells[first : first + size], size)

    def _together(self, inputs: Any, cells: Sequence[Site], size: int) -> list[Any]:
        found = None
        if size > 1 and not self._alone:
            try:
                found = self._mapped(inputs, cells, size)
            except Exception as error:
                if not _has_no_rule(error):
                    raise
                self._alone = True
        if found is None:
            found = [self._model.run(inputs, {cell: take(self._source)}) for cell in cells]
        return found

    def _mapped(self, inputs: Any, cells: Sequence[Site], size: int) -> list[Any] | None:
        """All of `cells` in one run of `size`; None where they are not the same function of other numbers."""
        traced, call, ready = self._model.readied(inputs, [{cell: take(self._source)} for cell in cells])
        if len({each.program.key for each in ready}) > 1:
            return None
        given = [numbers(each.program) for each in ready]
        given += [given[-1]] * (size - len(given))
        axes = jax.tree.map(lambda *leaves: None if _same(leaves) else 0, *given)
        joined = jax.tree.map(lambda *leaves: leaves[0] if _same(leaves) else _stacked(leaves), *given)
        if all(axis is None for axis in jax.tree.leaves(axes, is_leaf=lambda leaf: leaf is None)):
            return None
        return _outputs(traced, call, ready, axes, joined)


def _outputs(traced: Traced, call: Call, ready: Sequence[Prepared], axes: Any, joined: Any) -> list[Any]:
    note(forward=len(ready), partial=len(ready) if call.entrances else 0)
    outs, _, flags, _ = compiled(traced, ready[0], axes)(*call.arguments(traced), joined, {}, {})
    found = []
    for number, each in enumerate(ready):
        check_fired(each.program, {step: flag[number] for step, flag in flags.items()})
        found.append(traced.trace.output.back([out[number] for out in outs]))
    return found


def _has_no_rule(error: Exception) -> bool:
    """Whether this is how JAX says that it cannot map what a model does.

    Where a primitive or a callback has no rule, by NotImplementedError. Of ordered callbacks by a ValueError, in while
    loops by a plain Exception: only the word in them tells.
    """
    return isinstance(error, NotImplementedError) or (not isinstance(error, SiteError) and "vmap" in str(error))


def _same(leaves: Sequence[Any]) -> bool:
    """Whether all patches have one array in common: it is not mapped, and what follows from it alone runs once."""
    first = leaves[0]
    of_numpy = all(isinstance(each, np.ndarray) for each in leaves)
    return all(each is first or (of_numpy and np.array_equal(each, first)) for each in leaves)


def _stacked(leaves: Sequence[Any]) -> Any:
    return (np if all(isinstance(each, np.ndarray) for each in leaves) else jnp).stack(leaves)
