"""The lines as a page for people: docs/results/models.md."""

from collections.abc import Sequence
from typing import Any

from pages import machine, plain, table

from models import peers
from models.driver import LONG_ROUNDS, REPEATS, ROUNDS, Results
from models.lines import Line
from models.names import SEED

PAGE = peers.ROOT / "docs" / "results" / "models.md"


def write(results: Results, found: Sequence[Line]) -> None:
    """Write the page."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(results, found))


def page(results: Results, found: Sequence[Line]) -> str:
    """The whole page."""
    parts = [_head(results), _figures(found, results), _bars(found), _probes(found), _gradients(found), _reasons(found)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(results: Results) -> list[str]:
    hello = next(iter(results.hellos.values()), {"versions": {}})
    versions = ", ".join(f"{name} {version}" for name, version in hello["versions"].items())
    workers = ", ".join(f"{name} {told['version']}" for name, told in results.hellos.items() if name != "raw_hooks")
    return [
        "# Reaching inside a model, beside its peers",
        "",
        f"Made by `make bench-env` and `make bench ROOM=models`. {machine()}; {versions}; {workers}. Seed {SEED}.",
        "",
        "GPT-2 and Llama from transformers' configs: 12 layers, d = 128, 4 heads (Llama 2 key-value heads), random "
        "weights, 32 tokens, batch 1, fp32, sdpa, one thread. A ratio is over the untouched forward of the same "
        f"process, in which bare and case alternate; medians of {ROUNDS} rounds of {REPEATS} pairs ({LONG_ROUNDS} of "
        "the sweep) in processor time, all workers in turn in each round. `raw_hooks` is torch's hooks written by "
        "hand; its `idle` is the noise of this bench. Absolute times are left out: only ratios of one run mean "
        "anything here.",
    ]


def _figures(found: Sequence[Line], results: Results) -> list[str]:
    workers = [peer.name for peer in peers.WORKERS if peer.name not in results.absent]
    table: dict[str, dict[str, str]] = {}
    for line in found:
        case, _, worker = line["name"].partition(" · ")
        if worker or line["bar"] != "–":
            table.setdefault(case, {})[worker or peers.OURS.name] = _shown(line)
    rows = [(case, *(cells.get(worker, "–") for worker in workers)) for case, cells in table.items()]
    about = (
        "`≠` marks what did not come back bitwise (of patterns and gradients: true); `–` what a peer has no way to do."
    )
    return ["## Figures", "", about, "", *table(("case", *workers), rows)]


def _shown(line: Line) -> str:
    if line["value"] is None:
        return "error" if "error" in line["detail"] else "–"
    detail, unit = line["detail"], line["unit"]
    wrong = detail.get("bitwise") is False or detail.get("logits_bitwise") is False
    value = detail.get("over_bare", line["value"])
    sign = "×" if unit.startswith("×") else " %" if unit.startswith("%") else " s" if unit == "s" else ""
    places = 0 if value >= 100 else 1 if unit.startswith("%") else 3
    return f"{value:.{places}f}{sign}{' ≠' if wrong else ''}"


def _bars(found: Sequence[Line]) -> list[str]:
    rows = [
        (
            line["name"],
            plain(line["value"]),
            line["unit"],
            line["bar"],
            line["peer"],
            "ok" if line["ok"] else "**missed**",
        )
        for line in found
        if line["bar"] != "–"
    ]
    return ["## Bars", "", *table(("case", "figure", "", "asked", "best peer", ""), rows)]


def _probes(found: Sequence[Line]) -> list[str]:
    told = [line for line in found if line["name"].startswith("silent_failures") and line["value"] is not None]
    if not told:
        return []
    names = list(told[0]["detail"])
    rows = [(_worker(line), *(_verdict(line["detail"].get(name)) for name in names)) for line in told]
    about = "loud: it raised; right: the true value; silent: wrong or nothing, no word; –: not in its interface."
    return ["## Silent failures", "", about, "", *table(("", *(name.replace("_", " ") for name in names)), rows)]


def _verdict(probe: Any) -> str:
    if not isinstance(probe, dict) or "verdict" not in probe:
        return "–"
    return {"none": "–", "silent": "**silent**"}.get(probe["verdict"], probe["verdict"])


def _gradients(found: Sequence[Line]) -> list[str]:
    rows = []
    for line in found:
        if line["name"].startswith("grads_under_checkpointing") and line["value"] is not None:
            model = line["name"].split()[1]
            for when in ("inside", "after"):
                if isinstance(told := line["detail"].get(when), dict):
                    rows.append((_worker(line), model, when, *(_error(value) for value in told.values())))
    about = (
        "Layer 3's attention output is halved; relative error of layer 3's up-projection gradient against hooks by "
        "hand without checkpointing. Backward runs inside the peer's context, or after it."
    )
    heads = ("", "model", "backward", "no checkpointing", "non-reentrant", "reentrant")
    return ["## Gradients under checkpointing", "", about, "", *table(heads, rows)] if rows else []


def _error(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2g}"


def _reasons(found: Sequence[Line]) -> list[str]:
    rows: dict[tuple[str, str], list[str]] = {}
    for line in found:
        why = next((line["detail"][key] for key in ("error", "unsupported", "reason") if key in line["detail"]), None)
        if why is not None:
            worker = line["detail"].get("worker", _worker(line))
            rows.setdefault((worker, why), []).append(line["name"].partition(" · ")[0])
    told = [(worker, ", ".join(cases), why) for (worker, why), cases in rows.items()]
    return ["## Without a figure", "", *table(("", "case", "why"), told)] if told else []


def _worker(line: Line) -> str:
    return line["name"].partition(" · ")[2] or peers.OURS.name
