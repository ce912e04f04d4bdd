"""`diff`: what was changed on purpose is named, by how much, and nothing else is."""

import copy
import math
from typing import Any

import jax
import numpy as np
import pytest
import torch
from frameworks import Engine, engine, engines, normal, tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from small_transformers import gpt2
from torch import nn

import darklantern as dl
from darklantern.errors import MethodError
from darklantern.methods.diffs import diff
from darklantern.methods.diffs.outputs import Outputs
from darklantern.methods.diffs.sampling import Sample
from darklantern.methods.diffs.similarity import cka, directions

__all__ = ["engine"]
DATA = tokens(batch=6, pos=7)


def changed(change: Any) -> tuple[nn.Module, nn.Module]:
    before = gpt2()
    after = copy.deepcopy(before)
    with torch.no_grad():
        change(after)
    return before, after


def both(engine: Engine, change: Any) -> tuple[Any, Any]:
    return tuple(engine.open(module, DATA) for module in changed(change))  # type: ignore[return-value]


def louder_head(model: Any) -> None:
    """Head 2 of layer 1 writes half as much again: its values, and no other's."""
    values = slice(64 + 16, 64 + 24)
    attention = model.transformer.h[1].attn.c_attn
    attention.weight[:, values] *= 1.5
    attention.bias[values] *= 1.5


@engines("torch", "gpt2-linen", "gpt2-linen-scan", "gpt2-nnx-scan")
def test_a_head_that_was_turned_up_is_named_by_just_so_much(engine: Engine) -> None:
    before, after = both(engine, louder_head)
    found = diff(before, after, engine.array(DATA))
    site, drift = found.ranked("z")[0]
    assert str(site) == "layers.1.attn:z[head=2]"
    assert drift == pytest.approx(0.5, rel=1e-6)
    assert np.allclose(np.delete(found["layers.1.attn:z"].units, 2), 0)  # the other heads of its layer did nothing new
    assert found["layers.0:out"].drift == 0
    assert found["layers.1.attn:pattern"].drift == 0  # where it looks did not change, only what it says
    assert found["layers.2.attn:pattern"].drift > 0  # what comes after hears it
    assert found.kl > 0


@engines("torch", "gpt2-haiku")
def test_one_model_with_itself_has_not_changed(engine: Engine) -> None:
    before, after = both(engine, lambda model: None)
    found = diff(before, after, engine.array(DATA))
    assert all(each.drift == 0 for each in found.changes)
    assert all(each.cka == pytest.approx(1, abs=1e-9) for each in found.changes if not each.is_pattern)
    assert found.kl == pytest.approx(0, abs=1e-12)
    assert found.agreement == 1
    assert all(not len(each.shares) for each in found.changes)


@engines("torch", "gpt2-equinox-scan")
def test_a_direction_that_was_added_is_the_direction_that_is_found(engine: Engine) -> None:
    direction = normal(32, seed=9)
    direction /= np.linalg.norm(direction)

    def biased(model: Any) -> None:
        model.transformer.h[2].mlp.c_proj.bias += torch.from_numpy(3 * direction)

    before, after = both(engine, biased)
    change = diff(before, after, engine.array(DATA))["layers.2:out"]
    assert change.directions[0] @ direction == pytest.approx(1, abs=1e-8)
    assert change.shares[0] == pytest.approx(1, abs=1e-8)
    assert change.cka == pytest.approx(1, abs=1e-8)  # all rows moved alike


def test_both_frameworks_give_the_same_numbers() -> None:
    from conforming.on_jax import Jax
    from conforming.on_torch import Torch
    from frameworks import GPT2

    assert "gpt2-linen" in GPT2
    figures = []
    for name, framework in (("torch", Torch()), ("gpt2-linen", Jax())):
        engine = Engine(name, framework)
        with engine.looking():
            found = diff(*both(engine, louder_head), engine.array(DATA), rows=20, seed=3)
        figures.append({figure.name: figure.value for figure in found.figures})
    assert figures[0].keys() == figures[1].keys()
    for name, value in figures[0].items():
        assert figures[1][name] == pytest.approx(value, abs=1e-6), name


def test_a_stream_of_batches_gives_what_one_batch_gives() -> None:
    before, after = (dl.open(module) for module in changed(louder_head))
    whole = diff(before, after, torch.from_numpy(DATA))
    parts = diff(before, after, iter(torch.from_numpy(DATA).split(2)))
    for one, two in zip(whole.changes, parts.changes, strict=True):
        assert one.drift == pytest.approx(two.drift, rel=1e-9)
        assert np.allclose(one.units, two.units)
        assert one.cka == pytest.approx(two.cka, rel=1e-9, nan_ok=True)  # all rows were taken: order apart the same
    assert whole.kl == pytest.approx(parts.kl, rel=1e-6)
    assert parts.made.cost.forward == 2 * 3


def test_padding_is_nothing_that_changed() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel
    from words import LONG, WORDS, Words

    torch.manual_seed(0)
    config = GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    one = GPT2LMHeadModel(config).eval()
    two = copy.deepcopy(one)
    with torch.no_grad():
        two.transformer.wte.weight[0] += 5  # the padding's own embedding, which no prompt has
        two.lm_head.weight = nn.Parameter(one.lm_head.weight.clone())
    before, after = dl.open(one, Words()), dl.open(two, Words())
    found = diff(before, after, before.batch([LONG, "When Anna left"]))
    assert all(each.drift == pytest.approx(0, abs=1e-6) for each in found.changes)
    assert found.kl == pytest.approx(0, abs=1e-6)


def test_cka_is_blind_to_turns_and_scale_and_unbiased() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 20))
    turn = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    assert cka(x, 3 * x @ turn + 1) == pytest.approx(1, abs=1e-9)
    chance = [cka(rng.normal(size=(40, 500)), rng.normal(size=(40, 500))) for _ in range(40)]
    assert abs(np.mean(chance)) < 0.01  # the plain estimator says .92 here
    shared = rng.normal(size=(2000, 10))
    half = [np.hstack([shared, rng.normal(size=(2000, 10))]) for _ in range(2)]
    assert cka(*half) == pytest.approx(0.5, abs=0.05)  # ten of twenty equal directions are shared


def test_few_rows_and_many_are_reckoned_alike() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(9, 30)), rng.normal(size=(9, 30))
    y += x
    padded = np.hstack([x, np.zeros((9, 1))]), np.hstack([y, np.zeros((9, 1))])
    assert cka(x, y) == pytest.approx(cka(*padded))
    assert cka(x[:, :5], y[:, :5]) == pytest.approx(cka(np.hstack([x[:, :5], np.zeros((9, 40))]),
                                                        np.hstack([y[:, :5], np.zeros((9, 40))])))  # fmt: skip
    assert np.isnan(cka(x[:3], y[:3]))
    assert np.isnan(cka(x, np.ones((9, 4))))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_directions_are_orthonormal_and_their_shares_end_at_one(rows: int, features: int, seed: int) -> None:
    step = np.random.default_rng(seed).normal(size=(rows, features))
    found, shares = directions(step, features)
    assert np.allclose(found @ found.T, np.eye(len(found)), atol=1e-9)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 1e-12).all()


def test_a_sample_is_uniform_over_a_stream() -> None:
    counts = np.zeros(30)
    for seed in range(400):
        rng, sample = np.random.default_rng(seed), Sample.empty(10)
        for part in np.arange(30.0).reshape(5, 6, 1):
            sample = sample.shown(rng.random(6), part)
        counts[sample.rows[0][:, 0].astype(int)] += 1
    assert sample.rows[0].shape == (10, 1)
    assert abs(counts - 400 / 3).max() < 4.5 * np.sqrt(400 / 3 * 2 / 3)


def test_what_one_model_rules_out_is_no_distance() -> None:
    seen = Outputs()
    one = np.log(np.array([[0.5, 0.5, 0.0]]), where=[[True, True, False]], out=np.full((1, 3), -np.inf))
    two = np.log(np.array([[0.25, 0.5, 0.25]]))
    seen.add(None, *map(torch.from_numpy, (one, two)))
    assert seen.kl == pytest.approx(0.5 * math.log(2))


def test_what_cannot_be_compared_is_refused() -> None:
    before, after = (dl.open(module) for module in changed(louder_head))
    inputs = torch.from_numpy(DATA)
    with pytest.raises(MethodError, match="one module"):
        diff(before, dl.open(before.module), inputs)
    with pytest.raises(MethodError, match="no data"):
        diff(before, after, iter([]))
    with pytest.raises(MethodError, match=r"layers\.9:out was not compared"):
        diff(before, after, inputs)["layers.9:out"]
    with pytest.raises(MethodError, match="neither blocks nor attention"):
        diff(dl.open(nn.Linear(2, 2)), dl.open(nn.Linear(2, 2)), torch.ones(3, 2))


def test_a_network_without_heads_is_compared_by_its_channels_or_dimensions(tmp_path) -> None:
    torch.manual_seed(0)
    before = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    after = copy.deepcopy(before)
    with torch.no_grad():
        after[0].weight[2] *= 2
        after[0].bias[2] *= 2
    found = diff(dl.open(before), dl.open(after), torch.randn(5, 1, 8, 8), ["0:out", "3:out"])
    assert found["0:out"].axis == "channel"
    assert np.allclose(found["0:out"].units, [0, 0, 1, 0])
    found.show().save(tmp_path / "bars.svg")


def test_evidence_names_both_checkpoints(tmp_path) -> None:
    before, after = (dl.open(module) for module in changed(louder_head))
    found = diff(before, after, torch.from_numpy(DATA), seed=7)
    evidence = found.evidence()
    assert evidence.provenance.model == before.hash_later()()
    assert after.hash_later()() in evidence.summary
    assert evidence.provenance.seed == 7
    assert {grid.name for grid in evidence.grids} == {"drift of z", "drift of pattern"}
    found.show().save(tmp_path / "diff.svg")
    assert "layers.1.attn:z[head=2]" in repr(found)
    assert jax.tree.leaves([figure.value for figure in found.figures])
