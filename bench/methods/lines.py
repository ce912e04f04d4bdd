"""Answers → JSON lines: the product against its bars, then every peer's figure, which is not judged (`ok` is null)."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from methods import comparing, lines_edges, lines_fitting, lines_lens, peers
from methods.driver import CASES, Results
from methods.judging import Line, judged, line, missing

MIB = 2**20
DIFFERENCE, FASTER, AGREE, COMPLETE, FLAT = 1e-5, 5.0, 1e-6, 1e-3, 1.5


def lines(results: Results) -> list[Line]:
    """Every figure of the room."""
    absent = [line(f"{name} is absent", None, "", detail={"reason": why}) for name, why in results.absent.items()]
    return [
        *_graphs(results),
        *_integrals(results),
        *lines_fitting.lines(results),
        *lines_edges.lines(results),
        *lines_lens.lines(results),
        *_theirs(results),
        *absent,
    ]


def _graphs(results: Results) -> Iterator[Line]:
    tracer = peers.CIRCUIT_TRACER.name
    for tokens in _settings("graph"):
        ours, tuned = (results.answers.get(("graph", tokens, name)) for name in (peers.OURS.name, tracer))
        shipped = results.answers.get(("graph_as_shipped", tokens, tracer))
        if ours is None or tuned is None or shipped is None or ours.over or tuned.over or shipped.over:
            yield missing(f"attribution_graph · {tokens} tokens", ours, tuned, shipped)
            continue
        difference, largest, edges = comparing.graphs(results.folder, int(tokens))
        said = {"largest_edge": largest, "edges": edges, **ours.detail}
        name = f"attribution_graph · {tokens} tokens"
        yield _judged(f"{name} · largest difference", difference, "of an edge", "≤ 1e-5", difference <= DIFFERENCE,
                      results, said)  # fmt: skip
        for beside, each in (("as shipped", shipped), ("batch of 64", tuned)):
            spent = {"seconds": round(median(ours.case), 3), "theirs": round(median(each.case), 3)}
            ratio = round(median(each.case) / median(ours.case), 2)
            what = f"{name} · faster than circuit-tracer, {beside}"
            yield _judged(what, ratio, "×", "≥ 5", ratio >= FASTER, results, spent)
            memory = ours.detail["peak_bytes"], each.detail["peak_bytes"]
            yield _judged(f"{name} · peak memory, {beside}", round(memory[0] / MIB, 1), "MiB", "no higher",
                          memory[0] <= memory[1], results, {"theirs_mib": round(memory[1] / MIB, 1)})  # fmt: skip


def _integrals(results: Results) -> Iterator[Line]:
    high: list[int] = []
    for steps in _settings("integrated"):
        ours, theirs = (results.answers.get(("integrated", steps, each.name)) for each in (peers.OURS, peers.CAPTUM))
        name = f"integrated_gradients · {steps} points"
        if ours is None or theirs is None or ours.over or theirs.over:
            yield missing(name, ours, theirs)
            continue
        high.append(ours.detail["peak_bytes"])
        apart = comparing.integrals(results.folder, int(steps))
        yield _judged(f"{name} · difference to captum", apart, "of the largest", "≤ 1e-6", apart <= AGREE, results, {})
        missed = ours.detail["completeness"]
        yield _judged(f"{name} · completeness error", missed, "of the change", "≤ 1e-3", missed <= COMPLETE, results,
                      {"captum": theirs.detail["completeness"]})  # fmt: skip
        ratio = round(median(theirs.case) / median(ours.case), 2)
        memory = {"peak_mib": round(high[-1] / MIB, 1), "theirs_mib": round(theirs.detail["peak_bytes"] / MIB, 1)}
        yield line(f"{name} · faster than captum", ratio, "×", peer=peers.CAPTUM.name, detail=memory)
    if len(high) > 1:
        grown = round(high[-1] / max(high[0], MIB), 2)
        yield _judged("integrated_gradients · peak memory, most points over fewest", grown, "×", "flat: ≤ 1.5",
                      grown <= FLAT, results, {"bytes": high})  # fmt: skip


def _theirs(results: Results) -> Iterator[Line]:
    """Seconds of everybody, as they came; what is not timed has none."""
    for (case, setting, worker), answer in results.answers.items():
        if not answer.over and not answer.case:
            continue
        value = None if answer.over else round(median(answer.case), 4)
        detail = {"error": answer.error, "unsupported": answer.unsupported} if answer.over else answer.detail
        yield line(f"{case} {setting} · {worker}", value, "s of processor time", peer=worker, detail=detail)


def _settings(case: str) -> tuple[str, ...]:
    return next(each.settings for each in CASES if each.name == case)


def _judged(name: str, value: float, unit: str, bar: str, ok: bool, results: Results, detail: dict[str, Any]) -> Line:
    peer = peers.CAPTUM if name.startswith("integrated") else peers.CIRCUIT_TRACER
    return judged(name, value, unit, bar, ok, results, peer, detail)
