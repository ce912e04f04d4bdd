"""The functions that a recipe may name. Arguments are JSON, artifacts are bytes, figures come back."""

from collections.abc import Callable, Mapping

import msgspec

from darklantern.errors import RecipeError
from darklantern.records.findings import Json

Rerun = Callable[[Mapping[str, Json], Mapping[str, bytes]], dict[str, float]]


class TriggerArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `methods.trigger_circuit`: texts are Latin-1 so that every byte has one spelling."""

    trigger: str
    payload: str
    contexts: list[str]
    seed: int


def trigger_circuit(arguments: Mapping[str, Json], artifacts: Mapping[str, bytes]) -> dict[str, float]:
    """Patch and ablate the ByteLM in artifact `model` again."""
    from darklantern import models
    from darklantern.methods import trigger_circuit as find
    from darklantern.organisms.bytelm import loads

    try:
        asked = msgspec.convert(arguments, TriggerArguments)
        texts = [text.encode("latin-1") for text in (asked.trigger, asked.payload, *asked.contexts)]
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise RecipeError(
            f"trigger_circuit refuses its arguments: {error}", hint="the recipe was altered; ask for the original"
        ) from error
    if "model" not in artifacts:
        raise RecipeError("trigger_circuit needs an artifact in the role 'model'", hint="the recipe is incomplete")
    module = loads(artifacts["model"])
    shape = module.shape
    circuit = find(
        models.open(module), texts[2:], texts[0], texts[1], layers=shape.layers, heads=shape.heads, seed=asked.seed
    )
    return {
        "probability after the trigger": circuit.with_trigger,
        "probability without the trigger": circuit.without_trigger,
        "probability with the carriers ablated": circuit.ablated,
        "mean probability with random sites ablated": sum(circuit.random) / len(circuit.random),
    }


TABLE: dict[tuple[str, int], Rerun] = {("methods.trigger_circuit", 1): trigger_circuit}
