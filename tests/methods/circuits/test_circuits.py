"""Circuits: which edges are chosen, runs as a circuit, faithfulness with its intervals, JSON, pictures."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import induction
import numpy as np
import pytest
import torch
from frameworks import Engine, engine, engines, logits, tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from small_transformers import gpt2, llama, randomised
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from darklantern import models
from darklantern.errors import MethodError
from darklantern.methods.circuits.circuit import Circuit, of_edges
from darklantern.methods.circuits.contrasts import Contrast
from darklantern.methods.circuits.evaluating import evaluate, faithfulness, measured, minimal
from darklantern.methods.circuits.files import load_circuit
from darklantern.methods.circuits.scores import EdgeScores
from darklantern.methods.circuits.scoring import edge_scores
from darklantern.methods.circuits.selecting import connected, select
from darklantern.methods.patching.tracing import wired
from darklantern.methods.patching.wiring import brief

__all__ = ["engine"]
INDUCTION = (
    ("embed", "layers.0.attn:v[head=0]"),
    ("layers.0.attn:result[head=0]", "layers.1.attn:k[head=0]"),
    ("layers.1.attn:result[head=0]", "logits"),
)


def last(output: Any) -> Any:
    return logits(output)[:, -1, 3].mean()


def numbered(seed: int = 5) -> Tensor:
    return torch.from_numpy(tokens(2, 7, seed=seed))


def contrast(seed: int = 5) -> Contrast:
    return Contrast(numbered(seed), numbered(seed + 1), last)


def neox() -> Any:
    """Attention and MLP of a block read the same stream."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=50
    )
    return randomised(GPTNeoXForCausalLM(config).double().eval())


@pytest.fixture(scope="module")
def scores() -> EdgeScores:
    return edge_scores(models.open(gpt2()), contrast(), "eap")


@pytest.mark.parametrize("build", [gpt2, llama, neox])
def test_a_circuit_without_one_edge_is_that_edge_patched(build: Any) -> None:
    """What `exact` scores by two runs is found again by a whole run, edge by edge; and the two ends fit."""
    model, data = models.open(build()), contrast()
    exact = edge_scores(model, data, "exact")
    some = np.random.default_rng(0).choice(len(exact.edges), 12, replace=False)
    full = select(exact, len(exact.edges), connected=False)
    without = [of_edges(exact, [edge for edge in exact.edges if edge != exact.edges[place]]) for place in some]
    found = measured(model, [full, *without], data, "corrupt")
    assert found.circuits[0, 0] == found.whole[0] == pytest.approx(exact.clean, abs=1e-12)
    assert found.none[0] == pytest.approx(exact.corrupt, abs=1e-9 if build is not llama else 1e-5)
    # One edge less: what it loses directly. For edges into heads and MLPs nothing else of the run changes either.
    near = 1e-9 if build is not llama else 1e-5
    np.testing.assert_allclose(exact.clean - found.circuits[0, 1:], exact.array[some], atol=near)


def test_blocks_side_by_side_are_told_from_blocks_in_a_row() -> None:
    side, row = (wired(models.open(build()), numbered(), numbered(6)) for build in (neox, gpt2))
    assert [part.before for part in side.parts] == [0, 0, 2, 2]
    assert [part.before for part in row.parts] == [0, 1, 2, 3, 4, 5]
    shared = wired(models.open(llama()), numbered(), numbered(6))
    assert shared.parts[0].shared == (0, 0, 1, 1)
    assert [each.head for each in shared.feeds(shared.receiver("layers.1.attn:k[head=1]"))] == [2, 3]


def test_in_half_precision_sums_are_told_up_to_its_rounding() -> None:
    model = models.open(neox().bfloat16())
    assert [part.before for part in wired(model, numbered(), numbered(6)).parts] == [0, 0, 2, 2]
    assert len(edge_scores(model, contrast(), "exact").edges) == 12 + 1 + (12 + 1) * 6 + 11


@engines("torch", "functions")
def test_g16_the_induction_circuit_is_enough_and_smallest(engine: Engine) -> None:
    model = induction.opened(engine)
    clean, corrupt, answer = induction.prompts()

    def metric(output: Any) -> Any:
        return (output[0, -1, int(answer[0])] + output[1, -1, int(answer[1])]) / 2

    data = Contrast(engine.array(clean), engine.array(corrupt), metric)
    found = minimal(model, edge_scores(model, data, "exact"), data)
    assert found.edges == INDUCTION and found.faithfulness == pytest.approx(1, abs=1e-6)
    assert found.nodes == ("embed", *(one for one, _ in INDUCTION[1:]))
    less = of_edges(edge_scores(model, data, "exact"), INDUCTION[:1] + INDUCTION[2:])
    assert faithfulness(model, less, data).faithfulness == pytest.approx(0, abs=1e-6)


@engines("torch", "gpt2-linen")
def test_faithfulness_is_the_same_on_both_frameworks(engine: Engine) -> None:
    model = engine.open(gpt2(), tokens())
    data = [Contrast(*(engine.array(tokens(seed=seed + more)) for more in (0, 1)), last) for seed in (5, 7)]
    with engine.differentiating():
        scored = edge_scores(model, data, "eap-ig", steps=3)
    found = evaluate(model, scored, data, fractions=(0.05, 0.3, 1))
    truth = evaluate(models.open(gpt2()), scored, [contrast(5), contrast(7)], fractions=(0.05, 0.3, 1))
    expected = edge_scores(models.open(gpt2()), [contrast(5), contrast(7)], "eap-ig", steps=3)
    np.testing.assert_allclose(scored.array, expected.array, atol=1e-9)
    np.testing.assert_allclose(found.metrics, truth.metrics, atol=1e-9)
    assert found.faithfulness[-1] == pytest.approx(1) and found.edges[-1] == 262


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 262), seed=st.integers(0, 5))
def test_every_edge_of_a_connected_circuit_lies_on_a_path(scores: EdgeScores, count: int, seed: int) -> None:
    table = np.zeros_like(scores.table)
    table[scores.wiring.edges] = np.random.default_rng(seed).normal(size=len(scores.edges))
    shuffled = EdgeScores(scores.wiring, "eap", table[None], 0.0, 1.0, made=scores.made)
    found = select(shuffled, count)
    assert len(found) <= count and (connected(found.wiring, found.kept) == found.kept).all()
    if count == len(scores.edges):
        assert len(found) == count
    ends = {"embed": True}
    for sender, receiver in found.edges:  # each sender is fed, each receiver's parts go on
        fed = ends.get(sender) or any(sender in names(found, to) for _, to in found.edges)
        on = receiver == "logits" or any(one in names(found, receiver) for one, _ in found.edges)
        assert fed and on
    strongest = select(shuffled, count, connected=False)
    assert len(strongest) == count
    left = np.abs(table[scores.wiring.edges])[~strongest.kept[scores.wiring.edges]]
    assert np.abs(table[strongest.kept]).min() >= left.max(initial=0)


def names(circuit: Circuit, receiver: str) -> set[str]:
    return {each.name for each in circuit.wiring.feeds(circuit.wiring.receiver(receiver))}


def test_names_are_short_where_room_is() -> None:
    names = ("embed", "layers.0.attn:result[head=1]", "layers.11.attn:k[head=0,pos=-1]", "layers.2.mlp:in", "blocks.x")
    assert [brief(name) for name in names] == ["embed", "0.h1", "11.k0 pos=-1", "2.mlp", "blocks.x"]


def test_other_ablations_put_means_and_zeros_there() -> None:
    """Without any edge, the logits see what all senders write on average, or nothing but biases."""
    module = gpt2().requires_grad_(False)
    model, data = models.open(module), contrast()
    scored = edge_scores(model, data, "eap")
    circuit = select(scored, 20)
    found = {how: measured(model, [circuit], data, how) for how in ("corrupt", "mean", "zero")}
    assert len({each.none[0] for each in found.values()}) == 3
    other = model.record(data.corrupt, "layers.0.norm1:in", "layers.*.attn:result", "layers.*.mlp:out", "norm:in")
    biases = sum(block.attn.c_proj.bias for block in module.transformer.h)
    average = other["norm:in"].array.mean(0, keepdim=True).expand(2, -1, -1)
    assert found["zero"].none[0] == pytest.approx(
        float(last(module.lm_head(module.transformer.ln_f(biases.expand(2, 7, -1)))))
    )
    assert found["mean"].none[0] == pytest.approx(float(last(module.lm_head(module.transformer.ln_f(average)))))


def test_areas_and_intervals_are_those_of_the_curve(tmp_path: Path, scores: EdgeScores) -> None:
    model, data = models.open(gpt2()), [contrast(seed) for seed in (5, 9, 10)]
    found = evaluate(model, scores, data, fractions=(0.1, 0.5, 1), seed=3)
    share = np.array(found.faithfulness)
    metrics, whole, none = np.array(found.metrics).mean(0), np.mean(found.whole), np.mean(found.none)
    np.testing.assert_allclose(share, (metrics - none) / (whole - none))
    assert found.cpr == pytest.approx(0.4 * share[:2].mean() + 0.5 * share[1:].mean())
    assert found.cmd == pytest.approx(0.4 * abs(1 - share[:2]).mean() + 0.5 * abs(1 - share[1:]).mean())
    assert found.cmd_interval is not None and found.cmd_interval[0] <= found.cmd <= found.cmd_interval[1]
    again = evaluate(model, scores, data, fractions=(0.1, 0.5, 1), seed=3)
    few = [evaluate(model, scores, data, (0.1, 0.5, 1), draws=20, seed=seed).cpr_interval for seed in (3, 4)]
    assert again.cpr_interval == found.cpr_interval and few[0] != few[1]
    alone = evaluate(model, scores, data[0], fractions=(0.1, 1))
    assert alone.cpr_interval is None and alone.cmd_interval is None
    found.show().png(tmp_path / "faithfulness.png")
    assert {"CPR", "CMD", "CMD, 97.5 %"} <= {figure.name for figure in found.evidence().figures}
    assert found.evidence().provenance.seed == 3


def test_draws_without_the_behaviour_give_no_interval(tmp_path: Path, scores: EdgeScores) -> None:
    """In some contrasts the whole model does more than one without edges, in some less: no share of nothing."""
    found = evaluate(models.open(gpt2()), scores, [contrast(seed) for seed in (5, 7, 9)], fractions=(0.1, 0.5, 1))
    assert found.cpr_interval is None and found.cmd_interval is None
    assert {"CPR", "CMD"} <= {figure.name for figure in found.figures} and "CPR, 2.5 %" not in str(found.figures)
    found.show().png(tmp_path / "faithfulness.png")


def test_intervals_hold_what_they_are_of(scores: EdgeScores) -> None:
    """A circuit that is nearly whole: each draw is a little off, now above, now below, so all distances are above."""
    rng = np.random.default_rng(0)
    data = [contrast(seed) for seed in (5, 9, 10)]
    found = evaluate(models.open(gpt2()), scores, data, fractions=(0.5, 1))
    whole, none = np.ones(40), np.zeros(40)
    metrics = np.stack([whole + 0.5 * rng.normal(size=40), whole], 1)
    metrics[:, 0] += 1 - metrics[:, 0].mean()
    made = [tuple(map(float, each)) for each in (whole, none)]
    rows = tuple(map(tuple, metrics.tolist()))
    close = dataclasses.replace(found, whole=made[0], none=made[1], metrics=rows, faithfulness=(1.0, 1.0))
    assert close.cmd_interval is not None and close.cmd_interval[0] <= close.cmd == 0 < close.cmd_interval[1]


def test_a_circuit_goes_to_json_and_back(scores: EdgeScores, tmp_path: Path) -> None:
    model = models.open(gpt2())
    circuit = faithfulness(model, select(scores, 30), contrast())
    again = load_circuit(model, circuit.json())
    assert again.edges == circuit.edges and again.wiring == circuit.wiring
    assert again.faithfulness == circuit.faithfulness and again.how == "eap"
    np.testing.assert_array_equal(again.scores, np.where(circuit.kept, circuit.scores, 0))
    np.testing.assert_allclose(measured(model, [again], contrast(), "corrupt").faithfulness, [circuit.faithfulness])
    held = json.loads(circuit.json())
    assert held["edges"][0].keys() == {"from", "to", "score"} and held["of"] == 262
    for text, says in (
        ("{", "no JSON"),
        ("[]", "no circuit"),
        (json.dumps({**held, "version": 2}), "version 2"),
        (json.dumps({**held, "edges": [{"from": "embed"}]}), "not whole"),
        (json.dumps({**held, "edges": [{"from": "embed", "to": "x", "score": 0}]}), "x is no input of its own"),
    ):
        with pytest.raises(MethodError, match=says):
            load_circuit(model, text)
    circuit.show().png(tmp_path / "circuit.png")
    assert (tmp_path / "circuit.png").stat().st_size > 10_000
    evidence = circuit.evidence()
    assert evidence.method == "faithfulness" and "edges by eap, which make" in evidence.summary


def test_what_cannot_be_chosen_or_measured_is_refused(scores: EdgeScores) -> None:
    model = models.open(gpt2())
    for count in (0, 263):
        with pytest.raises(MethodError, match=f"{count} of 262 edges"):
            select(scores, count)
    with pytest.raises(MethodError, match="does not read"):
        of_edges(scores, [("layers.2.mlp:out", "layers.0.mlp:in")])
    with pytest.raises(MethodError, match="cannot ablate by 'noise'"):
        evaluate(model, scores, contrast(), ablation="noise")
    with pytest.raises(MethodError, match="no data"):
        evaluate(model, scores, [])
    with pytest.raises(MethodError, match=r"fractions \[2\]"):
        evaluate(model, scores, contrast(), fractions=[2])
    flat = Contrast(numbered(), numbered(6), lambda output: logits(output).sum() * 0)
    with pytest.raises(MethodError, match="without any edge"):
        evaluate(model, scores, flat)
    broken = EdgeScores(scores.wiring, "eap", scores.table[None] * np.nan, 0.0, 1.0, made=scores.made)
    with pytest.raises(MethodError, match="no finite numbers"):
        select(broken, 3)
