"""Results → JSON lines: the product against its bar, then every peer's figure, which is not judged (`ok` is null)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from models import peers
from models.driver import Answer, Results
from models.figures import Figure, figure
from models.names import ONCE

Line = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """What the product must reach: at most (or at least) a number, and what it gives must be exact."""

    limit: float
    says: str
    at_least: bool = False

    def holds(self, told: Figure) -> bool:
        return told.exact and (told.value >= self.limit if self.at_least else told.value <= self.limit)


SWEEP_PEER = "transformer_lens"
BARS = {
    "idle": Bar(1.005, "≤ 1.005, output bitwise equal"),
    "capture_12_blocks": Bar(1.03, "≤ 1.03, values bitwise equal"),
    "stop_after_block_1": Bar(0.25, "≤ 0.25, value bitwise equal"),
    "start_at_block_9": Bar(0.35, "≤ 0.35, torch.equal to the full run"),
    "attention_patterns_12": Bar(1.2, "≤ 1.2, logits bitwise equal, patterns ≤ 1e-6 of eager"),
    "patch_sweep": Bar(2.5, "≥ 2.5, effects bitwise those of one whole run a cell", at_least=True),
    "grads_under_checkpointing": Bar(0.0, "0, both variants"),
    "silent_failures": Bar(100.0, "100, loud or right", at_least=True),
    "sharded_truth": Bar(100.0, "100, every value equal to one process", at_least=True),
    "import_seconds": Bar(0.15, "≤ 0.15, neither torch nor jax"),
}


def lines(results: Results) -> list[Line]:
    """One line for the product in each case and model, one for each worker beside it, one for each that is absent."""
    absent = [
        _line(f"{name} is absent", None, "", None, None, "–", None, {"reason": why, "worker": name})
        for name, why in results.absent.items()
    ]
    found = []
    for case, model in dict.fromkeys((case, model) for case, model, _ in results.answers):
        found += list(_of_case(results, case, model))
    return [*found, *absent]


def _of_case(results: Results, case: str, model: str) -> Iterator[Line]:
    name = case if case in ONCE else f"{case} {model}"
    told = {
        peer.name: _told(results, case, model, peer.name) for peer in peers.WORKERS if peer.name not in results.absent
    }
    yield _ours(name, case, told, results)
    for worker, answered in told.items():
        if worker == peers.OURS.name:
            continue
        version = results.hellos.get(worker, {}).get("version")
        if isinstance(answered, Figure):
            yield _line(
                f"{name} · {worker}", answered.value, answered.unit, worker, version, "–", None, answered.detail
            )
        else:
            yield _line(f"{name} · {worker}", None, "", worker, version, "–", None, answered)


def _ours(name: str, case: str, told: dict[str, Figure | Line], results: Results) -> Line:
    bar = BARS[case]
    rivals = {peer.name: told[peer.name] for peer in peers.PEERS if isinstance(told.get(peer.name), Figure)}
    best = (max if bar.at_least and case != "patch_sweep" else min)(rivals, key=lambda n: rivals[n].value, default=None)
    rival = SWEEP_PEER if case == "patch_sweep" else best
    version = results.hellos.get(rival, {}).get("version") if rival else None
    ours = told.get(peers.OURS.name, {"reason": results.absent.get(peers.OURS.name, "not asked")})
    if not isinstance(ours, Figure):
        return _line(name, None, "", rival, version, bar.says, False, ours)
    detail = ours.detail | {"peers": {peer: rival_told.value for peer, rival_told in rivals.items()}}
    if case == "patch_sweep":
        if SWEEP_PEER not in rivals:
            return _line(
                name, None, "", None, None, bar.says, False, detail | {"reason": f"{SWEEP_PEER} gave no figure"}
            )
        faster = round(rivals[SWEEP_PEER].value / ours.value, 3)
        ours = replace(ours, value=faster, unit=f"× faster than {SWEEP_PEER}")
        over_best = rivals[best].value / told[peers.OURS.name].value
        detail |= {"over_bare": told[peers.OURS.name].value, "faster_than": {best: round(over_best, 3)}}
    return _line(name, ours.value, ours.unit, rival, version, bar.says, bar.holds(ours), detail)


def _told(results: Results, case: str, model: str, worker: str) -> Figure | Line:
    answer = results.answers.get((case, model, worker), Answer(error="not asked"))
    if answer.error:
        return {"error": answer.error}
    if answer.unsupported:
        return {"unsupported": answer.unsupported}
    try:
        if case == "patch_sweep":
            answer.detail |= _beside_the_truth(results, model, worker)
        return figure(case, answer)
    except Exception as error:  # noqa: BLE001 - an answer that cannot be read is a line, not the end of the bench
        return {"error": f"the answer could not be read: {type(error).__name__}: {error}"}


def _beside_the_truth(results: Results, model: str, worker: str) -> dict[str, Any]:
    """A sweep's effects held against those of hooks by hand, one whole run a cell."""
    import numpy as np

    effects, truth = (np.load(results.sweeps / f"sweep-{model}-{name}.npy") for name in (worker, peers.RAW.name))
    return {
        "bitwise": bool(np.array_equal(effects, truth)),
        "difference": float(np.abs(effects - truth).max()) if effects.shape == truth.shape else None,
    }


def _line(
    name: str, value: Any, unit: str, peer: str | None, version: str | None, bar: str, ok: bool | None, detail: Line
) -> Line:
    return {
        "room": "models",
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_version": version,
        "bar": bar,
        "ok": ok,
        "detail": detail,
    }
