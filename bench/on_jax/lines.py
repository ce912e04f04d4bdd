"""What the workers said → JSON lines, each of the product beside its bar."""

import statistics
from collections.abc import Iterator
from typing import Any

from on_jax.driver import Results
from on_jax.names import CALLED, CASES, OWN, SUBJECTS

Line = dict[str, Any]
TOLERANCE = 1e-5
BARS = {
    "idle": 1.02,
    "capture_12_blocks": 1.02,
    "steering": 1.02,
    "stop_after_block_1": 0.25,
    "start_at_block_9": 0.35,
}
MEMORY = 0.25


def lines(results: Results) -> list[Line]:
    """One for each case and subject, then memory, compilation and silent failures."""
    return [*_noise(results), *_timed(results), *_memory(results), *_compiled(results), _silent(results)]


def ratio(values: list[float]) -> float:
    return round(statistics.median(values), 4)


def _noise(results: Results) -> Iterator[Line]:
    for name, told in results.subjects.items():
        if "error" not in told:
            yield _line(f"noise {name}", ratio(told["ratios"]["noise"]), "× its jit", None, "–", None, {})


def _timed(results: Results) -> Iterator[Line]:
    for case in CASES:
        for name in SUBJECTS:
            told = results.subjects[name]
            most = BARS.get(case, float("inf"))
            says = f"≤ {most}, true within {TOLERANCE:g}" if case in BARS else f"true within {TOLERANCE:g}"
            if "error" in told:
                yield _line(f"{case} {name}", None, "", None, says, False, told)
                continue
            value, off = ratio(told["ratios"][case]), told["detail"][case]["off"]
            peer = told["capture"] if case == "capture_12_blocks" and OWN in told["ratios"] else None
            detail = {"off": off, "bare_ms": told["bare_ms"], "pairs": len(told["ratios"][case])}
            detail["quartiles"] = [round(each, 4) for each in statistics.quantiles(told["ratios"][case], n=4)]
            ok = value <= most and off <= TOLERANCE
            yield _line(f"{case} {name}", value, "× its jit", peer, says, ok, detail)
            if (called := CALLED.format(case)) in told["ratios"]:
                more, off = told["ratios"][called], told["detail"][called]["off"]
                added = round((statistics.median(more) - 1) * told["bare_ms"] * 1e3)
                ok = off <= TOLERANCE
                says = f"true within {TOLERANCE:g}"
                detail = {"off": off, "added_us": added}
                yield _line(f"{called} {name}", ratio(more), "× its jit", None, says, ok, detail)
            if peer:
                own = ratio(told["ratios"][OWN])
                yield _line(f"{case} {name} · {peer}", own, "× its jit", peer, "–", None, {})


def _memory(results: Results) -> Iterator[Line]:
    if "error" in results.memory:
        yield _line("memory_2_of_64", None, "", None, f"≤ {MEMORY}", False, results.memory)
        return
    for name, told in results.memory.items():
        value = round(told["two"] / told["all"], 4)
        yield _line(f"memory_2_of_64 {name}", value, "× all 64", None, f"≤ {MEMORY}", value <= MEMORY, told)


def _compiled(results: Results) -> Iterator[Line]:
    for name, told in results.subjects.items():
        if "error" not in told:
            cold = told["compile"]
            value = round(cold["recorded_s"] / cold["plain_s"], 3)
            yield _line(f"first_recording {name}", value, "× its first run", None, "–", None, cold)


def _silent(results: Results) -> Line:
    told = results.silent
    if "error" in told:
        return _line("silent_failures", None, "", None, "100, loud or right", False, told)
    good = sum(verdict in ("loud", "right") for verdict in told.values())
    share = round(100 * good / len(told), 1)
    detail = {kind: sorted(site for site, verdict in told.items() if verdict == kind) for kind in set(told.values())}
    return _line("silent_failures", share, "% loud or right", None, "100, loud or right", share == 100.0, detail)


def _line(name: str, value: Any, unit: str, peer: str | None, bar: str, ok: bool | None, detail: Line) -> Line:
    return {
        "room": "jax",
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_version": None,
        "bar": bar,
        "ok": ok,
        "detail": detail,
    }
