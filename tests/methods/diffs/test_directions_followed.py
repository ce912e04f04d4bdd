"""`diff(..., directions=...)`: a direction that was turned is said to be, by its angle, and no other is."""

import copy
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen
from frameworks import Engine, Numbers, engine, engines
from hypothesis import given
from hypothesis import strategies as st
from small_transformers import gpt2
from torch import Tensor, nn

import darklantern as dl
from darklantern import models
from darklantern.errors import MethodError
from darklantern.methods.diffs import Diff, Followed, diff
from darklantern.methods.diffs.redrawing import between, cosine, floor, stepped_up, turned
from darklantern.methods.directions import direction
from darklantern.methods.directions.means import fit as means
from darklantern.models.opened import Model

__all__ = ["engine"]
DIM, SITE = 8, "inner:out"
each_framework = engines("torch", "linen")


class Turning(nn.Module):
    """Hands on what it is given, turned by a matrix."""

    def __init__(self, turn: Numbers) -> None:
        super().__init__()
        self.inner = nn.Linear(*turn.shape, bias=False, dtype=torch.float64)
        self.inner.weight.data = torch.from_numpy(np.ascontiguousarray(turn))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.inner(x)
        return made


class LinenTurning(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.Dense(DIM, use_bias=False, name="inner", param_dtype=jnp.float64)(x)


def opened(engine: Engine, turn: Numbers) -> Model:
    if engine.name == "torch":
        return models.open(Turning(turn))
    weights = {"params": {"inner": {"kernel": jnp.asarray(turn.T)}}}
    return models.open(LinenTurning(), weights=weights, example=jnp.zeros((1, DIM), jnp.float64))


def rotation(angle: float) -> Numbers:
    """Of every plane of two axes by one angle: each vector, wherever it points, turns by just that."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.kron(np.eye(DIM // 2), turn)


def sets(seed: int = 0, count: int = 60, gap: float = 2.0) -> tuple[Numbers, Numbers]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, DIM)) + gap * np.eye(DIM)[3], rng.normal(size=(count, DIM))


def compared(engine: Engine, turn: Numbers, seed: int = 0, how: str = "means", **options: Any) -> Diff:
    before, after = opened(engine, np.eye(DIM)), opened(engine, turn)
    positive, negative = map(engine.array, sets(seed))
    found = direction(before, positive, negative, SITE, how, seed=seed, controls=2)
    return diff(before, after, positive, [SITE], seed=seed, directions=Followed(found, positive, negative, **options))


@each_framework
def test_a_direction_turned_by_a_known_angle_has_its_cosine_and_moved(engine: Engine) -> None:
    for angle in (1.0, 2.0):
        (found,) = compared(engine, rotation(angle)).directions
        assert found.cosine.value == pytest.approx(math.cos(angle), abs=1e-9)
        assert found.cosine.low == pytest.approx(found.cosine.high, abs=1e-9)  # whatever is drawn turns by as much
        assert found.moved
        # The classes are told apart as well as before, by another direction.
        assert found.transfer.refit.auroc.value == pytest.approx(found.before.value, abs=1e-12)
        assert angle < 2 or found.transfer.auroc.value < 0.5
        np.testing.assert_allclose(found.transfer.refit.vector, rotation(angle) @ found.transfer.frozen.vector)


@each_framework
def test_a_direction_in_a_checkpoint_that_did_not_change_did_not_move(engine: Engine) -> None:
    (found,) = compared(engine, np.eye(DIM)).directions
    assert found.cosine == pytest.approx((1, 1, 1), abs=1e-12)
    assert found.transfer.auroc == found.before == found.transfer.refit.auroc
    assert found.floor.high < 1 and not found.moved
    # Turned by less than another draw of examples turns it, it is not said to have moved either.
    (found,) = compared(engine, rotation(0.05)).directions
    assert found.cosine.value == pytest.approx(math.cos(0.05), abs=1e-9)
    assert not found.moved


@engines("torch")
def test_weights_with_a_little_noise_move_no_direction(engine: Engine) -> None:
    for seed in range(20):
        noise = 0.01 * np.random.default_rng(100 + seed).normal(size=(DIM, DIM))
        (found,) = compared(engine, np.eye(DIM) + noise, seed, draws=50).directions
        assert found.cosine.value < 1 and not found.moved


@pytest.mark.parametrize(("dim", "count", "gap"), [(3, 40, 1.0), (20, 40, 3.0), (100, 40, 3.0), (100, 80, 2.0)])
def test_the_floor_is_where_fits_on_other_examples_lie(dim: int, count: int, gap: float) -> None:
    """The hardest case there is: noise that both checkpoints do not share, so all of it is in the cosine."""
    labels, wrong, middles, true = np.repeat([True, False], count), [], [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        one, two = (rng.normal(size=(2 * count, dim)) + gap * labels[:, None] * np.eye(dim)[0] for _ in range(2))
        noise = floor(means, one, labels, 60, rng)
        seen = turned(means, one, two, labels, 60, rng)
        wrong.append(seen.high < noise.low)
        middles.append(noise.value)
        true.append(cosine(means(one, labels), means(two, labels)))
    assert np.mean(wrong) <= 0.05
    assert np.median(middles) == pytest.approx(np.median(true), abs=0.03)


@pytest.mark.parametrize(("earlier", "later"), [(6.0, 1.5), (1.5, 6.0), (2.0, 2.0)])
def test_classes_that_came_apart_or_together_did_not_turn(earlier: float, later: float) -> None:
    """The same direction in both, louder in one: a floor of one checkpoint alone says nothing of the other's noise."""
    labels, wrong, found = np.repeat([True, False], 40), [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        both = [rng.normal(size=(80, 50)) + gap * labels[:, None] * np.eye(50)[0] for gap in (earlier, later)]
        noise = between(*(floor(means, each, labels, 60, rng) for each in both))
        seen = turned(means, *both, labels, 60, rng)
        wrong.append(seen.high < noise.low)
        found.append((noise.value, cosine(*(means(each, labels) for each in both))))
    assert np.mean(wrong) <= 0.05
    expected, true = np.median(found, axis=0)
    assert expected == pytest.approx(true, abs=0.03)


@given(st.floats(-1, 1))
def test_a_stepped_up_cosine_stays_a_cosine(half: float) -> None:
    assert -1 <= stepped_up(half) <= 1 and stepped_up(half) >= half


@engines("torch", "linen")
def test_fits_of_other_kinds_are_followed_too(engine: Engine) -> None:
    for how in ("logistic", "lda"):
        (found,) = compared(engine, rotation(2.0), how=how, draws=30).directions
        assert found.moved and found.name == f"{how} at {SITE}"
        # Logistic regression scales dimensions, which turn with the rest.
        assert found.cosine.value == pytest.approx(math.cos(2.0), abs=1e-9 if how == "lda" else 0.1)


@engines("torch")
def test_pairs_are_followed_with_both_halves(engine: Engine) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 80)
    sign = np.where(truth, 1, -1)[:, None] * 3 * np.eye(DIM)[3]
    affirmed, denied = (engine.array(rng.normal(size=(80, DIM)) * 0.3 + s) for s in (sign, -sign))
    before, after = opened(engine, np.eye(DIM)), opened(engine, rotation(2.0))
    found = direction(before, affirmed, denied, SITE, "consistent", labels=truth, controls=0, restarts=2, steps=150)
    asked = Followed(found, affirmed, denied, draws=8)
    (moved,) = diff(before, after, affirmed, [SITE], directions=[asked]).directions
    assert moved.cosine.value == pytest.approx(math.cos(2.0), abs=0.1)
    assert moved.moved and moved.transfer.refit.auroc.value > 0.95
    with pytest.raises(MethodError, match="halves of pairs of 80 and 79"):
        diff(before, after, affirmed, [SITE], directions=[Followed(found, affirmed, denied[1:])])


def prompts(seed: int = 0, count: int = 40) -> tuple[Numbers, Numbers]:
    """Prompts in which token 7 stands, and the same with token 8 in its place."""
    rng = np.random.default_rng(seed)
    every = rng.choice(np.setdiff1d(np.arange(50), [7, 8]), (2 * count, 6))
    every[np.arange(2 * count), rng.integers(1, 5, 2 * count)] = np.repeat([7, 8], count)
    return every[:count], every[count:]


def test_both_frameworks_follow_alike_in_a_transformer() -> None:
    from conforming.on_jax import Jax
    from conforming.on_torch import Torch

    later = copy.deepcopy(gpt2())
    with torch.no_grad():
        later.transformer.h[1].mlp.c_proj.weight *= -1
    rows = []
    for name, framework in (("torch", Torch()), ("gpt2-linen", Jax())):
        engine = Engine(name, framework)
        with engine.looking():
            before, after = (engine.open(module, prompts()[0]) for module in (gpt2(), later))
            positive, negative = map(engine.array, prompts())
            found = direction(before, positive, negative, "layers.1:out[pos=-1]", controls=0)
            asked = Followed(found, positive, negative, "seven", draws=50)
            rows.append(diff(before, after, positive, ["layers.1:out"], directions=asked).directions[0].row)
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)


def test_inputs_are_streamed_once_and_counted() -> None:
    before, after = (dl.open(Turning(turn).eval()) for turn in (np.eye(DIM), rotation(1.0)))
    positive, negative = map(torch.from_numpy, sets())
    found = direction(before, positive, negative, SITE, controls=0)
    streams = [iter(each.split(1)) for each in (positive, negative)]
    made = diff(before, after, positive, [SITE], directions=Followed(found, *streams))
    assert made.made.cost.forward == 2 + 2 * 2 * 60
    whole = diff(before, after, positive, [SITE], directions=Followed(found, positive, negative))
    assert made.directions[0].row == pytest.approx(whole.directions[0].row)
    other = diff(before, after, positive, [SITE])
    assert made.evidence().provenance.data != other.evidence().provenance.data


def test_directions_are_shown_and_are_evidence(tmp_path: Path) -> None:
    before, after = (dl.open(Turning(turn)) for turn in (np.eye(DIM), rotation(0.8)))
    positive, negative = map(torch.from_numpy, sets())
    found = direction(before, positive, negative, SITE, controls=0)
    other = direction(before, positive, negative, SITE, "lda", controls=0)
    asked = [Followed(found, positive, negative, "truth"), Followed(other, positive, negative)]
    made = diff(before, after, positive, [SITE], seed=3, directions=asked)
    assert "of 2 directions moved: truth, lda at inner:out" in made.says
    evidence = made.evidence()
    figures = {figure.name: figure.value for figure in evidence.figures}
    assert figures["truth: cosine"] == pytest.approx(math.cos(0.8))
    assert figures["truth: moved"] == 1
    (grid,) = evidence.grids
    assert grid.rows == ("truth", "lda at inner:out") and len(grid.columns) == 16
    assert evidence.sites == (SITE,)
    assert "truth moved: cosine 0.697" in made.directions[0].says
    made.show().png(tmp_path / "directions.png")
    again = diff(before, after, positive, [SITE], seed=3, directions=asked)
    assert again.directions[0].row == made.directions[0].row
    refit = made.directions[0].transfer.refit
    assert refit.evidence().provenance.model == after.hash_later()()


def test_what_cannot_be_followed_is_refused() -> None:
    before, after = (dl.open(Turning(turn)) for turn in (np.eye(DIM), rotation(1.0)))
    positive, negative = map(torch.from_numpy, sets())
    found = direction(before, positive, negative, SITE, controls=0)

    def ask(*directions: Any, models: Any = (before, after)) -> Diff:
        return diff(*models, positive, [SITE], directions=directions)

    with pytest.raises(MethodError, match="expected directions with the inputs"):
        ask(found)
    with pytest.raises(MethodError, match="two directions are called means at inner:out"):
        ask(Followed(found, positive, negative), Followed(found, positive, negative))
    with pytest.raises(MethodError, match="60 examples, and the direction was found on 120"):
        ask(Followed(found, positive))
    with pytest.raises(MethodError, match="from what the direction was found on"):
        ask(Followed(found, negative, positive))
    with pytest.raises(MethodError, match="from what the direction was found on"):  # found in the later one
        ask(Followed(direction(after, positive, negative, SITE, controls=0), positive, negative))
    with pytest.raises(MethodError, match="no fit to repeat"):
        ask(Followed(found.control(), positive, negative))
    with pytest.raises(MethodError, match="0 draws"):
        ask(Followed(found, positive, negative, draws=0))
    narrow = dl.open(Turning(np.eye(DIM)[:4]))
    with pytest.raises(MethodError, match=r"shape .* before and .* after"):
        ask(Followed(found, positive, negative), models=(before, narrow))
    other = dl.open(Turning(np.eye(4)))
    some = [each[:, :4].clone() for each in (positive, negative)]
    wide = direction(other, *some, SITE, controls=0)
    with pytest.raises(MethodError, match="the direction has 4 dimensions, and inner:out 8"):
        ask(Followed(wide, positive, negative))
    few = [each[:4] for each in (positive, negative)]
    with pytest.raises(MethodError, match="fitted on 2 examples of a class"):
        ask(Followed(direction(before, *few, SITE, controls=0, held_out=0.5), *few))
    broken = after.edited({SITE: lambda value: value * float("nan")})
    with pytest.raises(MethodError, match="not finite"):
        diff(before, broken, positive, ["inner:in"], directions=Followed(found, positive, negative))
