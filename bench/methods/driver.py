"""Ask all workers case by case, in turn; what they wrote lies in one folder, to be compared there."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.driver import Answer, Worker
from models.peers import Peer, why_absent

from methods import hooked, labelled, peers

ROUNDS, REPEATS = 5, 1
SECONDS = 400.0
"""that an answer may take: one trains a transformer"""
PREPARING = ("prepare", "train", "prepare_edges")
"""what the product's worker makes for all, in this order"""


@dataclass(frozen=True)
class Case:
    """A question, the settings that it is asked in, and who is asked."""

    name: str
    settings: tuple[str, ...]
    workers: tuple[Peer, ...]


CASES = (
    Case("graph", ("24", "96", "256"), (peers.OURS, peers.CIRCUIT_TRACER)),
    Case("graph_as_shipped", ("24", "96", "256"), (peers.CIRCUIT_TRACER,)),
    Case("integrated", ("16", "64", "256"), (peers.OURS, peers.CAPTUM)),
    Case("logistic", tuple(labelled.SIZES), (peers.OURS, peers.SCIKIT_LEARN)),
    Case("logistic_to_the_end", tuple(labelled.SIZES), (peers.SCIKIT_LEARN,)),
    Case("lda", tuple(labelled.SIZES), (peers.OURS, peers.SCIKIT_LEARN)),
    Case("lda_own_share", tuple(labelled.SIZES), (peers.OURS, peers.SCIKIT_LEARN)),
    Case("leace", tuple(labelled.ERASED), (peers.OURS, peers.CONCEPT_ERASURE)),
    Case("leace_as_shipped", tuple(labelled.ERASED), (peers.CONCEPT_ERASURE,)),
    *(Case(f"edges_{how}", hooked.MODELS, (peers.OURS, peers.CIRCUITKIT)) for how in ("exact", "eap", "eap-ig")),
    *(Case(f"edges_{how}", hooked.MODELS, (peers.OURS,)) for how in ("relp", "ensemble", "eap-ig-receivers")),
    Case("edges_eap-ig_as_shipped", hooked.MODELS, (peers.CIRCUITKIT,)),
    Case("lens", ("adam",), (peers.OURS, peers.TUNED_LENS)),
    Case("lens", ("as shipped",), (peers.TUNED_LENS,)),
    Case("lens_kl", ("all",), (peers.OURS,)),
)


@dataclass(frozen=True)
class Results:
    """Answers by case, setting and worker; who could not take part, and why; versions; what was written."""

    answers: Mapping[tuple[str, str, str], Answer]
    hellos: Mapping[str, dict[str, object]]
    absent: Mapping[str, str]
    folder: Path
    prepared: Mapping[str, object] = field(default_factory=dict)
    """what was told of it"""


def collect(only: Sequence[str] = ()) -> Results:
    """Every case in every setting from every worker that is there, in rounds of all in turn; `only` names cases."""
    folder = Path(tempfile.mkdtemp(prefix="bench-methods-"))
    absent = {each.name: why for each in peers.WORKERS if (why := why_absent(each))}
    workers = {each.name: Worker(each, SECONDS) for each in peers.WORKERS if each.name not in absent}
    answers: dict[tuple[str, str, str], Answer] = {}
    prepared: dict[str, object] = {}
    try:
        for case in PREPARING:
            said = workers[peers.OURS.name].ask({"case": case, "model": "", "repeats": 1, "out": str(folder)})
            if "detail" not in said:
                raise SystemExit(f"what all are to be run on could not be made: {case}: {said}")
            prepared |= said["detail"]
        for case, setting in _plan(only):
            for _ in range(ROUNDS):
                for peer in (each for each in case.workers if each.name in workers):
                    answer = answers.setdefault((case.name, setting, peer.name), Answer())
                    if not answer.over:
                        request = {"case": case.name, "model": setting, "repeats": REPEATS, "out": str(folder)}
                        answer.add(workers[peer.name].ask(request))
            print(f"{case.name} {setting}", file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    hellos = {name: each.hello for name, each in workers.items() if each.hello}
    return Results(answers, hellos, absent, folder, prepared)


def _plan(only: Sequence[str]) -> Iterator[tuple[Case, str]]:
    return ((case, setting) for case in CASES if not only or case.name in only for setting in case.settings)
