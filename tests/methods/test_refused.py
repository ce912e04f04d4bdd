"""What no method can make sense of is refused before it is reckoned with, whichever method it goes to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from frameworks import logits, tokens
from small_transformers import gpt2

from darklantern import methods, models
from darklantern.errors import MethodError
from darklantern.models.opened import Model

SITE = "layers.0:out[pos=-1]"


def last(output: Any) -> Any:
    return logits(output)[:, -1, 3].mean()


def contrast() -> methods.Contrast:
    return methods.Contrast(*(torch.from_numpy(tokens(2, 7, seed=seed)) for seed in (5, 6)), last)


def noisy() -> Model:
    """In training mode, with dropout."""
    module = gpt2().train()
    for each in module.modules():
        if isinstance(each, torch.nn.Dropout):
            each.p = 0.3
    return models.open(module)


def broken() -> Model:
    module = gpt2()
    module.transformer.h[0].mlp.c_fc.bias.data[0] = float("nan")
    return models.open(module)


def asked(model: Model, batch: Any) -> Any:
    question = methods.Question("?", SITE, lambda done, answer, other: other)
    return methods.ask(model, question, batch, np.arange(len(batch)) % 2, batch.flip(0))


CALLS: dict[str, Callable[[Model, Any], Any]] = {
    "edge_scores": lambda model, batch: methods.edge_scores(model, contrast()),
    "lens": methods.lens,
    "diff": lambda model, batch: methods.diff(models.open(gpt2()), model, batch, ["layers.*:out"]),
    "ask": asked,
    "attribute": lambda model, batch: methods.attribute(model, batch, batch.flip(0), "layers.*:out", last),
    "ablate": lambda model, batch: methods.ablate(model, batch, "layers.*.mlp:out", last),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_model_that_draws_anew_in_each_run_is_refused(name: str) -> None:
    with pytest.raises(MethodError, match="effects would be noise") as refused:
        CALLS[name](noisy(), torch.from_numpy(tokens(8, 7)))
    assert "model.eval()" in refused.value.hint


@pytest.mark.parametrize("name", ["edge_scores", "diff", "ask"])
def test_numbers_that_are_not_finite_are_named_as_such(name: str) -> None:
    with pytest.raises(MethodError, match="not finite"):
        CALLS[name](broken(), torch.from_numpy(tokens(8, 7)))


@pytest.mark.parametrize("seed", ["a", -1, 1.5, True])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    batch = torch.from_numpy(tokens(8, 7))
    with pytest.raises(MethodError, match="expected a seed"):
        methods.direction(models.open(gpt2()), batch, batch.flip(0), SITE, seed=seed)


def test_no_examples_are_no_inputs() -> None:
    batch = torch.from_numpy(tokens(8, 7))
    with pytest.raises(MethodError, match=r"got an array of shape \(0, 7\)"):
        methods.direction(models.open(gpt2()), batch[:0], batch, SITE)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (lambda text: "[" * 100_000, "recursion depth"),
        (lambda text: text.replace('"edges"', '"edges": [], "edges"', 1), "stands twice"),
        (lambda text: text.replace('"faithfulness": null', '"faithfulness": NaN'), "NaN is no number"),
        (lambda text: text.replace('"faithfulness": null', '"faithfulness": "all"'), "not whole"),
    ],
)
def test_a_circuit_that_was_tampered_with_is_not_loaded(changed: Callable[[str], str], says: str) -> None:
    model = models.open(gpt2())
    text = methods.select(methods.edge_scores(model, contrast(), "eap"), 5).json()
    with pytest.raises(MethodError, match=says):
        methods.load_circuit(model, changed(text))


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_circuit_cannot_make_more_than_all_of_the_behaviour_or_nothing(share: float) -> None:
    model = models.open(gpt2())
    with pytest.raises(MethodError, match="expected a share of the behaviour"):
        methods.minimal(model, methods.edge_scores(model, contrast(), "eap"), contrast(), faithfulness=share)
