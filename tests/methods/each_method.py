"""A call of each method, and all numbers that come of it, to be held against those of another model."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern import methods
from darklantern.models.opened import Model

Numbers = NDArray[Any]
LAYERS, TOKENS, WIDTH = 2, 7, 32
FIT, CHECK, CONTRAST = 40, 24, 4
STREAM, HEAD = "layers.*:out", "layers.*.attn:z[head=*]"


def tokens(count: int, seed: int) -> Numbers:
    return np.random.default_rng(seed).integers(0, 50, (count, TOKENS))


def logits(output: Any) -> Any:
    return getattr(output, "logits", output)[:, -1]


def metric(output: Any) -> Any:
    return (logits(output)[:, 3] - logits(output)[:, 5]).mean()


def likelier(output: Any) -> Any:
    return logits(output)[:, 3] > logits(output)[:, 5]


def other(done: Any, answer: Any, else_: Any) -> Any:
    return else_


def transcoder(layer: int) -> methods.Transcoder:
    rng = np.random.default_rng(layer)
    enc, dec = rng.normal(size=(2, 24, WIDTH)) / 8
    return methods.Transcoder(enc, rng.normal(size=24) / 8, dec, np.zeros(WIDTH))


class Methods:
    """One way to call each method, on any model of two layers; a case's name is its method's."""

    def __init__(self, earlier: Model, array: Callable[[Numbers], Any]) -> None:
        self.earlier, self.array = earlier, array
        self.clean, self.corrupt = (array(tokens(CONTRAST, seed)) for seed in (1, 2))
        fit, check = tokens(FIT, 3), tokens(CHECK, 4)
        self.kinds, self.true = (each[:, -1] > 24 for each in (fit, check))
        self.positive, self.negative = array(fit[self.kinds]), array(fit[~self.kinds])
        self.fit, self.check = array(fit), array(check)
        self.contrast = methods.Contrast(self.clean, self.corrupt, metric)

    def direction(self, model: Model) -> list[methods.Result]:
        site, ways = "layers.1:out[pos=-1]", ("means", "lda", "logistic")
        return [methods.direction(model, self.positive, self.negative, site, way) for way in ways]

    def directions(self, model: Model) -> list[methods.Result]:
        return [methods.directions(model, self.positive, self.negative, "layers.*:out[pos=-1]")]

    def leace(self, model: Model) -> list[methods.Result]:
        return [methods.leace(model, self.fit, list(self.kinds), "layers.1:out[pos=-1]")]

    def lens(self, model: Model) -> list[methods.Result]:
        return [methods.lens(model, self.clean)]

    def fit_lens(self, model: Model) -> list[methods.Result]:
        batches = [self.fit[:8], self.fit[8:16], self.fit[16:24]]
        tuned = methods.fit_lens(model, batches, steps=6)
        return [tuned, methods.lens(model, self.clean, tuned), methods.fit_lens(model, batches, "jacobian", probes=2)]

    def attribute(self, model: Model) -> list[methods.Result]:
        ways = ("patching", "relp", "ig")
        found = [methods.attribute(model, self.clean, self.corrupt, HEAD, metric, way, steps=4) for way in ways]
        gradient = methods.attribute(model, self.clean, None, "embed:out[pos=*]", metric, "gradient")
        return [*found, gradient, found[1].verify(6)]

    def sweep(self, model: Model) -> list[methods.Result]:
        return [
            methods.sweep(model, self.clean, self.corrupt, sites, metric, at_once=at_once)
            for sites in ([STREAM], [HEAD])
            for at_once in (2, 5)
        ]

    def ablate(self, model: Model) -> list[methods.Result]:
        sites = "layers.*.mlp:out"
        return [
            methods.ablate(model, self.clean, sites, metric),
            methods.ablate(model, self.clean, sites, metric, "mean", reference=self.fit),
            methods.ablate(model, self.clean, sites, metric, "resample", reference=self.fit, draws=2),
        ]

    def path_patch(self, model: Model) -> list[methods.Result]:
        senders, receivers = ["embed", "layers.0.attn:result"], ["layers.1.attn:{q,k,v}[head=0]", "logits"]
        return [methods.path_patch(model, self.clean, self.corrupt, senders, receivers, metric)]

    def circuits(self, model: Model) -> list[methods.Result]:
        found = [methods.edge_scores(model, self.contrast, way) for way in ("eap", "eap-ig", "relp", "exact")]
        circuit = methods.select(found[1], 12)
        curve = methods.evaluate(model, found[1], self.contrast, fractions=(0.1, 0.5, 1))
        return [*found, circuit, curve, methods.faithfulness(model, circuit, self.contrast)]

    def minimal(self, model: Model) -> list[methods.Result]:
        scores = methods.edge_scores(model, self.contrast, "eap-ig")
        return [methods.minimal(model, scores, self.contrast, faithfulness=0.2)]

    def attribution_graph(self, model: Model) -> list[methods.Result]:
        coders = [transcoder(layer) for layer in range(LAYERS)]
        return [methods.attribution_graph(model, self.clean[:1], coders, [3, 5], how=how) for how in ("adjoint", "vjp")]

    def label(self, model: Model) -> list[methods.Result]:
        return [methods.label(model, self.fit, "layers.1.mlp:neurons[neuron=7]", text=str)]

    def ask(self, model: Model) -> list[methods.Result]:
        question = methods.Question("Is the last token large?", "layers.1:out[pos=-1]", other, likelier)
        given = (self.fit, self.kinds, self.check)
        return [methods.ask(model, question, *given, truth=self.true, how="means", partners=2, prompt=False)]

    def read_out(self, model: Model) -> list[methods.Result]:
        return [
            methods.read_out(model, self.check, "layers.1:out[pos=-1]", self.clean[:1], "layers.1:out[pos=2]", [3, 5])
        ]

    def train_reader(self, model: Model) -> list[methods.Result]:
        labels, truth = {"large": self.kinds}, {"large": self.true}
        return [methods.train_reader(model, "layers.1:out[pos=-1]", self.fit, labels, self.check, truth, steps=20)]

    def diff(self, model: Model) -> list[methods.Result]:
        return [methods.diff(self.earlier, model, self.fit)]


def shown(found: list[methods.Result]) -> list[tuple[str, float]]:
    """All numbers of results, by name: figures and tables."""
    told: list[tuple[str, float]] = []
    for turn, each in enumerate(found):
        told += [(f"{turn} {figure.name}", figure.value) for figure in each.figures]
        for grid in each.grids:
            names = [f"{turn} {grid.name} {row} {column}" for row in grid.rows for column in grid.columns]
            told += zip(names, np.ravel(grid.values).tolist(), strict=True)
    return sorted(told)


def agree(found: list[methods.Result], true: list[methods.Result]) -> None:
    """Raises AssertionError for numbers further apart than float32 allows, other names, and another provenance."""
    ours, theirs = shown(found), shown(true)
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    assert found[0].evidence().provenance == true[0].evidence().provenance
    for (name, here), (_, there) in zip(ours, theirs, strict=True):
        off = abs(here - there) / (1 + abs(there)) if here == here or there == there else 0.0
        assert off <= 2e-4, f"{name}: {here}, of a whole model {there}"


WHOLE = {"label_each", "linearise", "load_circuit", "pair_spans", "patch", "trigger_circuit"}
"""what others of the cases do for them, and what reads text or the watch's own model alone"""
CASES = [name for name in vars(Methods) if not name.startswith("_")]
