"""Edge scores beside circuitkit: against the known circuit, and against patching each edge in a run of its own."""

import json
from collections.abc import Iterator
from statistics import median

import numpy as np

from darklantern.methods.circuits.ranks import auroc
from methods import hooked, peers
from methods.comparing import Scores, pearson
from methods.driver import Results
from methods.judging import Line, answered, judged, line, lost

AUROC, ALIKE, OUTPUT, PERFECT = 0.95, 1e-5, 1e-6, 1 - 1e-6
FORWARD, BACKWARD = 2, 1
"""passes of attribution patching for each batch of pairs"""
CHEAP, NEAREST = ("eap", "relp"), "eap-ig-receivers"
PAIR = (peers.OURS, peers.CIRCUITKIT)


def lines(results: Results) -> Iterator[Line]:
    for model in hooked.MODELS:
        yield from _same(results, model)
        for how in CHEAP:
            yield from _circuit(results, model, how)
        yield from _exact(results, model)


def _same(results: Results, model: str) -> Iterator[Line]:
    """Whether both sides have the same model and edges: the outputs, and the score that both compute alike."""
    name = f"edge_scores · {model}"
    found = answered(results, "edges_eap", model, *PAIR)
    if not found:
        yield lost(results, name, "edges_eap", model, *PAIR)
        return
    off = found[1].detail["output_off"]
    yield judged(f"{name} · outputs of both sides' models, difference", off, "of the largest", "≤ 1e-6",
                 off <= OUTPUT, results, peers.CIRCUITKIT, {})  # fmt: skip
    ours, theirs = (_read(results, "edges_eap", model, peer.name) for peer in PAIR)
    one, two = (np.array([each[edge] for edge in ours]) for each in (ours, theirs))
    one, two = one / np.abs(one).max(), two / np.abs(two).max()  # circuitkit's is a share of its pairs
    apart = float(np.abs(one - two).max())
    yield judged(f"{name} · attribution patching on both sides, difference", apart, "of the largest", "≤ 1e-5",
                 apart <= ALIKE, results, peers.CIRCUITKIT, {"edges": len(ours)})  # fmt: skip
    ratio = round(median(found[1].case) / median(found[0].case), 2)
    yield line(f"{name} · attribution patching, faster than circuitkit", ratio, "×", peer=peers.CIRCUITKIT.name)


def _circuit(results: Results, model: str, how: str) -> Iterator[Line]:
    """How well scores tell the circuit's edges, where that is known, and what they cost."""
    name, case = f"edge_scores · {model} · {how}", f"edges_{how}"
    found = answered(results, case, model, peers.OURS)
    if not found:
        yield lost(results, name, case, model, peers.OURS)
        return
    told = found[0].detail
    within = told["forward"] <= FORWARD and told["backward"] <= BACKWARD
    yield judged(f"{name} · passes for a batch of pairs", told["forward"] + told["backward"], "passes",
                 "≤ 2 forward and 1 back", within, results, peers.CIRCUITKIT,
                 {**told, "note": "forward_once: set-up, whatever the number of batches"})  # fmt: skip
    true = json.loads((results.folder / f"{model}-true.json").read_text())
    if true:
        scores = _read(results, case, model, peers.OURS.name)
        reached = auroc(np.abs(list(scores.values())), [edge in true for edge in scores])
        yield judged(f"{name} · AUROC against the known circuit", reached, "AUROC", "≥ .95", reached >= AUROC, results,
                     peers.CIRCUITKIT, {"edges": len(scores), "true": len(true)})  # fmt: skip


def _exact(results: Results, model: str) -> Iterator[Line]:
    """How near scores come to exact ones: judged by the nearest, told of the rest with what all of them cost."""
    name = f"edge_scores · {model} · Pearson to exact"
    if not answered(results, "edges_exact", model, peers.OURS):
        yield lost(results, name, "edges_exact", model, peers.OURS)
        return
    exact = _read(results, "edges_exact", model, peers.OURS.name)
    reached = {
        how: pearson(_read(results, f"edges_{how}", model, peers.OURS.name), exact)
        for how in ("eap", "relp", "ensemble", "eap-ig", NEAREST)
        if answered(results, f"edges_{how}", model, peers.OURS)
    }
    for how in ("eap", "relp", "ensemble", "eap-ig"):
        if how in reached:
            yield line(f"{name} · {how}", reached[how], "r", peer=peers.OURS.name)
    for case, steps in (("edges_eap-ig", "5 steps as ours"), ("edges_eap-ig_as_shipped", "3 steps, as shipped")):
        if NEAREST not in reached or not answered(results, case, model, peers.CIRCUITKIT):
            yield lost(results, f"{name} · {NEAREST}", case, model, peers.CIRCUITKIT)
            continue
        theirs = pearson(_read(results, case, model, peers.CIRCUITKIT.name), exact)
        ok = reached[NEAREST] > theirs or min(reached[NEAREST], theirs) >= PERFECT
        bar = f"above EAP-IG's {theirs:.4f}, or both 1 within 1e-6"
        told = answered(results, f"edges_{NEAREST}", model, peers.OURS)[0].detail
        yield judged(f"{name} · {NEAREST}, beside circuitkit's eap-ig of {steps}", reached[NEAREST], "r", bar, ok,
                     results, peers.CIRCUITKIT, {"theirs": theirs, "edges": len(exact), "passes": told})  # fmt: skip


def _read(results: Results, case: str, model: str, worker: str) -> Scores:
    return json.loads((results.folder / f"{model}-{case}-{worker}.json").read_text())
