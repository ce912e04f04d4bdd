"""The lines as a page for people: docs/results/jax.md."""

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from on_jax.driver import Results
from on_jax.lines import Line
from on_jax.names import CALLED, CASES, SUBJECTS

PAGE = Path(__file__).parents[2] / "docs" / "results" / "jax.md"


def write(results: Results, found: Sequence[Line]) -> None:
    """Write the page."""
    PAGE.write_text(page(results, found))


def page(results: Results, found: Sequence[Line]) -> str:
    """The whole page."""
    parts = [_head(results), _figures(found), _bars(found), _compiled(found), _traps(found), _errors(found)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(results: Results) -> list[str]:
    told = next((each for each in results.subjects.values() if "versions" in each), {"versions": {}})
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    bare = ", ".join(f"{name} {each['bare_ms']:.1f}" for name, each in results.subjects.items() if "bare_ms" in each)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        "# Reaching inside a JAX model, beside its own jit",
        "",
        f"Made by `make bench ROOM=jax`. {platform.system()} {platform.machine()}, {cores} cores; {versions}.",
        "",
        "Transformers of 12 blocks, d = 128, 4 heads, random weights, 128 tokens, batch 1, fp32, one thread. A ratio "
        "is over what `jax.jit` makes of the same model, in the same process, where bare and case alternate; medians "
        "of 8 rounds of 12 pairs, in processor time, warmed up. A case is the public interface on an opened model "
        "within a `jax.jit` of the user's own, weights and direction as its arguments; *called* is the same from a "
        "notebook, where what Python does counts, once a call whatever the model's size; a start is always called. "
        f"`noise` is the plain jit a second time. Milliseconds of the bare run: {bare}. All values are held against "
        "the bare run's, or against each other, where the model says that they are equal; another compilation may "
        "round otherwise, so to 1e-5 of the largest.",
    ]


def _figures(found: Sequence[Line]) -> list[str]:
    told = {line["name"]: line for line in found}
    cases = ["noise", *(each for case in CASES for each in (case, CALLED.format(case)))]
    rows = [(case, *(_shown(told.get(f"{case} {name}")) for name in SUBJECTS)) for case in cases]
    rows = [row for row in rows if set(row[1:]) != {"–"}]
    captures = [line for line in found if line["peer"] and line["bar"] == "–"]
    own = {line["name"].split()[1]: line for line in captures}
    rows.append(("the framework's own capture", *(_shown(own.get(name)) for name in SUBJECTS)))
    about = (
        "`≠` marks what was not true. The frameworks' own captures: linen's `capture_intermediates` of the blocks "
        "alone (under `nn.scan` it gives none of them), and `nnx.capture` of all methods, as it knows no choice; "
        "Equinox and Haiku under a scan have none."
    )
    return ["## Figures", "", about, "", *_table(("case", *SUBJECTS), rows)]


def _shown(line: Line | None) -> str:
    if line is None or line["value"] is None:
        return "–" if line is None else "error"
    added = f" ({line['detail']['added_us']:+} µs)" if "added_us" in line["detail"] else ""
    return f"{line['value']:.3f}×{added}" + (" ≠" if line["detail"].get("off", 0) > 1e-5 else "")


def _bars(found: Sequence[Line]) -> list[str]:
    rows = [
        (line["name"], _cell(line["value"]), line["unit"], line["bar"], "ok" if line["ok"] else "**missed**")
        for line in found
        if line["bar"] != "–"
    ]
    return ["## Bars", "", *_table(("case", "figure", "", "asked", ""), rows)]


def _compiled(found: Sequence[Line]) -> list[str]:
    rows = [
        (
            line["name"].split()[1],
            f"{line['detail']['plain_s']:.2f}",
            f"{line['detail']['recorded_s']:.2f}",
            f"{line['value']:.2f}×",
        )
        for line in found
        if line["name"].startswith("first_recording")
    ]
    about = (
        "Seconds of processor time until the first numbers, with nothing cached: the plain jit, and the product from "
        "`open` to twelve blocks."
    )
    return ["## The first run", "", about, "", *_table(("", "plain", "recorded", ""), rows)] if rows else []


def _traps(found: Sequence[Line]) -> list[str]:
    told = next((line for line in found if line["name"] == "silent_failures" and line["value"] is not None), None)
    if told is None:
        return []
    rows = [(kind, str(len(sites)), ", ".join(f"`{site}`" for site in sites)) for kind, sites in told["detail"].items()]
    about = (
        "Sites of the traps in tests/models/twins/traps. loud: it raised; right: the true value; silent: wrong, and no "
        "word."
    )
    return ["## Silent failures", "", about, "", *_table(("", "sites", ""), sorted(rows))]


def _errors(found: Sequence[Line]) -> list[str]:
    rows = [(line["name"], line["detail"]["error"]) for line in found if "error" in line["detail"]]
    return ["## Without a figure", "", *_table(("case", "why"), rows)] if rows else []


def _cell(value: Any) -> str:
    return "–" if value is None else str(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return [*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)]
