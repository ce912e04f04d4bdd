"""The functions that a recipe may name. Arguments are JSON, artifacts are bytes, figures come back."""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from darklantern.errors import RecipeError
from darklantern.records.findings import Json

Rerun = Callable[[Mapping[str, Json], Mapping[str, bytes]], dict[str, float]]


Ascii = Annotated[str, msgspec.Meta(pattern=r"\A[\x00-\x7f]+\Z", max_length=4096)]


class TriggerArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `methods.trigger_circuit`: ASCII, because a ByteLM knows no other byte."""

    trigger: Ascii
    payload: Ascii
    contexts: Annotated[list[Ascii], msgspec.Meta(min_length=1, max_length=256)]
    seed: Annotated[int, msgspec.Meta(ge=0)]


def trigger_circuit(arguments: Mapping[str, Json], artifacts: Mapping[str, bytes]) -> dict[str, float]:
    """Patch and ablate the ByteLM in artifact `model` again."""
    from darklantern import models
    from darklantern.methods import trigger_circuit as find
    from darklantern.organisms.bytelm import loads

    asked = _arguments(arguments)
    if "model" not in artifacts:
        raise RecipeError("trigger_circuit needs an artifact in the role 'model'", hint="the recipe is incomplete")
    module = loads(artifacts["model"])
    trigger, payload, *contexts = (text.encode() for text in (asked.trigger, asked.payload, *asked.contexts))
    shape = module.shape
    if len(contexts[0]) + len(trigger) + len(payload) > shape.context:
        raise _refused(f"its prompts are longer than the model's context of {shape.context}")
    circuit = find(
        models.open(module), contexts, trigger, payload, layers=shape.layers, heads=shape.heads, seed=asked.seed
    )
    return {
        "probability after the trigger": circuit.with_trigger,
        "probability without the trigger": circuit.without_trigger,
        "probability with the carriers ablated": circuit.ablated,
        "mean probability with random sites ablated": sum(circuit.random) / len(circuit.random),
    }


def _arguments(arguments: Mapping[str, Json]) -> TriggerArguments:
    try:
        asked = msgspec.convert(arguments, TriggerArguments)
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from error
    if len({len(context) for context in asked.contexts}) != 1:
        raise _refused("its contexts differ in length")
    return asked


def _refused(why: str) -> RecipeError:
    return RecipeError(
        f"trigger_circuit refuses its arguments: {why}", hint="the recipe was altered or is of another version"
    )


TABLE: dict[tuple[str, int], Rerun] = {("methods.trigger_circuit", 1): trigger_circuit}
