"""Whether a model returns the same on the same inputs: differences between runs are effects only then."""

from typing import Any

from darklantern.errors import MethodError
from darklantern.models.opened import Model


def check_repeats(model: Model, inputs: Any, output: Any) -> None:
    """Raises MethodError for a model in training mode that does not return `output` once more.

    Costs a run of a model in training mode, and nothing otherwise.
    """
    found = model.rerun(inputs, output)
    if found is not None and not found[1]:
        raise MethodError(
            "two runs on the same inputs differ, so effects would be noise",
            hint="the model is in training mode, where dropout draws anew in each run: model.eval() before",
        )
