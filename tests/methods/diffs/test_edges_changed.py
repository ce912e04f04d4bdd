"""`diff(..., contrast=...)`: an edge that was planted appears, one cut out vanishes, and chance makes none."""

import copy
from pathlib import Path
from typing import Any

import induction
import numpy as np
import pytest
import torch
from frameworks import Engine, Numbers, engine, engines, logits
from small_transformers import gpt2, llama
from torch import nn

import darklantern as dl
from darklantern.errors import MethodError
from darklantern.methods.circuits import Contrast, edge_scores
from darklantern.methods.diffs import CircuitDiff, Diff, diff
from darklantern.methods.diffs.chances import chances
from darklantern.models.opened import Model

__all__ = ["engine"]
FIRST, SECOND = "layers.0.attn:result[head=0]", "layers.1.attn:result[head=0]"
CIRCUIT = {("embed", "layers.0.attn:v[head=0]"), (FIRST, "layers.1.attn:k[head=0]"), (SECOND, "logits")}


def edges(before: Model, after: Model, given: Any, how: str = "eap", **options: Any) -> CircuitDiff:
    given = _list(given)
    found = diff(before, after, given[0].clean, ["layers.0.attn:z"], contrast=iter(given), how=how, **options).edges
    assert found is not None
    return found


def _list(given: Any) -> list[Contrast]:
    return [given] if isinstance(given, Contrast) else list(given)


def names(found: Any) -> set[tuple[str, str]]:
    return {each.edge for each in found}


def induced(engine: Engine, count: int = 8) -> list[Contrast]:
    """`… A B … A` → B; in the corrupt prompt another token stands before B."""
    made, rng = [], np.random.default_rng(3)
    for _ in range(count):
        place = int(rng.integers(1, 6))
        clean = rng.permutation(induction.VOCABULARY).repeat(2)[: induction.LENGTH]
        asked, answer, other = (int(each) for each in rng.choice(induction.VOCABULARY, 3, replace=False))
        clean[clean == asked] = other
        clean[place : place + 2], clean[-1] = (asked, answer), asked
        corrupt = clean.copy()
        corrupt[place] = other

        def metric(output: Any, answer: int = answer) -> Any:
            return output[0, -1, answer]

        made.append(Contrast(engine.array(clean[None]), engine.array(corrupt[None]), metric))
    return made


@engines("torch", "functions")
def test_a_circuit_that_formed_is_what_appeared_and_undone_is_what_vanished(engine: Engine) -> None:
    held = induction.weights()
    deaf = {**held, "k": held["k"].copy()}
    deaf["k"][1, 0] = 0  # the second layer's head does not hear what stood before: there is no induction
    before, after = induction.opened(engine, deaf), induction.opened(engine, held)
    found = edges(before, after, induced(engine), "exact")
    assert (found.before.clean, found.before.corrupt) == pytest.approx((found.before.corrupt, found.before.clean))
    assert names(found.appeared) == CIRCUIT
    assert not found.vanished and not found.changed
    back = edges(after, before, induced(engine), "exact")
    assert names(back.vanished) == CIRCUIT and names(back.claimed) == CIRCUIT
    assert not edges(after, induction.opened(engine, held), induced(engine), "exact").claimed


def counted(engine: Engine, count: int = 12) -> list[Contrast]:
    """A token stands in the clean prompt once to three times, and not in the corrupt one; its logit at the end."""
    made, rng = [], np.random.default_rng(4)
    for _ in range(count):
        token = int(rng.integers(induction.VOCABULARY))
        others = np.setdiff1d(np.arange(induction.VOCABULARY), [token])
        corrupt = rng.choice(others, (1, induction.LENGTH))
        clean = corrupt.copy()
        clean[0, rng.choice(induction.LENGTH - 1, rng.integers(1, 4), replace=False)] = token

        def metric(output: Any, token: int = token) -> Any:
            return output[0, -1, token]

        made.append(Contrast(engine.array(clean), engine.array(corrupt), metric))
    return made


def composing(composed: float) -> dict[str, Numbers]:
    """Heads that look everywhere alike: both copy the token to the logits, the second what the first wrote too."""
    made = induction.weights()
    some = np.eye(induction.VOCABULARY, induction.WIDE)
    made["q"], made["k"] = np.zeros_like(made["q"]), np.zeros_like(made["k"])
    made["unembed"][induction.PREVIOUS] = 5 * np.eye(induction.VOCABULARY)
    made["v"][1, 0, induction.PREVIOUS] = composed * some
    return made


@engines("torch", "functions")
@pytest.mark.parametrize("how", ["eap-ig", "exact"])
def test_one_edge_that_was_added_is_the_one_that_appears(engine: Engine, how: str) -> None:
    before, after = (induction.opened(engine, composing(each)) for each in (0.0, 4.0))
    with engine.differentiating():
        found = edges(before, after, counted(engine), how)
    assert names(found.appeared) == {(FIRST, "layers.1.attn:v[head=0]")}
    assert not found.vanished
    # What the new edge carries is carried to it and from it too, by edges that were there.
    assert names(found.changed) <= {("embed", "layers.0.attn:v[head=0]"), (SECOND, "logits")}
    (new,) = found.appeared
    assert new.before == pytest.approx(0, abs=1e-12) and new.chance < 0.05
    assert new.after == pytest.approx(found.after[new.edge])


def seventh(engine: Engine, count: int = 16, seed: int = 0, prompts: int = 1) -> list[Contrast]:
    """Prompts that end in token 7, and in 8 in its place."""
    clean = np.random.default_rng(seed).integers(9, 50, (count, prompts, 6))
    corrupt = clean.copy()
    clean[:, :, -1], corrupt[:, :, -1] = 7, 8

    def metric(output: Any) -> Any:
        return logits(output)[:, -1, 3].mean()

    return [Contrast(*map(engine.array, pair), metric) for pair in zip(clean, corrupt, strict=True)]


@engines("torch", "gpt2-linen")
def test_a_head_that_was_silent_and_speaks_has_all_edges_that_appeared(engine: Engine) -> None:
    silent = copy.deepcopy(gpt2())
    with torch.no_grad():
        silent.transformer.h[1].attn.c_proj.weight[16:24] = 0  # head 2
    example = np.zeros((1, 6), dtype=int)
    before, after = engine.open(silent, example), engine.open(gpt2(), example)
    with engine.differentiating():
        found = edges(before, after, seventh(engine, prompts=16), "eap")

    def its(edge: tuple[str, str]) -> bool:
        return any(end.startswith("layers.1.attn:") and end.endswith("[head=2]") for end in edge)

    own = [each for each in found.claimed if its(each.edge)]
    assert own and all(each.before == pytest.approx(0, abs=1e-12) for each in own)
    assert names(found.appeared) == {each.edge for each in own}
    assert ("layers.1.attn:result[head=2]", "layers.1.mlp:in") in names(found.appeared)


@engines("torch", "gpt2-linen")
def test_a_checkpoint_and_its_copy_have_the_same_edges(engine: Engine) -> None:
    example = np.zeros((1, 6), dtype=int)
    before, after = engine.open(gpt2(), example), engine.open(copy.deepcopy(gpt2()), example)
    with engine.differentiating():
        found = edges(before, after, seventh(engine, 4))
    assert not found.claimed and (found.chances > 0.05).all()
    assert found.says == "0 edges appeared, 0 vanished, 0 changed of 262 by eap"


def test_weights_with_a_little_noise_make_no_edges() -> None:
    torch_engine = _torch()
    for seed in range(6):
        after = noisy(gpt2(), 1e-3, seed)
        found = edges(dl.open(gpt2()), dl.open(after), seventh(torch_engine, 8, seed))
        assert np.abs(found.after.array - found.before.array).max() > 0
        assert not found.claimed


def noisy(module: nn.Module, size: float, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for weights in module.parameters():
        weights.data += size * torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
    return module


def _torch() -> Engine:
    from conforming.on_torch import Torch

    return Engine("torch", Torch())


def test_other_contrasts_of_one_checkpoint_are_told_apart_as_often_as_is_said() -> None:
    """The floor at its sharpest: both sides see contrasts of their own, so nothing is shared that would calm it."""
    tables = edge_scores(dl.open(gpt2()), seventh(_torch(), 60), "eap")
    rows = tables.tables[:, *tables.wiring.edges]
    wrong = []
    for seed in range(150):
        chosen = np.random.default_rng(seed).permutation(60)[:16]
        wrong.append(chances(rows[chosen[:8]], rows[chosen[8:]], seed, 400).min() <= 0.05)
    assert np.mean(wrong) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


def test_chances_keep_to_their_level_and_find_what_is_there() -> None:
    wrong, missed = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        shared = rng.standard_t(3, (2, 10, 1))
        before, after = rng.standard_t(3, (2, 10, 40)) + shared  # heavy tails, and edges that hang together
        wrong.append(chances(before, after, seed, 400).min() <= 0.05)
        after[:, :2] += [40, 4000]
        found = chances(before, after, seed, 400)
        missed.append((found[:2] > 0.05).any())
        wrong[-1] |= (found[2:] <= 0.05).any()
    assert 0.01 < np.mean(wrong) <= 0.08  # either of two tables: at 5 % each, most false claims are the same in both
    assert np.mean(missed) < 0.02  # a large step does not hide a smaller one


def test_of_few_contrasts_no_chance_is_rarer_than_counting_says() -> None:
    before, after = np.zeros((4, 3)), np.array([[0, 1.0, 5]] * 4)
    found = chances(before, after, 0, 5000)
    assert found[0] == 1
    assert found[1:] == pytest.approx(2 / 70, abs=0.01)


def test_edges_are_shown_and_are_evidence(tmp_path: Path) -> None:
    before, after = (induction.opened(_torch(), composing(each)) for each in (0.0, 4.0))
    given = counted(_torch())

    def ask(seed: int) -> Diff:
        return diff(before, after, given[0].clean, ["layers.*:out"], seed=seed, contrast=given, how="exact")

    made = ask(5)
    assert made.edges is not None
    assert "1 edge appeared, 0 vanished" in made.says
    evidence = made.evidence()
    figures = {figure.name: figure.value for figure in evidence.figures}
    assert figures["edges that appeared"] == 1 and figures["contrasts"] == 12
    assert figures[f"appeared: {FIRST} → layers.1.attn:v[head=0]"] == pytest.approx(made.edges.appeared[0].step)
    grid = next(grid for grid in evidence.grids if grid.name == "edges that changed")
    assert grid.columns == ("before", "after", "change", "adjusted chance")
    assert f"{FIRST} → layers.1.attn:v[head=0]" in grid.rows
    assert "logits" not in evidence.sites and "layers.0.attn:result" in evidence.sites
    made.show().png(tmp_path / "edges.png")
    again = ask(5)
    assert again.edges is not None
    np.testing.assert_array_equal(again.edges.chances, made.edges.chances)
    assert made.edges.after.evidence().provenance.model == after.hash_later()()


def test_what_cannot_be_compared_by_its_edges_is_refused() -> None:
    before, after = dl.open(gpt2()), dl.open(noisy(gpt2(), 0.1, 0))
    given = seventh(_torch(), 4)
    with pytest.raises(MethodError, match="1 contrast shows nothing of how edges vary"):
        edges(before, after, given[0])
    with pytest.raises(MethodError, match="0 contrasts"):
        diff(before, after, given[0].clean, contrast=[])
    with pytest.raises(MethodError, match="expected Contrasts, got Tensor"):
        diff(before, after, given[0].clean, contrast=[given[0].clean])
    with pytest.raises(MethodError, match="ranks of edges"):
        edges(before, after, given, "ensemble")
    with pytest.raises(MethodError, match="cannot score by 'acdc'"):
        edges(before, after, given, "acdc")
    for least in (0.0, 1.0):
        with pytest.raises(MethodError, match="least is a share"):
            edges(before, after, given, least=least)
    with pytest.raises(MethodError, match="wired differently"):
        edges(before, dl.open(llama()), given)
    same = [Contrast(each.clean, each.clean, each.metric) for each in given]
    with pytest.raises(MethodError, match="the same metric in both models"):
        edges(before, after, same)
