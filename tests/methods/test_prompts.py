"""Prompts as text come to the same as the batch that is made of them, though they differ in length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from frameworks import logits
from small_transformers import gpt2
from words import WORDS, Words

import darklantern as dl
from darklantern import methods, models
from darklantern.errors import MethodError
from darklantern.models.opened import Model

CLEAN = ["When Mary and John went to the shop John gave", "John left Mary", "Anna and John went"]
CORRUPT = ["When Mary and John went to the shop Mary gave", "Mary left John", "Anna and Mary went"]
METRIC = dl.logit_diff("Mary", "John")


@pytest.fixture(scope="module")
def model() -> Model:
    return models.open(gpt2(), Words())


def by_hand(model: Any) -> float:
    """Each prompt by itself, where nothing is padded."""
    found = []
    for prompt in CLEAN:
        ids = torch.tensor([[WORDS.index(word) for word in prompt.split()]])
        last = logits(model.module(ids)).detach()[0, -1]
        found.append(float(last[WORDS.index("Mary")] - last[WORDS.index("John")]))
    return float(np.mean(found))


ENDS: dict[str, Callable[[Model, Any, Any], float]] = {
    "sweep": lambda model, clean, corrupt: methods.sweep(model, clean, corrupt, ["layers.*:out"], METRIC, [0]).clean,
    "ablate": lambda model, clean, corrupt: methods.ablate(model, clean, "layers.*.mlp:out", METRIC).intact,
    "path_patch": lambda model, clean, corrupt: (
        methods.path_patch(model, clean, corrupt, ["embed"], ["logits"], METRIC).clean
    ),
    "edge_scores": lambda model, clean, corrupt: (
        methods.edge_scores(model, methods.Contrast(clean, corrupt, METRIC), "eap").clean
    ),
    "patch": lambda model, clean, corrupt: methods.patch(
        model, clean, model.record(clean, "layers.0:out"), ["layers.0:out"], METRIC
    ),
    "bound": lambda model, clean, corrupt: METRIC.bind(model, clean)(model.run(clean)).item(),
}


@pytest.mark.parametrize("name", ENDS)
def test_each_prompt_is_read_at_its_own_end(model: Model, name: str) -> None:
    for batched in (lambda prompts: prompts, model.batch):
        assert ENDS[name](model, batched(CLEAN), batched(CORRUPT)) == pytest.approx(by_hand(model), rel=1e-4)


@pytest.mark.parametrize("how", ["eap", "relp", "exact"])
def test_edges_of_prompts_are_those_of_their_batch(model: Model, how: str) -> None:
    batched = methods.Contrast(model.batch(CLEAN), model.batch(CORRUPT, align=CLEAN), METRIC)
    texts = methods.Contrast(CLEAN, CORRUPT, METRIC)
    one, other = (methods.edge_scores(model, each, how) for each in (texts, batched))
    np.testing.assert_array_equal(one.array, other.array)
    shares = [methods.faithfulness(model, methods.select(one, 10), each).faithfulness for each in (texts, batched)]
    assert shares[0] == shares[1]


@pytest.mark.parametrize("left", [True, False])
def test_inputs_with_a_mask_are_read_where_it_ends(model: Model, left: bool) -> None:
    """As tokenizers hand them out: padded on either side, as a dict."""
    batch = model.batch(CLEAN)
    mask = batch["attention_mask"].flip(1) if left else batch["attention_mask"]
    output = torch.zeros(*mask.shape, len(WORDS))
    for row, each in enumerate(mask):
        output[row, int(each.nonzero().max()), WORDS.index("Mary")] = 1.0
    inputs = {"input_ids": batch["input_ids"], "attention_mask": mask}
    assert float(METRIC.bind(model, inputs)(output)) == 1.0
    if left:
        with pytest.raises(MethodError, match="counts from the start, where these inputs have padding"):
            dl.log_prob("Mary", pos=1).bind(model, inputs)


@pytest.mark.parametrize(
    "token", [np.int64(2), torch.tensor(2), [2, 2], np.array([2, 2]), torch.tensor([2, 2]), "Mary"]
)
def test_a_token_is_what_holds_its_number(model: Model, token: Any) -> None:
    output = torch.randn(2, 3, len(WORDS), generator=torch.Generator().manual_seed(0))
    found = dl.log_prob(token).bind(model, torch.zeros(2, 3))(output)
    assert float(found) == pytest.approx(float(output[:, -1].log_softmax(-1)[:, 2].mean()))


@pytest.mark.parametrize("token", [[], 2.5, None, np.array([]), torch.tensor(2.5), [2.5]])
def test_what_is_no_token_is_refused(token: Any) -> None:
    with pytest.raises(MethodError, match="expected a token, got"):
        dl.log_prob(token)
    with pytest.raises(MethodError, match="expected a token, got"):
        dl.logit_diff("Mary", token)


@pytest.mark.parametrize("token", [-1, 9999])
def test_a_number_that_is_no_tokens_is_refused(model: Model, token: int) -> None:
    with pytest.raises(MethodError, match=f"token {token} of"):
        methods.lens(model, CLEAN, target=token)
    with pytest.raises(MethodError, match=f"token {token} of"):
        methods.sweep(model, CLEAN, CORRUPT, ["layers.*:out"], dl.log_prob(token), [0])


def test_ends_of_paths_that_are_none_are_refused(model: Model) -> None:
    with pytest.raises(MethodError, match=r"layers.\*.attn:z\[head=\*\] is none of the senders"):
        methods.path_patch(model, CLEAN, CORRUPT, ["layers.*.attn:z[head=*]"], ["logits"], METRIC)
    with pytest.raises(MethodError, match="is none of the receivers"):
        methods.path_patch(model, CLEAN, CORRUPT, ["embed"], ["layers.*.attn:z[head=*]"], METRIC)


@pytest.mark.parametrize("labels", [np.linspace(0, 1, 12), [float("nan")] * 12, [None] * 12, np.eye(2)[[0, 1] * 6]])
def test_labels_that_are_no_classes_are_refused(model: Model, labels: Any) -> None:
    with pytest.raises(MethodError, match=r"expected a class for each example|has one example"):
        methods.leace(model, CLEAN * 4, labels, "layers.0:out[pos=-1]")


def test_evidence_that_is_none_is_refused_at_once() -> None:
    found = methods.Contrast(CLEAN, CORRUPT, METRIC)
    for evidence in (found, (found,), ()):
        given: Any = {"title": "t", "claim": "c", "author": "a", "time": "2026-01-01T00:00:00Z", "evidence": evidence}
        if evidence == ():
            assert dl.Finding(**given).evidence == ()
            continue
        with pytest.raises(ValueError, match="evidence is a tuple of Evidence"):
            dl.Finding(**given)


def test_a_name_of_methods_alone_says_where_it_is() -> None:
    with pytest.raises(AttributeError, match=r"from darklantern\.methods import minimal"):
        _ = dl.minimal  # type: ignore[attr-defined]
