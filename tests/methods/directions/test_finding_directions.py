"""Directions in transformers: several sites at once, edits made of them, other checkpoints, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import passing
import pytest
import torch
from frameworks import Engine, Numbers, engine, engines
from hypothesis import given
from hypothesis import strategies as st
from small_transformers import gpt2
from transformers import GPT2Config, GPT2LMHeadModel
from words import WORDS, Words

import darklantern as dl
from darklantern.errors import MethodError, SiteError
from darklantern.methods.directions import Directions, direction, directions
from darklantern.methods.directions.examples import split
from darklantern.methods.directions.logistic import fit as logistic
from darklantern.models.opened import Model

__all__ = ["engine"]
SITE = "layers.1:out[pos=-1]"
each_framework = engines("torch", "gpt2-linen-scan", "gpt2-equinox-scan")


def sets(seed: int = 0, count: int = 40) -> tuple[Numbers, Numbers]:
    """Prompts in which token 7 stands, and the same with token 8 in its place."""
    rng = np.random.default_rng(seed)
    other = np.setdiff1d(np.arange(50), [7, 8])
    prompts = rng.choice(other, (2 * count, 6))
    prompts[np.arange(2 * count), rng.integers(1, 5, 2 * count)] = np.repeat([7, 8], count)
    return prompts[:count], prompts[count:]


def opened(engine: Engine) -> tuple[Model, Any, Any]:
    positive, negative = sets()
    return engine.open(gpt2(), positive), engine.array(positive), engine.array(negative)


@each_framework
def test_all_sites_come_from_one_pass_and_have_the_same_numbers_everywhere(engine: Engine) -> None:
    model, positive, negative = opened(engine)
    found = directions(model, positive, negative, "layers.*:out[pos=-1]", controls=3)
    assert found.made.cost.forward == 2
    assert [str(each.site) for each in found.each] == [f"layers.{i}:out[pos=-1]" for i in range(3)]
    alone = direction(model, positive, negative, SITE, controls=3)
    assert found[SITE].auroc == alone.auroc
    np.testing.assert_array_equal(found[SITE].vector, alone.vector)
    # A hand-written forward of the same weights: the fit's own half of the data, and nothing of the other.
    held = alone.examples.held
    with torch.no_grad():
        hidden = gpt2().transformer(torch.from_numpy(np.concatenate(sets())), output_hidden_states=True).hidden_states
    rows = hidden[2][:, -1].numpy()
    labels = np.repeat([True, False], 40)
    step = rows[labels & ~held].mean(0) - rows[~labels & ~held].mean(0)
    np.testing.assert_allclose(alone.vector, step, atol=1e-10)
    assert alone.auroc.value == pytest.approx(pairwise(rows[held] @ step, labels[held]), abs=1e-12)


def pairwise(scores: Numbers, labels: Numbers) -> float:
    """The AUROC by its definition."""
    ahead = scores[labels][:, None] - scores[~labels][None]
    return float(((ahead > 0) + 0.5 * (ahead == 0)).mean())


@each_framework
def test_edits_do_what_they_say(engine: Engine) -> None:
    model, positive, negative = opened(engine)
    made = direction(model, positive, negative, SITE, "lda", controls=0)

    def after(edit: Any, inputs: Any = positive) -> Numbers:
        return engine.numbers(model.record(inputs, SITE, edits={SITE: edit})[SITE].array)

    before = after(lambda value: value)
    moved = after(made.steer(norm=0.3)) - before
    np.testing.assert_allclose(moved, 0.3 * np.linalg.norm(before, axis=1)[:, None] * made.unit, atol=1e-10)
    np.testing.assert_allclose(after(dl.add(made, norm=0.3)) - before, moved, atol=1e-10)
    back = after(made.steer(distance=-1.0)) - before
    np.testing.assert_allclose(back, np.tile(-made.gap * made.unit, (40, 1)), atol=1e-10)
    np.testing.assert_allclose(after(made.ablate()) @ made.unit, 0, atol=1e-10)
    kept = ~made.examples.held
    both = np.concatenate(
        [after(made.erase()), engine.numbers(model.record(negative, SITE, edits={SITE: made.erase()})[SITE].array)]
    )
    labels = made.examples.labels
    np.testing.assert_allclose(both[kept & labels].mean(0), both[kept & ~labels].mean(0), atol=1e-9)
    control = made.control(seed=4)
    assert np.linalg.norm(control.vector) == pytest.approx(np.linalg.norm(made.vector))
    assert control.how == "random"
    assert control.auroc.value < made.auroc.value
    assert abs(control.unit @ made.unit) < 0.6
    with pytest.raises(SiteError, match="found along dim, of 32"):
        model.run(positive, {"layers.1.mlp:post": made.ablate()})
    with pytest.raises(SiteError, match=r"rank 1.: found along dim, of 32"):
        model.run(positive, {"layers.1.mlp:post": made.erase()})


@each_framework
def test_frozen_and_refitted_stand_side_by_side(engine: Engine) -> None:
    model, positive, negative = opened(engine)
    made = direction(model, positive, negative, SITE, "lda", controls=2)
    same = made.on(model, positive, negative)
    assert same.cosine == pytest.approx(1)
    assert same.auroc == made.auroc == same.refit.auroc
    module = gpt2()
    with torch.no_grad():
        for weights in module.parameters():
            weights += 0.05 * torch.randn(
                weights.shape, generator=torch.Generator().manual_seed(9), dtype=weights.dtype
            )
    later = engine.open(module, sets()[0])
    there = made.on(later, *map(engine.array, sets(seed=1)), controls=2)
    assert 0 < there.cosine < 1
    values, labels = there.refit.examples.unseen
    assert there.auroc.value == pytest.approx(pairwise(made.scores(values), labels))
    assert there.evidence().provenance.model == later.hash_later()()
    assert there.evidence().method == "direction.on"


@engines("torch")
@pytest.mark.parametrize("options", [{"held_out": 0.15}, {"groups": np.repeat(np.arange(20), 4)}, {"seed": 5}])
def test_a_frozen_direction_is_held_against_nothing_that_it_saw(engine: Engine, options: dict[str, Any]) -> None:
    model, positive, negative = opened(engine)
    made = direction(model, positive, negative, SITE, controls=0, **options)
    there = made.on(model, positive, negative, controls=0)
    np.testing.assert_array_equal(there.refit.examples.held, made.examples.held)
    assert there.auroc == made.auroc
    # Other inputs, and more of them: as large a share.
    more = made.on(model, *map(engine.array, sets(seed=1, count=80)), controls=0)
    assert more.refit.examples.held.mean() == pytest.approx(made.examples.held.mean(), abs=0.02)
    assert made.on(model, positive, negative, held_out=0.5, controls=0).refit.examples.held.mean() == 0.5


@engines("torch", "linen")
def test_consistent_search_finds_which_half_is_right_without_being_told(engine: Engine) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 400)
    right, half = np.eye(16)[3], np.eye(16)[9]
    noise = rng.normal(size=(2, 400, 16)) * 0.5
    signs = (2 * truth - 1)[:, None]
    affirmed, denied = 2 * signs * right + 8 * half + noise[0], -2 * signs * right - 8 * half + noise[1]
    model = passing.opened(engine, affirmed[:1])
    given = (model, engine.array(affirmed), engine.array(denied), passing.SITE, "consistent")
    made = direction(*given, labels=truth, controls=3)
    assert made.auroc.value > 0.99
    assert made.unit @ right > 0.9
    assert abs(made.unit @ half) < 0.2  # far larger, and no more than what makes halves of the pairs
    assert made.scores(10 * right) > 0 > made.scores(-10 * right)
    again = direction(*given, labels=1 - truth, controls=0)
    assert again.unit @ made.unit < -0.9  # labels choose the sign, and which are held out
    erased = model.record(given[1], passing.SITE, edits={passing.SITE: made.erase()})
    assert np.ptp(engine.numbers(erased[passing.SITE].array)[:, 3]) < np.ptp(affirmed[:, 3])


@torch.no_grad()
def test_prompts_batches_and_labels_are_ways_to_say_the_same() -> None:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    model = dl.open(GPT2LMHeadModel(config).double().eval(), Words())
    mary = [
        f"When Mary {rest}"
        for rest in ("left", "gave a drink", "went to the shop", "and John left", "left John", "gave")
    ]
    john = [text.replace("Mary", "Anna") for text in mary]
    by_sets = direction(model, mary, john, "layers.1:out[pos=-1]", controls=0, at_once=4)
    batches = ([model.batch([text]) for text in each] for each in (mary, john))
    by_batches = direction(model, *(iter(each) for each in batches), "layers.1:out[pos=-1]", controls=0)
    by_labels = direction(model, mary + john, site="layers.1:out[pos=-1]", labels=[1] * 6 + [0] * 6, controls=0)
    for other in (by_batches, by_labels):
        np.testing.assert_allclose(other.vector, by_sets.vector, atol=1e-12)
        assert other.auroc == by_sets.auroc
    grouped = direction(model, mary, john, "layers.1:out[pos=-1]", groups=[*range(6), *range(6)], controls=0, seed=1)
    assert (grouped.examples.held[:6] == grouped.examples.held[6:]).all()
    assert by_sets.scores(model.record(mary, "layers.1:out[pos=-1]")["layers.1:out[pos=-1]"]).shape == (6,)


@given(
    st.lists(st.booleans(), min_size=8, max_size=60).filter(lambda each: 4 <= sum(each) <= len(each) - 4),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
def test_a_split_has_both_classes_on_both_sides(labels: list[bool], share: float, seed: int) -> None:
    known = np.array(labels)
    held = split(known, share, seed)
    assert (held == split(known, share, seed)).all()
    for side in (held, ~held):
        assert known[side].sum() >= 2
        assert (~known[side]).sum() >= 2
    for kind in (known, ~known):
        assert abs(held[kind].sum() - share * kind.sum()) <= max(2, 1.0)


def test_pictures_and_tables(tmp_path: Path) -> None:
    model = dl.open(gpt2())
    found = directions(
        model, *map(torch.from_numpy, sets()), ["layers.*:out[pos=-1]", "layers.*.mlp:out[pos=-1]"], "lda"
    )
    pictures = {
        "one": found.best,
        "several": found,
        "transfer": found.best.on(model, *map(torch.from_numpy, sets(seed=2))),
    }
    for name, result in pictures.items():
        result.show().png(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000
    assert isinstance(found, Directions)
    table = found.evidence().grids[0]
    assert table.columns == ("AUROC", "95 % from", "95 % to", "accuracy", "random directions", "shuffled labels")
    assert len(table.values) == 6
    evidence = found.best.evidence()
    assert evidence.method == "directions"
    assert evidence.provenance.seed == 0
    assert {figure.name for figure in evidence.figures} >= {"AUROC", "accuracy", "AUROC, shuffled labels"}
    with pytest.raises(MethodError, match="no direction was found") as caught:
        found["layers.0:in"]
    assert "layers.0:out[pos=-1]" in caught.value.hint


def test_what_is_no_data_for_a_direction_is_refused_by_name() -> None:
    model = dl.open(gpt2())
    one, two = map(torch.from_numpy, sets())
    cases: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("stands for 3 sites", (one, two, "layers.*:out[pos=-1]"), {}),
        ("has axes batch pos dim", (one, two, "layers.1:out"), {}),
        ("expected a site, got none", (one, two), {}),
        ("got 'mean'", (one, two, SITE, "mean"), {}),
        ("does not take penalty", (one, two, SITE), {"penalty": 1.0}),
        ("penalty of a logistic probe", (one, two, SITE, "logistic"), {"penalty": 0.0}),
        ("from 0 to 1, got 2", (one, two, SITE, "lda"), {"shrinkage": 2.0}),
        ("is singular", (one[:9], two[:9], SITE, "lda"), {"shrinkage": 0.0}),
        ("one set of inputs has no classes", (one, None, SITE), {}),
        (r"labels of shape \(3,\) for 40", (one, None, SITE), {"labels": [0, 1, 1]}),
        ("labels of 0 and 1, got 0, 1, 2", (one, None, SITE), {"labels": [0, 1] * 19 + [1, 2]}),
        ("the smaller class has 0", (one, None, SITE), {"labels": [1] * 40}),
        ("the smaller class has 3", (one, two[:3], SITE), {}),
        ("is the same in all 80", (one * 0, two * 0, SITE), {}),
        ("between 0 and 1, got 1", (one, two, SITE), {"held_out": 1.0}),
        ("5 groups for 80", (one, two, SITE), {"groups": [1] * 5}),
        ("and 2 are the least", (one, two, SITE), {"groups": ["a"] * 40 + ["b"] * 40}),
        ("number of draws, got -1", (one, two, SITE), {"controls": -1}),
        ("takes two sets or labels, got both", (one, two, SITE), {"labels": [1] * 40}),
        ("takes both halves of pairs", (one, two, SITE, "consistent"), {}),
        ("pairs of 40 and 39", (one, two[:39], SITE, "consistent"), {"labels": [0, 1] * 20}),
        ("expected inputs, got none", ([], two, SITE), {}),
        ("got int", (3, two, SITE), {}),
        ("1 or more prompts", (one, two, SITE), {"at_once": 0}),
    ]
    for match, given_, options in cases:
        with pytest.raises(MethodError, match=match):
            direction(model, *given_, **options)
    with pytest.raises(SiteError, match="opened model"):
        direction(gpt2(), one, two, SITE)
    made = direction(model, one, two, SITE, controls=0)
    with pytest.raises(MethodError, match="either a norm or a distance"):
        made.steer()
    with pytest.raises(MethodError, match="activations of 32 dimensions"):
        made.scores(np.zeros((2, 8)))
    with pytest.raises(MethodError, match="no fit to repeat"):
        made.control().on(model, one, two)
    broken = model.edited({"layers.0:out": lambda value: value * float("nan")})
    with pytest.raises(MethodError, match="not finite"):
        direction(broken, one, two, SITE)


def test_a_direction_of_channels_is_used_along_channels_and_nowhere_else() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(512, 2))
    model, images = dl.open(net.double()), torch.randn(2, 30, 1, 10, 10, dtype=torch.float64)
    images[0, :, :, 4:7, 4:7] += 2
    at = "0:out[height=4,width=4]"
    made = direction(model, images[0], images[1], at, controls=0)
    assert made.axis == "channel"
    before = model.record(images[1], "0:out")["0:out"].array
    after = model.record(images[1], "0:out", edits={"0:out": made.steer(distance=1.0)})["0:out"].array
    shift = torch.from_numpy(made.gap * made.unit)[None, :, None, None].expand(before.shape)
    torch.testing.assert_close(after - before, shift)
    ablated = model.record(images[1], at, edits={at: made.ablate()})[at]
    np.testing.assert_allclose(ablated.array.detach().numpy() @ made.unit, 0, atol=1e-12)
    for edit in (made.ablate(), made.erase(), made.steer(norm=0.1)):  # 8 wide as well, which is not what it lies along
        with pytest.raises(SiteError, match=r"width|another axis"):
            model.run(images[1], {"0:out": edit})


def test_dimensions_that_vary_by_rounding_alone_carry_no_weight() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    x[:, 3] = 1e3 + 1e-9 * rng.normal(size=200)
    x[:, 4] = 7.0
    labels = x[:, 0] + rng.normal(size=200) > 0
    vector = logistic(x, labels).vector
    assert vector[3] == vector[4] == 0
    np.testing.assert_allclose(vector[:3], logistic(x[:, :3], labels).vector, rtol=1e-9)
