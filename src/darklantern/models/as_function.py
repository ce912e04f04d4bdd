"""An opened model as a function of its weights: what samples or descends in weight space asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from darklantern.models.opened import Model


@dataclass(frozen=True)
class AsFunction:
    """`call(weights, inputs)` is what the model returns with other weights; the model's own are never written."""

    weights: dict[str, Any]
    """copies of the parameters that training changes, by the framework's own names; arrays of its own"""
    call: Callable[[dict[str, Any], Any], Any]
    """differentiable with respect to the weights, by the backend's `value_and_grad`"""


def as_function(model: Model) -> AsFunction:
    """`model` as a function of the weights that training changes.

    Edits of the model do not take part: it is the model as it was opened. In torch, dropout and batch statistics are
    off while the function runs, and buffers stay as they are. Raises SiteError for a model without such weights, and
    for one that is cut over several ranks.
    """
    made: AsFunction = import_module(f"darklantern.models.on_{model.framework}.as_function").as_function(model)
    return made
