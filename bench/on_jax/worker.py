"""One subject in a process of its own: every case beside the bare run, in turn, in processor time; one JSON line.

python -m on_jax.worker linen
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax

import darklantern as dl
from on_jax.cases import OUTS, Case, bare, ours, theirs
from on_jax.names import OWN
from on_jax.sizes import USUAL, ids
from on_jax.subjects import SUBJECTS

ROUNDS, PAIRS, WARM, COMPILED = 8, 12, 3, 3


def main(name: str) -> dict[str, Any]:
    """All that is measured of a subject."""
    subject = SUBJECTS[name](USUAL)
    plain, cases = bare(subject), ours(subject)
    detail = {case: {"off": each.off(each.run())} for case, each in cases.items()}
    cases["noise"] = Case(bare(subject), lambda _: 0.0)
    if (capture := theirs(subject)) is not None:
        cases[OWN] = capture
    timed = alternated(plain, cases)
    return {
        "bare_ms": round(statistics.median(timed["bare"]) * 1e3, 3),
        "ratios": {case: timed[case] for case in cases},
        "detail": detail,
        "capture": subject.capture,
        "compile": compiled(name),
        "versions": {each: version(each) for each in ("jax", "flax", "equinox", "dm-haiku", "numpy", "darklantern")},
    }


def alternated(plain: Callable[[], Any], cases: dict[str, Case]) -> dict[str, list[float]]:
    """For each case, of each pair its time over the bare run's; the bare times beside them."""
    for _ in range(WARM):
        plain()
        for case in cases.values():
            case.run()
    gc.collect()
    gc.disable()
    found: dict[str, list[float]] = {case: [] for case in ("bare", *cases)}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            for pair in range(PAIRS):
                # Who goes first changes from pair to pair: the second of two finds warmer caches.
                sides = (plain, case.run) if pair % 2 == 0 else (case.run, plain)
                times = {side: seconds(side) for side in sides}
                found[name].append(times[case.run] / times[plain])
                found["bare"].append(times[plain])
    return found


def seconds(call: Callable[[], Any]) -> float:
    """Processor time of this process, its threads' too: other jobs on the machine do not count."""
    start = time.process_time()
    call()
    return time.process_time() - start


def compiled(name: str) -> dict[str, float]:
    """Cold, from a model to the first numbers: the plain jit, and the product's first recording of twelve blocks."""
    plain, recorded = [], []
    for _ in range(COMPILED):
        subject = SUBJECTS[name](USUAL)
        jax.clear_caches()
        plain.append(seconds(lambda: jax.block_until_ready(jax.jit(subject.apply)(subject.state, ids()))))  # noqa: B023
        jax.clear_caches()
        recorded.append(
            seconds(lambda: dl.open(subject.module, weights=subject.weights, call=subject.call).record(ids(), OUTS))  # noqa: B023
        )
    return {"plain_s": statistics.median(plain), "recorded_s": statistics.median(recorded)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
