"""One prompt, as a model takes it: by itself, or several times in one batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.models.calling import Inputs
from darklantern.models.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.shim import is_array, namespace, numbers
from darklantern.models.tokens import Batch


@dataclass(frozen=True)
class Prompt:
    """Inputs of which every array has a first axis of one example."""

    inputs: Any

    def tiled(self, times: int) -> Any:
        """The same example `times` over, as one batch."""
        given = dict(self.inputs.arguments) if isinstance(self.inputs, Batch) else self.inputs
        return _tiled(given, times)

    def texts(self, model: Model, recording: Recording, positions: int) -> tuple[str, ...]:
        """What stands at each position, as text: the tokens where they are known, their numbers or else the place."""
        if recording.tokens is not None:
            return tuple(recording.tokens[0])
        named = self.inputs.get("input_ids") if isinstance(self.inputs, Mapping) else None
        arrays = _arrays(self.inputs if named is None else named)
        tokens = next((row for row in arrays if row.dtype.kind in "iu" and row.shape == (1, positions)), None)
        if tokens is None:
            return tuple(f"#{position}" for position in range(positions))
        tokenizer: Any = getattr(model, "tokenizer", None)
        return tuple(str(token) if tokenizer is None else tokenizer.decode([token]) for token in tokens[0].tolist())


def prompt(model: Model, inputs: Any) -> Prompt:
    """`inputs` as one prompt: a text, a batch of one, or arrays with one example. Raises MethodError for several."""
    if isinstance(inputs, str):
        inputs = model.batch([inputs])
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(each, str) for each in inputs):
        inputs = model.batch(list(inputs))
    sizes = sorted({row.shape[0] for row in _arrays(inputs) if row.ndim})
    if sizes != [1]:
        raise MethodError(
            f"an attribution graph is of one prompt, got inputs with first axes {', '.join(map(str, sizes)) or 'none'}",
            hint="one text, or an array of tokens (1, pos)",
        )
    return Prompt(inputs)


def _arrays(inputs: Any) -> list["np.ndarray[Any, Any]"]:
    if is_array(inputs):
        return [numbers(inputs)]
    if isinstance(inputs, Inputs):
        return _arrays([inputs.args, inputs.kwargs])
    if isinstance(inputs, Mapping):
        inputs = list(inputs.values())
    return [row for each in inputs for row in _arrays(each)] if isinstance(inputs, list | tuple) else []


def _tiled(given: Any, times: int) -> Any:
    if is_array(given):
        xp = namespace(given)
        return xp.concat([given] * times, axis=0) if given.ndim else given
    if isinstance(given, Inputs):
        return Inputs(_tiled(given.args, times), _tiled(given.kwargs, times))
    if isinstance(given, Mapping):
        return {name: _tiled(each, times) for name, each in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(_tiled(each, times) for each in given)
    return given
