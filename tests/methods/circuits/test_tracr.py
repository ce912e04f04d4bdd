"""G13 and G14: the edges of programs that Tracr compiled, under resample ablation."""

from typing import Any

import numpy as np
import pytest
import tracr_models
from frameworks import Engine, Numbers, engine, engines

from darklantern.methods.circuits.contrasts import Contrast
from darklantern.methods.circuits.scoring import edge_scores
from darklantern.methods.circuits.selecting import select
from darklantern.models.opened import Model

__all__ = ["engine"]
REVERSE = [("embed", "layers.3.attn:v[head=0]"), ("layers.3.attn:result[head=0]", "logits")]
XPROPORTION = [
    ("embed", "layers.0.mlp:in"), ("layers.0.mlp:out", "layers.1.attn:v[head=0]"),
    ("layers.1.attn:result[head=0]", "logits"),
]  # fmt: skip


def prompts(compiled: Any, letters: str, count: int, seed: int) -> tuple[list[list[str]], Numbers]:
    rng = np.random.default_rng(seed)
    texts = [["BOS", *rng.choice(list(letters), 5)] for _ in range(count)]
    return texts, np.array([compiled.input_encoder.encode(text) for text in texts])


def contrast(engine: Engine, model: Model, clean: Numbers, corrupt: Numbers) -> Contrast:
    """How much of what the program says of clean inputs, and not of corrupt ones, it says."""
    there, other = (engine.numbers(model.run(engine.array(each))) for each in (clean, corrupt))
    toward = (there - other)[:, 1:]  # what it says of BOS means nothing
    toward = engine.array(toward / (toward**2).sum())

    def said(output: Any) -> Any:
        return (output[:, 1:] * toward).sum()

    return Contrast(engine.array(clean), engine.array(corrupt), said)


@engines("torch", "functions")
@pytest.mark.parametrize(
    ("name", "letters", "true"), [("reverse", "abcd", REVERSE), ("xproportion", "wxyz", XPROPORTION)]
)
def test_g13_g14_the_edges_are_those_of_the_program(engine: Engine, name: str, letters: str, true: Any) -> None:
    compiled = getattr(tracr_models, name)()
    (texts, clean), (_, corrupt) = (prompts(compiled, letters, 8, seed) for seed in (0, 1))
    model = tracr_models.opened(engine, compiled, clean)
    found = engine.numbers(model.run(engine.array(clean)))
    for text, stream in zip(texts, found, strict=True):
        theirs = tracr_models.applied(compiled, text) @ tracr_models.read(compiled)
        np.testing.assert_allclose(stream, theirs, atol=1e-4)
    data = contrast(engine, model, clean, corrupt)
    with engine.differentiating():
        scored = {how: edge_scores(model, data, how) for how in ("exact", "eap", "eap-ig", "relp", "ensemble")}
    for scores in scored.values():
        assert scores.auroc(true) == scores.average_precision(true) == 1
    assert set(select(scored["eap-ig"], len(true)).edges) == set(true)
    for edge in true:
        assert scored["exact"][edge] == pytest.approx(1, abs=1e-6)  # each is on the only way
