"""Probes beside scikit-learn and LEACE beside concept-erasure: the same numbers from the same data, and how fast."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from darklantern.methods.directions import logistic
from darklantern.methods.directions.scoring import auroc
from methods import labelled, peers
from methods.driver import Results
from methods.judging import Line, answered, faster, judged, lost

SAME, AUROC, OWN, ERASER, CHANCE, SPEED = 1e-6, 1e-5, 1e-3, 1e-5, 0.02, 1.0


def lines(results: Results) -> Iterator[Line]:
    for size in labelled.SIZES:
        yield from _logistic(results, size)
        yield from _discriminant(results, size)
    for setting in labelled.ERASED:
        yield from _leace(results, setting)


def _logistic(results: Results, size: str) -> Iterator[Line]:
    name, pair = f"logistic_probe · {size}", (peers.OURS, peers.SCIKIT_LEARN)
    found, ended = answered(results, "logistic", size, *pair), answered(results, "logistic_to_the_end", size, pair[1])
    if not found or not ended:
        case, asked = ("logistic_to_the_end", pair[1:]) if found else ("logistic", pair)
        yield lost(results, name, case, size, *asked)
        return
    ours, end = (
        _read(results, "logistic", size, pair[0].name),
        _read(results, "logistic_to_the_end", size, pair[1].name),
    )
    yield _alike(results, f"{name} · coefficients, both solved to the end", ours["vector"], end["vector"])
    yield _as_well(results, name, size, ours, end)
    yield faster(f"{name} · faster than scikit-learn, as shipped", found[0], found[1], SPEED, results, pair[1])
    yield faster(f"{name} · faster than scikit-learn, to the end", found[0], ended[0], SPEED, results, pair[1])


def _discriminant(results: Results, size: str) -> Iterator[Line]:
    pair = (peers.OURS, peers.SCIKIT_LEARN)
    for case, name in (("lda", f"lda · {size}"), ("lda_own_share", f"lda, each one's share · {size}")):
        found = answered(results, case, size, *pair)
        if not found:
            yield lost(results, name, case, size, *pair)
            continue
        ours, theirs = (_read(results, case, size, peer.name) for peer in pair)
        if case == "lda":
            yield _alike(
                results, f"{name} · coefficients, share {labelled.SHRINKAGE}", ours["vector"], theirs["vector"]
            )
            yield _as_well(results, name, size, ours, theirs)
        else:
            yield _no_worse(results, name, size, ours, theirs)
        yield faster(f"{name} · faster than scikit-learn", found[0], found[1], SPEED, results, pair[1])


def _leace(results: Results, setting: str) -> Iterator[Line]:
    name, pair = f"leace · {setting}", (peers.OURS, peers.CONCEPT_ERASURE)
    found, shipped = answered(results, "leace", setting, *pair), answered(results, "leace_as_shipped", setting, pair[1])
    if not found or not shipped:
        case, asked = ("leace_as_shipped", pair[1:]) if found else ("leace", pair)
        yield lost(results, name, case, setting, *asked)
        return
    ours, theirs = (_read(results, "leace", setting, peer.name) for peer in pair)
    apart = max(float(np.abs(ours[part] - theirs[part]).max()) for part in ("matrix", "erased"))
    yield judged(f"{name} · largest difference of matrix and of what is erased", apart, "of an entry", "≤ 1e-5",
                 apart <= ERASER, results, pair[1], {"dtype": "float64", "seed": labelled.SEED})  # fmt: skip
    given, labels = labelled.several(setting)
    after, beside = (_probed(each["erased"], labels) for each in (ours, theirs))
    told = {"before": _probed(given, labels), "theirs": beside}
    yield judged(f"{name} · linear probe's AUROC afterwards, farthest from .5", after, "AUROC", ".5 ± .02",
                 abs(after - 0.5) <= CHANCE, results, pair[1], told)  # fmt: skip
    yield faster(f"{name} · faster than concept-erasure, the same form", found[0], found[1], SPEED, results, pair[1])
    yield faster(f"{name} · faster than concept-erasure, as shipped", found[0], shipped[0], SPEED, results, pair[1])


def _probed(values: Any, labels: Any) -> float:
    """Of a logistic probe for each class against the rest, on what it was fitted on: the AUROC farthest from .5.

    On the very examples of the eraser no probe can do better than chance; on others it may, by what a mean is off.
    """
    found = []
    for one in np.unique(labels):
        probe = logistic.fit(values, labels == one)
        found.append(auroc(values @ probe.vector, labels == one))
    return max(found, key=lambda each: abs(each - 0.5))


def _alike(results: Results, name: str, ours: Any, theirs: Any) -> Line:
    apart = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return judged(name, apart, "of the largest", "≤ 1e-6", apart <= SAME, results, peers.SCIKIT_LEARN,
                  {"seed": labelled.SEED})  # fmt: skip


def _as_well(results: Results, name: str, size: str, ours: Any, theirs: Any) -> Line:
    own, other = _auroc(size, ours), _auroc(size, theirs)
    apart = abs(own - other)
    return judged(f"{name} · held-out AUROC, difference", apart, "AUROC", "≤ 1e-5", apart <= AUROC,
                  results, peers.SCIKIT_LEARN, {"ours": own, "theirs": other})  # fmt: skip


def _no_worse(results: Results, name: str, size: str, ours: Any, theirs: Any) -> Line:
    own, other = _auroc(size, ours), _auroc(size, theirs)
    return judged(f"{name} · held-out AUROC", own, "AUROC", f"≥ theirs - .001 ({other:.4f})", own >= other - OWN,
                  results, peers.SCIKIT_LEARN, {"theirs": other})  # fmt: skip


def _auroc(size: str, found: Any) -> float:
    _, held = labelled.two(size)
    return auroc(found["scores"], held.labels == 1)


def _read(results: Results, case: str, setting: str, worker: str) -> dict[str, Any]:
    with np.load(results.folder / f"{case}-{setting}-{worker}.npz") as held:
        return {name: held[name] for name in held.files}
