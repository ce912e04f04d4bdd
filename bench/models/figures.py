"""One answer → one figure: what a line's value is, whether what came back was true, and what is said beside it."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models.driver import Answer

Said = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A value with its unit, whether the answer behind it is exact, and details for the line."""

    value: float
    unit: str
    exact: bool
    detail: Said


def figure(case: str, answer: Answer) -> Figure:
    """The figure of one worker's answer to one case."""
    return READ.get(case, _ratio)(answer)


def tenth(values: Sequence[float]) -> float:
    """The value that a tenth of them are below: what the machine does when nobody disturbs it."""
    return sorted(values)[len(values) // 10]


def _ratio(answer: Answer) -> Figure:
    pairs = [case / bare for case, bare in zip(answer.case, answer.bare, strict=True)]
    detail = answer.detail | {"of_p10s": round(tenth(answer.case) / tenth(answer.bare), 4), "pairs": len(pairs)}
    return Figure(round(statistics.median(pairs), 4), "× bare forward", bool(answer.detail.get("bitwise")), detail)


def _patterns(answer: Answer) -> Figure:
    told = _ratio(answer)
    drift = answer.detail["same_stream"]
    exact = answer.detail["logits_bitwise"] and drift is not None and drift <= 1e-6
    return Figure(told.value, told.unit, exact, told.detail)


def _gradients(answer: Answer) -> Figure:
    """The worst relative error. Exact: one way is right for every kind of checkpointing, none is silently wrong."""
    ways = [list(when.values()) for when in answer.detail.values()]
    silent = [error for way in ways for error in way if isinstance(error, float)]
    right = any(error == 0.0 for error in silent) and any(way == [0.0] * len(way) for way in ways)
    return Figure(max(silent, default=1.0), "worst relative error", right and not any(silent), answer.detail)


def _silent(answer: Answer) -> Figure:
    """The share of probes that are loud or right, of those that the interface allows."""
    verdicts = [probe["verdict"] for probe in answer.detail.values() if probe["verdict"] != "none"]
    good = sum(verdict in ("loud", "right") for verdict in verdicts)
    share = good / len(verdicts) if verdicts else 0.0
    return Figure(round(100 * share, 1), "% loud or right", share == 1.0, answer.detail)


def _sharded(answer: Answer) -> Figure:
    parts = {name: told for name, told in answer.detail.items() if isinstance(told, dict)}
    good = sum(told["equal"] for told in parts.values())
    share = good / len(parts) if parts else 0.0
    return Figure(round(100 * share, 1), "% of values whole and true", share == 1.0, answer.detail)


def _imports(answer: Answer) -> Figure:
    return Figure(round(answer.detail["seconds"], 3), "s", answer.detail["loads"] == "[]", answer.detail)


READ: dict[str, Callable[[Answer], Figure]] = {
    "attention_patterns_12": _patterns,
    "grads_under_checkpointing": _gradients,
    "silent_failures": _silent,
    "sharded_truth": _sharded,
    "import_seconds": _imports,
}
