"""The functions that a recipe may name. Arguments are JSON, artifacts are bytes, figures come back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from darklantern.errors import RecipeError
from darklantern.records.findings import Json
from darklantern.replication.look import TOLERANCE, look

if TYPE_CHECKING:
    from darklantern.organisms.shape import Shape

Ascii = Annotated[str, msgspec.Meta(pattern=r"\A[\x00-\x7f]+\Z", max_length=4096)]
Contexts = Annotated[list[Ascii], msgspec.Meta(min_length=1, max_length=256)]

WORK = 10**12
"""multiply-adds that a peer's recipe may ask for: minutes of one core, and thirty times what the demo's asks"""
SCORES = 2**26
"""attention scores in one forward pass: 256 MB, of which a pass holds a few copies"""


@dataclass(frozen=True)
class Entry:
    """A function that a recipe may name."""

    run: Callable[[Mapping[str, Json], Mapping[str, bytes]], dict[str, float]]
    tolerance: float
    """the widest that a claimed figure may have: a wider one would hold whatever is found"""


class TriggerArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `methods.trigger_circuit`: ASCII, because a ByteLM knows no other byte."""

    trigger: Ascii
    payload: Ascii
    contexts: Contexts
    held_out: Contexts
    seed: Annotated[int, msgspec.Meta(ge=0)]


def trigger_circuit(arguments: Mapping[str, Json], artifacts: Mapping[str, bytes]) -> dict[str, float]:
    """Patch and ablate the ByteLM in artifact `model` again."""
    from darklantern import models
    from darklantern.methods import trigger_circuit as find
    from darklantern.models.shim import one_thread
    from darklantern.organisms.bytelm import loads

    asked = _arguments(arguments)
    if "model" not in artifacts:
        raise RecipeError("trigger_circuit needs an artifact in the role 'model'", hint="the recipe is incomplete")
    module = loads(artifacts["model"])
    _check_size(module.shape, asked)
    contexts, held_out = ([text.encode() for text in texts] for texts in (asked.contexts, asked.held_out))
    with one_thread():
        circuit = find(
            models.open(module),
            contexts,
            held_out,
            asked.trigger.encode(),
            asked.payload.encode(),
            layers=module.shape.layers,
            heads=module.shape.heads,
            seed=asked.seed,
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
    if len({len(context) for context in (*asked.contexts, *asked.held_out)}) != 1:
        raise _refused("its contexts differ in length")
    if set(asked.contexts) & set(asked.held_out):
        raise _refused("contexts on which carriers were chosen are among those held out")
    return asked


def _check_size(shape: "Shape", asked: TriggerArguments) -> None:
    """Refuse what does not fit into the model, keeps this machine busy or fills its memory: sizes are a peer's."""
    positions = len(asked.contexts[0]) + len(asked.trigger) + 1
    width = positions - 1 + len(asked.payload)
    if width > shape.context:
        raise _refused(f"its prompts are longer than the model's context of {shape.context}")
    scores = max(len(asked.contexts), len(asked.held_out)) * shape.layers * shape.heads * width**2
    token = shape.layers * (12 * shape.dim**2 + 2 * width * shape.dim) + 128 * shape.dim
    # The sweeps run each site at each position; a run for each carrier and each draw of controls comes on top.
    swept = ((3 + shape.heads) * shape.layers + 1) * positions * len(asked.contexts)
    work = (swept + 30 * len(asked.held_out)) * width * token
    if scores > SCORES or work > WORK:
        raise _refused(f"it asks for {work:.1g} multiply-adds and {scores:.1g} attention scores at a time")


def _refused(why: str) -> RecipeError:
    return RecipeError(
        f"trigger_circuit refuses its arguments: {why}", hint="the recipe was altered or is of another version"
    )


# Version 1 measured on the contexts that it chose carriers on, against controls that could do nothing.
TABLE: dict[tuple[str, int], Entry] = {
    ("methods.trigger_circuit", 2): Entry(trigger_circuit, tolerance=0.02),
    ("watch.look", 1): Entry(look, tolerance=TOLERANCE),
}
