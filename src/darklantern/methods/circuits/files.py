"""Circuits as JSON, and back.

The text is one object: `format` ("darklantern-circuit") and `version` (1); `how` the edges were scored; `edges` that
are kept, each with `from`, `to` and `score`; `of`, how many edges the model has; `faithfulness`, a number or null; and
the wiring: `parts`, in the order in which they write, each with its `path`, its `entrance` (a site), `before` (how many
of the parts have written what it reads), `heads` (0 for an MLP) and `shared` (for each query head its key-value head),
and `end`, the site where the stream goes into the logits. Names are those of docs/sites.md, and `embed` and `logits`.
"""

import json
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.circuits.circuit import Circuit, mask
from darklantern.methods.circuits.scores import frozen
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.methods.patching.wiring import Part, Wiring
from darklantern.models.opened import Model
from darklantern.models.sites import parse

FORMAT, VERSION = "darklantern-circuit", 1


def written(circuit: Circuit) -> str:
    """It as text."""
    places = np.argwhere(circuit.kept)
    edges = [
        {"from": sender, "to": receiver, "score": float(circuit.scores[row, column])}
        for (sender, receiver), (row, column) in zip(circuit.edges, places, strict=True)
    ]
    parts = [
        {"path": part.path, "entrance": str(part.entrance), "before": part.before, "heads": part.heads,
         "shared": list(part.shared)}
        for part in circuit.wiring.parts
    ]  # fmt: skip
    made = {
        "format": FORMAT, "version": VERSION, "how": circuit.how, "faithfulness": circuit.faithfulness,
        "of": len(circuit.wiring.edges[0]), "edges": edges, "parts": parts, "end": str(circuit.wiring.end),
    }  # fmt: skip
    return json.dumps(made, indent=1, ensure_ascii=False)


def load_circuit(model: Model, text: str) -> Circuit:
    """The circuit that `text` holds, as `circuit.json()` wrote it, of `model`, to be run and measured on it.

    Scores of edges that were not kept are not in it, and 0 here. Raises MethodError for another text, and for a model
    that lacks a site of it.
    """
    check_opened(model)
    with making("load_circuit", model) as under_way:
        under_way.saw(text)
        held = _read(text)
        try:
            wiring = Wiring(tuple(map(_part, held["parts"])), parse(held["end"]))
            edges = [(each["from"], each["to"]) for each in held["edges"]]
            scores = [float(each["score"]) for each in held["edges"]]
            how, share = str(held["how"]), held["faithfulness"]
            share = None if share is None else float(share)
        except (KeyError, TypeError, ValueError) as error:
            raise MethodError(f"this circuit is not whole: {error}", hint="text that circuit.json() wrote") from error
        for part in wiring.parts:
            model.sites(part.entrance), model.sites(part.writes)  # raise for what is not there
        kept = mask(wiring, edges)
        table = np.zeros(kept.shape)
        for edge, score in zip(edges, scores, strict=True):
            table[mask(wiring, [edge])] = score
    return Circuit(wiring, kept, frozen(table), how, share, made=under_way.made())


def _read(text: str) -> dict[str, Any]:
    try:
        held = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MethodError(f"this is no JSON: {error}", hint="text that circuit.json() wrote") from error
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        raise MethodError("this JSON is no circuit", hint="text that circuit.json() wrote")
    if held.get("version") != VERSION:
        raise MethodError(f"a circuit of version {held.get('version')}", hint=f"version {VERSION} is read here")
    return held


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return dict(pairs)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _part(held: dict[str, Any]) -> Part:
    shared = tuple(map(int, held["shared"]))
    return Part(str(held["path"]), parse(held["entrance"]), int(held["before"]), int(held["heads"]), shared)
