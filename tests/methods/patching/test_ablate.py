"""Ablations against runs with edits of one's own, and G17: addition by Fourier features whose weights are known."""

from functools import cache
from typing import Any

import haiku as hk
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen
from frameworks import GPT2, Engine, Numbers, engine, engines, logits, tokens
from small_transformers import gpt2
from torch import Tensor, nn

import darklantern as dl
from darklantern.errors import MethodError, SiteError
from darklantern.methods.patching import ablate
from darklantern.models.opened import Model
from darklantern.models.shim import namespace

__all__ = ["engine"]
HEADS = "layers.*.attn:z[head=*]"
PRIME, KEYS = 113, (4, 17, 29, 41, 52)


def last(output: Any) -> Any:
    return logits(output)[:, -1, 3].mean()


def edited(model: Model, inputs: Any, edits: dict[str, Any]) -> float:
    return float(last(model.run(inputs, edits))) - float(last(model.run(inputs)))


@engines("torch", "gpt2-linen", "gpt2-haiku")
def test_each_ablation_is_the_run_with_that_edit(engine: Engine) -> None:
    model = engine.open(gpt2(), tokens())
    inputs, other = (engine.array(tokens(batch=4, seed=seed)) for seed in (5, 6))
    names = [f"layers.{layer}.attn:z[head={head}]" for layer in range(3) for head in range(4)]
    there = model.record(other, "layers.*.attn:z")
    for how, more, edit in (
        ("zero", {}, dl.zero()),
        ("mean", {"reference": other}, dl.mean(there)),
        ("mean", {}, dl.mean()),
        ("resample", {"reference": other, "seed": None}, dl.take(there)),
        ("resample", {"seed": 3, "draws": 1}, dl.resample(3)),
    ):
        found = ablate(model, inputs, HEADS, last, how, **more)
        assert found.array.shape == (3, 4) and found.draws == 1
        for name, change in zip(names[:4] + names[-2:], [*found.array[0], *found.array[2, 2:]], strict=True):
            assert change == pytest.approx(edited(model, inputs, {name: edit}), abs=1e-10), (how, name)
        if how != "mean" or more:  # all together: what is put there is of the intact run, not of the ablated one
            everywhere = dict.fromkeys(names, edit)
            expected = edited(model, inputs, everywhere) if how != "resample" or "reference" in more else found.joint
            assert found.joint == pytest.approx(expected, abs=1e-10)
        assert found.name == f"{how} ablation" and found.says.startswith(found.name)


@engines(*GPT2[:2])
def test_a_subspace_is_replaced_and_the_rest_stays(engine: Engine) -> None:
    model = engine.open(gpt2(), tokens())
    inputs = engine.array(tokens(batch=4, seed=5))
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 3)))[0].T
    everything = np.eye(32)
    for how in ("zero", "mean", "resample"):
        whole = ablate(model, inputs, "layers.*:out", last, how, draws=2)
        spanned = ablate(model, inputs, "layers.*:out", last, how, draws=2, basis=everything)
        np.testing.assert_allclose(spanned.array, whole.array, atol=1e-9)
    found = ablate(model, inputs, "layers.1:out", last, basis=np.concatenate([directions, directions]))
    assert found.directions == 3
    assert found.array[0] == pytest.approx(edited(model, inputs, {"layers.1:out": dl.project(directions)}), abs=1e-10)


def test_draws_have_a_mean_and_a_spread() -> None:
    model, inputs = dl.open(gpt2()), torch.from_numpy(tokens(batch=6, seed=5))
    pool = torch.from_numpy(tokens(batch=9, seed=8))
    found = ablate(model, inputs, HEADS, last, "resample", reference=pool, draws=4, seed=1, floor=0.0)
    again = ablate(model, inputs, HEADS, last, "resample", reference=pool, draws=4, seed=1)
    other = ablate(model, inputs, HEADS, last, "resample", reference=pool, draws=4, seed=2)
    np.testing.assert_array_equal(found.array, again.array)
    assert not np.allclose(found.array, other.array)
    assert len(found.spreads) == 3 and min(spread.array.min() for spread in found.spreads) > 0
    assert found.joint_spread is not None and found.joint_spread > 0 and found.made.seed == 1
    np.testing.assert_allclose(found.shares, found.array.ravel() / -found.intact)
    assert "mean of 4 draws" in found.evidence().summary and found.evidence().method == "resample ablation"
    small = ablate(model, inputs, HEADS, last, "resample", reference=pool[:2], draws=2)  # fewer than the inputs
    assert small.draws == 2


def test_a_mean_over_batches_is_the_mean_over_all() -> None:
    model, inputs = dl.open(gpt2()), torch.from_numpy(tokens(seed=5))
    pool = torch.from_numpy(tokens(batch=9, seed=8))
    whole = ablate(model, inputs, HEADS, last, "mean", reference=pool)
    parts = ablate(model, inputs, HEADS, last, "mean", reference=iter(pool.split(4)))
    np.testing.assert_allclose(parts.array, whole.array, rtol=1e-9, atol=1e-12)
    assert parts.evidence().provenance.data != whole.evidence().provenance.data


def test_only_what_comes_after_a_part_is_run() -> None:
    cost = ablate(dl.open(gpt2()), torch.from_numpy(tokens(seed=5)), HEADS, last).made.cost
    assert cost.partial >= 12 and cost.backward == 0
    assert cost.forward <= 12 + 8


def test_pictures(tmp_path: Any) -> None:
    model, inputs = dl.open(gpt2()), torch.from_numpy(tokens(batch=6, seed=5))
    few = ablate(model, inputs, ["layers.*:out", "layers.*.mlp:out"], last, "resample", draws=3)
    many = ablate(model, inputs, "layers.*.attn:z[head=*,pos=-1]", last, "mean")
    for number, found in enumerate((few, many)):
        found.show().save(tmp_path / f"{number}.svg")
        assert found.name.split()[0] in found.show().title.lower()


@pytest.mark.parametrize("how", ["zero", "mean", "resample"])
def test_half_precision_and_a_subspace(how: str) -> None:
    model = dl.open(gpt2().to(torch.bfloat16))
    found = ablate(model, torch.from_numpy(tokens(batch=4, seed=5)), "layers.*:out", last, how, basis=np.eye(32)[:4])
    assert found.array.shape == (3,) and np.isfinite(found.array).all() and found.directions == 4


def test_what_cannot_be_ablated_is_refused() -> None:
    model, inputs = dl.open(gpt2()), torch.from_numpy(tokens(seed=5))
    for error, says, more in (
        (MethodError, "a way to ablate, got 'noise'", {"how": "noise"}),
        (MethodError, "zeros need no reference", {"reference": inputs}),
        (MethodError, "1 or more draws", {"how": "resample", "draws": 0}),
        (MethodError, "needs a partner", {"how": "resample", "seed": None}),
        (MethodError, "3 partners for 2", {"how": "resample", "seed": None, "reference": inputs[[0, 1, 0]]}),
        (MethodError, "a stream", {"how": "resample", "reference": iter([inputs])}),
        (MethodError, "over 1 examples", {"how": "mean", "reference": inputs[:1]}),
        (MethodError, "directions", {"basis": np.zeros((2, 32))}),
        (SiteError, "31 components", {"basis": np.eye(31)}),
        (MethodError, "not finite", {"metric": lambda output: last(output) / 0}),
        (SiteError, "at least one site", {"sites": []}),
        (SiteError, "no channel", {"sites": ["embed:out[channel=*]"]}),
    ):
        asked = {"sites": HEADS, "metric": last, **more}
        with pytest.raises(error) as caught:
            ablate(model, inputs, asked.pop("sites"), asked.pop("metric"), **asked)
        assert says in f"{caught.value.message} {caught.value.hint}", caught.value
    with pytest.raises(MethodError, match="no floor"):
        _ = ablate(model, inputs, HEADS, last).shares


# G17: a sum modulo a prime, by the cosines and sines of a few frequencies


@cache
def weights() -> tuple[Numbers, Numbers, Numbers]:
    """Embedding (token, dim), what turns it back into waves (dim, wave), and readout (wave, token), in closed form.

    The embedding has all frequencies, most of them weak, in a basis of which no axis is one; the readout uses KEYS.
    """
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.normal(size=(PRIME - 1, PRIME - 1)))[0]
    strength = np.where(np.isin(frequencies(), KEYS), 1.0, 0.2)
    readout = waves().T * np.where(np.isin(frequencies(), KEYS), 1.0, 0.0)[:, None]
    noise = rng.normal(size=readout.shape) * 0.02
    return (waves() * strength) @ turned, turned.T, readout + noise


def frequencies() -> Numbers:
    """Of each wave: all cosines, then all sines."""
    half = np.arange(1, (PRIME + 1) // 2)
    return np.concatenate([half, half])


def waves() -> Numbers:
    half = np.arange(1, (PRIME + 1) // 2)
    angles = 2 * np.pi * np.outer(np.arange(PRIME), half) / PRIME
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def added(one: Any, other: Any) -> Any:
    """The waves at the sum: cos(a+b) = cos a cos b − sin a sin b, sin(a+b) = sin a cos b + cos a sin b."""
    xp, half = namespace(one), (PRIME - 1) // 2
    (ca, sa), (cb, sb) = ((each[..., :half], each[..., half:]) for each in (one, other))
    return xp.concat([ca * cb - sa * sb, sa * cb + ca * sb], axis=-1)


class TorchAdder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        embedding, back, readout = (torch.from_numpy(each) for each in weights())
        self.embed = nn.Embedding(*embedding.shape, _weight=embedding)
        self.back = nn.Linear(*back.shape, bias=False, dtype=torch.float64)
        self.read = nn.Linear(*readout.shape, bias=False, dtype=torch.float64)
        self.back.weight.data, self.read.weight.data = back.T.contiguous(), readout.T.contiguous()

    def forward(self, pairs: Tensor) -> Tensor:
        x = self.back(self.embed(pairs))
        return self.read(added(x[:, 0], x[:, 1]))  # type: ignore[no-any-return]


class LinenAdder(linen.Module):
    @linen.compact
    def __call__(self, pairs: Any) -> Any:
        x = linen.Embed(PRIME, PRIME - 1, name="embed", param_dtype=jnp.float64)(pairs)
        x = linen.Dense(PRIME - 1, use_bias=False, name="back")(x)
        return linen.Dense(PRIME, use_bias=False, name="read")(added(x[:, 0], x[:, 1]))


def haiku_adder(pairs: Any) -> Any:
    x = hk.Embed(PRIME, PRIME - 1, name="embed")(pairs)
    x = hk.Linear(PRIME - 1, with_bias=False, name="back")(x)
    return hk.Linear(PRIME, with_bias=False, name="read")(added(x[:, 0], x[:, 1]))


def adder(engine: Engine) -> Model:
    if engine.name == "torch":
        return dl.open(TorchAdder())
    embedding, back, readout = map(jnp.array, weights())
    example = engine.array(np.array([[1, 2]]))
    if engine.name == "haiku":
        params = {"embed": {"embeddings": embedding}, "back": {"w": back}, "read": {"w": readout}}
        return dl.open(hk.transform(haiku_adder), weights=params, example=example)
    kernels = {"embed": {"embedding": embedding}, "back": {"kernel": back}, "read": {"kernel": readout}}
    return dl.open(LinenAdder(), weights={"params": kernels}, example=example)


@engines("torch", "linen", "haiku")
def test_g17_few_frequencies_carry_addition(engine: Engine) -> None:
    model = adder(engine)
    numbers = np.random.default_rng(1).integers(0, PRIME, (600, 2))
    pairs, answers = engine.array(numbers), numbers.sum(1) % PRIME

    def accuracy(output: Any) -> float:
        return float((engine.numbers(output).argmax(-1) == answers).mean())

    def margin(output: Any) -> Any:
        """How far the answer is above the mean logit."""
        rows = engine.numbers(output)
        return float((rows[np.arange(len(rows)), answers] - rows.mean(-1)).mean())

    # 1. A frequency's directions: those along which the recorded embedding goes as its waves do.
    every = engine.array(np.stack([np.arange(PRIME)] * 2, 1))
    embedded = engine.numbers(model.record(every, "embed:out")["embed:out"].array)[:, 0]
    parts = {k: waves()[:, frequencies() == k].T @ embedded for k in range(1, (PRIME + 1) // 2)}

    # 2. Each by itself: few of them matter.
    effects = {k: ablate(model, pairs, "embed:out", margin, basis=part).joint for k, part in parts.items()}
    intact = ablate(model, pairs, "embed:out", margin, basis=parts[1]).intact
    keys = [k for k, effect in effects.items() if effect < -0.05 * intact]
    assert sorted(keys) == sorted(KEYS) and len(keys) <= 6

    # 3. Without all others the sums stay right; with the others alone none is.
    others = np.concatenate([part for k, part in parts.items() if k not in keys])
    without = ablate(model, pairs, "embed:out", accuracy, basis=others, floor=1 / PRIME)
    only = ablate(model, pairs, "embed:out", accuracy, basis=np.concatenate([parts[k] for k in keys]), floor=1 / PRIME)
    assert without.intact >= 0.99 and without.directions == PRIME - 1 - 2 * len(keys)
    assert without.intact + without.joint >= 0.99
    assert only.intact + only.joint <= 0.05
    assert only.directions == 2 * len(keys) and only.shares[0] > 0.95
