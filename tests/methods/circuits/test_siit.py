"""G15: a model trained so that its circuit is known, as InterpBench's are."""

from typing import Any

import jax
import jax.numpy as jnp
import siit_model
import torch
import tracr_models
from frameworks import Engine, engine, engines

from darklantern import models
from darklantern.methods.circuits.contrasts import Contrast
from darklantern.methods.circuits.scoring import edge_scores
from darklantern.methods.circuits.selecting import select
from darklantern.models.edits import take
from darklantern.models.opened import Model

__all__ = ["engine"]
CIRCUIT = ["layers.0.mlp:out", "layers.1.attn:z[head=0]"]
OTHERS = ["layers.0.attn:z", "layers.1.attn:z[head=1]", "layers.1.mlp:out"]


def opened(engine: Engine) -> Model:
    held, read = siit_model.trained()
    shape = (siit_model.LAYERS, siit_model.HEADS, True)
    if engine.name == "torch":
        return models.open(tracr_models.Compiled(held, read, *shape))

    def call(weights: Any, tokens: Any) -> Any:
        return tracr_models.function(weights, tokens, read, *shape)

    return models.open(call, weights=jax.tree.map(jnp.array, held), example=engine.array(siit_model.tokens(4, 0)))


@engines("torch", "functions")
def test_g15_scores_find_the_circuit_that_was_trained_in(engine: Engine) -> None:
    model = opened(engine)
    clean, corrupt = (engine.array(siit_model.tokens(256, seed)) for seed in (100, 101))
    here, there = engine.numbers(model.run(clean)), model.record(corrupt, *OTHERS, *CIRCUIT)

    # 1. It computes the share, and what is not of the circuit does not matter.
    true = siit_model.share(torch.from_numpy(siit_model.tokens(256, 100))).numpy()
    told = siit_model.answers(true[..., None])
    assert (siit_model.answers(here) == told).mean() > 0.99
    without = engine.numbers(model.run(clean, {site: take(there) for site in OTHERS}))
    assert (siit_model.answers(without) != siit_model.answers(here)).mean() <= 0.01
    for site in CIRCUIT:
        exchanged = engine.numbers(model.run(clean, {site: take(there)}))
        assert (siit_model.answers(exchanged) != siit_model.answers(engine.numbers(there.output))).mean() <= 0.01

    # 2. Scores tell the circuit's edges from all others.
    toward = here - engine.numbers(there.output)
    toward = engine.array(toward / (toward**2).sum())
    data = Contrast(clean, corrupt, lambda output: (output * toward).sum())
    with engine.differentiating():
        scored = {how: edge_scores(model, data, how) for how in ("exact", "eap-ig", "relp")}
    assert scored["exact"].auroc(siit_model.TRUE) >= 0.98
    assert scored["eap-ig"].auroc(siit_model.TRUE) >= 0.95
    for how in ("exact", "eap-ig"):
        assert set(select(scored[how], 3).edges) == set(siit_model.TRUE)
