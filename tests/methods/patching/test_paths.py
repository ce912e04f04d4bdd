"""Path patching: G16 on a hand-built induction circuit, a hand-written path, and what is refused."""

from pathlib import Path
from typing import Any

import induction
import numpy as np
import pytest
import torch
from frameworks import Engine, Numbers, engine, engines, logits, tokens
from small_transformers import gpt2, llama, named
from torch import Tensor

from darklantern import models
from darklantern.errors import MethodError
from darklantern.methods.patching.paths import path_patch
from darklantern.models.edits import put

__all__ = ["engine"]
HEADS = tuple(f"layers.{layer}.attn:result[head={head}]" for layer in range(2) for head in range(2))


@engines("torch", "functions")
def test_g16_k_composition_is_the_sole_path_from_the_previous_token_head(engine: Engine) -> None:
    model = induction.opened(engine)
    clean, corrupt, answer = induction.prompts()
    inputs = [engine.array(each) for each in (clean, corrupt)]

    def metric(output: Any) -> Any:
        return (output[0, -1, int(answer[0])] + output[1, -1, int(answer[1])]) / 2

    readers = ["layers.1.attn:{q,k,v}[head=*]", "logits"]
    found = path_patch(model, *inputs, ["embed", "layers.*.attn:result[head=*]"], readers, metric)
    assert found.senders == ("embed", *HEADS)
    assert found.receivers == (*(f"layers.1.attn:{port}[head={head}]" for port in "qkv" for head in range(2)), "logits")
    true = np.zeros((5, 7))
    true[1, found.receivers.index("layers.1.attn:k[head=0]")] = 1
    true[3, -1] = 1  # what the induction head copies is read by the logits
    np.testing.assert_allclose(found.array, true, atol=1e-6)
    assert (found.clean, found.corrupt) == (pytest.approx(5), pytest.approx(5 / 9, abs=1e-6))
    # By position: the previous-token head speaks at the place after the token, and the induction head looks there.
    places = [f"{HEADS[0][:-1]},pos={pos}]" for pos in (1, 2, 3)]
    at_place = path_patch(model, *inputs, places, ["layers.1.attn:k[head=0]"], metric)
    np.testing.assert_allclose(at_place.array[:, 0], [0, 1, 0], atol=1e-6)


def numbered(seed: int = 5) -> Tensor:
    return torch.from_numpy(tokens(2, 7, seed=seed))


def test_a_path_is_the_one_written_by_hand() -> None:
    """Of GPT-2, from a head to a later head's queries, computed with the module's own parts."""
    module = gpt2().requires_grad_(False)
    model, clean, corrupt = models.open(module), numbered(), numbered(6)
    sender, receiver = "layers.0.attn:result[head=1]", "layers.2.attn:q[head=3]"
    found = path_patch(model, clean, corrupt, [sender], [receiver], last)
    block = module.transformer.h[2]
    here, other = (model.record(each, "layers.0.attn:result", "layers.2.norm1:in") for each in (clean, corrupt))
    step = other["layers.0.attn:result"].array[:, :, 1] - here["layers.0.attn:result"].array[:, :, 1]
    q = block.attn.c_attn(block.ln_1(here["layers.2.norm1:in"].array + step))[..., 24:32]
    patched = last(model.run(clean, {receiver: put(q)}))
    whole = last(here.output) - last(other.output)
    assert found.effects[0][0] == pytest.approx(float((last(here.output) - patched) / whole), rel=1e-9)
    assert abs(found.effects[0][0]) > 1e-4


def whole(seed: int) -> dict[str, Numbers]:
    return {"input_ids": tokens(seed=seed), "attention_mask": np.ones((2, 7), np.int64)}


def last(output: Any) -> Any:
    return logits(output)[:, -1, 3].mean()


@engines("torch", "llama-linen")
def test_with_grouped_queries_keys_are_those_of_the_shared_head(engine: Engine) -> None:
    model = engine.open(llama(), whole(5))
    inputs = [{name: engine.array(each) for name, each in whole(seed).items()} for seed in (5, 6)]
    found = path_patch(model, *inputs, ["embed", "layers.0.mlp:out"], ["layers.1.attn:{q,k}", "layers.2.mlp:in"], last)
    assert [name for name in found.receivers if ":k" in name] == ["layers.1.attn:k[head=0]", "layers.1.attn:k[head=1]"]
    assert len(found.receivers) == 7 and (abs(found.array) > 1e-5).all()
    expected = path_patch(
        models.open(llama()), *(numbered(seed) for seed in (5, 6)), found.senders, found.receivers, last
    )
    np.testing.assert_allclose(found.array, expected.array, rtol=0, atol=2e-6)  # its norms are in float32


CANONICAL = {"first": "norm1", "attn": "attn", "second": "norm2", "mlp": "mlp"}


@pytest.mark.parametrize("last_norm", ["norm", "closing"])
@pytest.mark.parametrize(
    "odd",
    [{"first": "before", "second": "between"}, {"second": "between"}, {"first": "norm2", "second": "norm1"}],
    ids=["unknown", "one-unknown", "exchanged"],
)
def test_a_norm_is_known_by_what_it_feeds_whatever_it_is_called(odd: dict[str, str], last_norm: str) -> None:
    senders, receivers = ["layers.0.attn:result", "layers.0.mlp:out"], ["layers.0.mlp:in", "layers.1.attn:k", "logits"]

    def found(names: dict[str, str], last: str = "norm") -> Any:
        model = models.open(named(names, last))
        return path_patch(model, numbered(), numbered(6), senders, receivers, lambda out: out[:, -1, 3].mean())

    expected = found(CANONICAL)
    assert (expected.array[:4, 0] != 0).all()  # the MLP hears the attention of its own block
    np.testing.assert_allclose(found(CANONICAL | odd, last_norm).array, expected.array, rtol=0, atol=1e-12)


def test_what_a_reader_does_not_hear_has_no_effect_and_every_way_to_the_logits_counts_once() -> None:
    model, clean, corrupt = models.open(gpt2()), numbered(), numbered(6)
    found = path_patch(model, clean, corrupt, ["layers.1.mlp:out", "layers.2.attn:result"], ["layers.1.mlp:in"], last)
    assert (found.array == 0).all() and len(found.senders) == 5


def test_it_is_shown_and_counted(tmp_path: Path) -> None:
    found = path_patch(
        models.open(gpt2()), numbered(), numbered(6), ["embed", "layers.*.mlp:out"], ["layers.*.mlp:in", "logits"], last
    )
    picture = found.show()
    picture.png(tmp_path / "paths.png")
    assert (tmp_path / "paths.png").stat().st_size > 10_000
    assert found.ranked()[0][2] == max(found.array.ravel(), key=abs)
    assert found.made.cost.partial > 4 * 4 and found.made.cost.backward == 0
    evidence = found.evidence()
    assert evidence.method == "path_patch" and evidence.grids[0].rows == found.senders
    assert f"{found.senders[0]} → logits" in [figure.name for figure in found.figures]


@pytest.mark.parametrize(
    ("senders", "receivers", "says"),
    [
        (["layers.0:out"], ["logits"], "layers.0:out writes nothing into the stream"),
        (["embed"], ["layers.0.attn:z[head=1]"], "is no input of its own"),
        (["embed"], ["layers.0.attn:q[head=7]"], "is no input of its own"),
        ([], ["logits"], "expected a list of senders"),
        ("embed", ["logits"], "expected a list of senders"),
        (["embed"], ["layers.0.attn:q[dim=1]"], "pins dim"),
        (["embed[pos=1:3]"], ["logits"], "pins pos to 1:3"),
    ],
)
def test_what_is_no_sender_or_receiver_is_named(senders: Any, receivers: Any, says: str) -> None:
    with pytest.raises(MethodError, match=says.replace("[", r"\[")):
        path_patch(models.open(gpt2()), numbered(), numbered(6), senders, receivers, last)


def test_equal_metrics_and_unlike_prompts_are_refused() -> None:
    model = models.open(gpt2())
    with pytest.raises(MethodError, match="nothing can be lost"):
        path_patch(model, numbered(), numbered(), ["embed"], ["logits"], last)
    with pytest.raises(MethodError, match="go together position by position"):
        path_patch(model, numbered(), torch.from_numpy(tokens(2, 5)), ["embed"], ["logits"], last)
