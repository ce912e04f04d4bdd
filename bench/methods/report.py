"""The lines as a page for people: docs/results/methods.md."""

from collections.abc import Sequence

from models.peers import ROOT
from pages import machine, short, table

from methods import copying, hooked, labelled, lensed, subjects
from methods.driver import ROUNDS, Results
from methods.lines import Line

_WHY = ("reason", "error", "unsupported")
PAGE = ROOT / "docs" / "results" / "methods.md"


def write(results: Results, found: Sequence[Line]) -> None:
    """Write the page."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(results, found))


def page(results: Results, found: Sequence[Line]) -> str:
    """The whole page."""
    parts = [_head(results), _bars(found), _figures(found)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(results: Results) -> list[str]:
    versions = ", ".join(f"{name} {told.get('version')}" for name, told in results.hellos.items())
    return [
        "# Methods, beside their peers",
        "",
        f"Made by `make bench-env` and `make bench ROOM=methods`. {machine()}; {versions}. One thread; medians of "
        f"{ROUNDS} rounds of all workers in turn, in processor time; peak memory is resident memory above what was "
        "there, of one call by itself.",
        "",
        f"Graphs: a GPT-2-like transformer of {subjects.LAYERS} layers, {subjects.DIM} dimensions, random weights, a "
        f"transcoder of {subjects.FEATURES} features a layer, about four thousand of them active; both sides get the "
        "same numbers. circuit-tracer stands there as shipped, with batches of 512, and with those that are its "
        "fastest here. Integrated gradients: a perceptron with two hidden layers of GELU.",
        "",
        f"Probes and LEACE: Gaussian classes in correlated dimensions, float64, seed {labelled.SEED}; functions of "
        "arrays on both sides. A probe after LEACE is fitted on the examples that the eraser was fitted on, of which "
        "the theorem speaks.",
        "",
        f"Edges, in float64: two programs of Tracr (inputs of seeds {_seeds('tracr reverse')}), a transformer trained "
        f"to have a circuit (SIIT; seeds {_seeds('siit')}), and a GPT-2 of {subjects.LAYERS} layers trained for a "
        f"minute to say a sequence again (seed {copying.SEED}; right {_right(results)} of what comes again), pairs "
        "that differ in one token. Exact scores are the product's: circuitkit's own `exact` raises (its error is in "
        "the table below). It gets a Tracr model with a second head that is all 0, as it fails on one head alone. "
        "RelP is beside nobody's: circuitkit has it for nodes only.",
        "",
        f"Tuned lenses: of the same GPT-2, {lensed.STEPS} steps on batches of {lensed.ROWS} sequences (seed "
        f"{lensed.SEED}), the same for both; KL by one code for all, on batches that no lens was fitted on. `adam`: "
        f"its Adam at its rate, {lensed.RATE:g}. `as shipped`: SGD with momentum in bfloat16, its default. The product "
        "stands beside both as it is shipped, with Adam from 1 / dim on; its time includes its own measurement of "
        "what was held out.",
    ]


def _seeds(name: str) -> str:
    return " and ".join(map(str, hooked.SEEDS[name]))


def _right(results: Results) -> str:
    right = results.prepared.get("right_again")
    return f"{right:.0%}" if isinstance(right, float) else "an unknown share"


def _bars(found: Sequence[Line]) -> list[str]:
    rows = [
        (each["name"], short(each["value"]), each["unit"], each["bar"], "ok" if each["ok"] else "**missed**")
        for each in found
        if each["ok"] is not None
    ]
    return ["## Bars", "", *table(("", "figure", "", "asked", ""), rows)]


def _figures(found: Sequence[Line]) -> list[str]:
    rows = [
        (each["name"], short(each["value"]), each["unit"], next(filter(None, map(each["detail"].get, _WHY)), ""))
        for each in found
        if each["ok"] is None
    ]
    return ["## Everybody's figures", "", *table(("", "figure", "", "why there is none"), rows)]
