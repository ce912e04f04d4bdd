"""Edge scores: exact where all is linear, the heads of a known circuit, first order elsewhere, and their cost."""

import re
from pathlib import Path
from typing import Any

import induction
import numpy as np
import pytest
import torch
from frameworks import Engine, Numbers, engine, engines, logits, tokens
from small_transformers import gpt2, llama, randomised
from torch import Tensor
from transformers import PhiConfig, PhiForCausalLM, Qwen3Config, Qwen3ForCausalLM

from darklantern import models
from darklantern.errors import MethodError
from darklantern.methods.circuits.contrasts import Contrast
from darklantern.methods.circuits.ranks import auroc, average_precision
from darklantern.methods.circuits.scores import EdgeScores
from darklantern.methods.circuits.scoring import HOW, edge_scores
from darklantern.methods.metrics import number
from darklantern.methods.patching.held import held, seen, wrote
from darklantern.methods.patching.naming import inner
from darklantern.methods.patching.tracing import wired
from darklantern.models.edits import put
from darklantern.models.opened import Model

__all__ = ["engine"]


def last(output: Any) -> Any:
    return logits(output)[:, -1, 3].mean()


def numbered(seed: int = 5) -> Tensor:
    return torch.from_numpy(tokens(2, 7, seed=seed))


def contrast(seed: int = 5) -> Contrast:
    return Contrast(numbered(seed), numbered(seed + 1), last)


def answered(engine: Engine) -> Contrast:
    clean, corrupt, answer = induction.prompts()

    def metric(output: Any) -> Any:
        return (output[0, -1, int(answer[0])] + output[1, -1, int(answer[1])]) / 2

    return Contrast(engine.array(clean), engine.array(corrupt), metric)


@engines("torch", "functions")
def test_g9_in_a_linear_net_every_score_is_exact(engine: Engine) -> None:
    model, data = induction.opened(engine, induction.linear_weights()), answered(engine)
    with engine.differentiating():
        scored = {how: edge_scores(model, data, how) for how in HOW if how != "ensemble"}
    exact = scored["exact"].array
    assert np.abs(exact).max() > 0.1 and len(exact) == 1 * 6 + 3 * 6 + 5
    for how in ("eap", "eap-ig", "relp", "eap-ig-receivers"):
        np.testing.assert_allclose(scored[how].array, exact, atol=1e-10)
    # What senders say to the logits adds up to the whole difference.
    whole = scored["exact"].clean - scored["exact"].corrupt
    assert scored["exact"].table[:, -1].sum() == pytest.approx(whole, abs=1e-10)


@engines("torch", "functions")
def test_g16_exact_patching_names_the_two_heads_of_the_induction_circuit(engine: Engine) -> None:
    scores = edge_scores(induction.opened(engine), answered(engine), "exact")
    true = [
        ("embed", "layers.0.attn:v[head=0]"),
        ("layers.0.attn:result[head=0]", "layers.1.attn:k[head=0]"),
        ("layers.1.attn:result[head=0]", "logits"),
    ]
    assert scores.auroc(true) == scores.average_precision(true) == 1
    assert {edge for edge, score in scores.ranked() if abs(score) > 1e-3} == set(true)
    assert {name for name, score in scores.nodes.items() if abs(score) > 1e-3} == {"embed", *(one for one, _ in true)}
    assert scores[true[1]] == pytest.approx(5 - 5 / 9, abs=1e-6)


@engines("torch", "gpt2-linen", "gpt2-haiku")
def test_eap_is_the_first_order_of_every_edge(engine: Engine) -> None:
    """A small share of each sender's step, put into each receiver: norms, heads' inputs, MLPs, logits."""
    assert_first_order(
        engine.open(gpt2(), tokens()), engine.array(tokens(seed=5)), engine.array(tokens(seed=6)), engine
    )


def phi() -> Any:
    """Attention and MLP of a block share a norm, and half of queries and keys are rotated."""
    torch.manual_seed(0)
    kinds = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config = PhiConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=50, **kinds
    )
    return randomised(PhiForCausalLM(config).double().eval())


@engines("torch")
def test_eap_is_the_first_order_of_every_edge_where_attention_and_mlp_share_a_norm(engine: Engine) -> None:
    assert_first_order(models.open(phi()), numbered(5), numbered(6), engine)


def test_norms_of_queries_and_keys_are_for_exact_scores_alone() -> None:
    config = Qwen3Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, head_dim=8, vocab_size=50
    )
    model = models.open(randomised(Qwen3ForCausalLM(config).double().eval()))
    assert len(edge_scores(model, contrast(), "exact").edges) == 8 + 5 + 6
    for how in ("eap", "eap-ig-receivers"):
        with pytest.raises(MethodError, match="are not a norm and a linear map of the stream"):
            edge_scores(model, contrast(), how)


@engines("torch", "gpt2-linen")
def test_on_ways_of_their_own_scores_of_a_port_add_up_to_what_patching_its_whole_input_does(engine: Engine) -> None:
    assert_complete(engine.open(gpt2(), tokens()), engine)


@engines("torch")
@pytest.mark.parametrize("kind", [llama, phi])
def test_they_do_with_grouped_queries_and_where_attention_and_mlp_share_a_norm(kind: Any, engine: Engine) -> None:
    assert_complete(models.open(kind()), engine, steps=150)


def assert_complete(model: Model, engine: Engine, steps: int = 50) -> None:
    clean, corrupt = (engine.array(tokens(2, 7, seed=seed)) for seed in (5, 6))
    with engine.differentiating():
        scores = edge_scores(model, Contrast(clean, corrupt, last), "eap-ig-receivers", steps)
    wiring = scores.wiring
    whole = held(model, clean, wiring, 1)
    other = model.record(corrupt, *(part.entrance for part in wiring.parts), wiring.end)
    plain = number(last, model.run(clean))
    named = [re.sub(r"\[head=\d+\]", "", str(each)) for each in wiring.receivers]
    for part in wiring.parts:
        made = whole.made(part, other[part.entrance])
        for site in part.inner:
            lost = plain - number(last, model.run(clean, {site: put(made[site])}))
            column = [each in (str(site), f"{site.path}:in") for each in named]
            assert scores.table[:, column].sum() == pytest.approx(lost, rel=1e-3, abs=1e-4), site
    ended = plain - number(last, whole.ending(other[wiring.end]))
    assert scores.table[:, -1].sum() == pytest.approx(ended, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("seed", [5, 15, 25])
def test_on_ways_of_their_own_scores_are_nearer_to_exact_ones_than_on_the_way_of_all(seed: int) -> None:
    model, ways = models.open(gpt2()), ("exact", "eap-ig-receivers", "eap-ig", "eap")
    exact, own, shared, point = (edge_scores(model, contrast(seed), how).array for how in ways)
    near, *off = (np.corrcoef(each, exact)[0, 1] for each in (own, shared, point))
    assert near > max(off) + 0.1


@engines("torch")
def test_eap_is_the_first_order_of_every_edge_with_grouped_queries_and_rotation(engine: Engine) -> None:
    assert_first_order(models.open(llama()), numbered(5), numbered(6), engine, 1e-3, 3e-3)  # its norms are in float32


def assert_first_order(
    model: Any, clean: Any, corrupt: Any, engine: Engine, step: float = 1e-4, near: float = 1e-5
) -> None:
    with engine.differentiating():
        found = edge_scores(model, Contrast(clean, corrupt, last), "eap")
    wiring = wired(model, clean, corrupt)
    here, other = held(model, clean, wiring, 100), model.record(corrupt, *seen(wiring))
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(found.edges), 30, replace=False)
    for from_, to in [found.edges[place] for place in chosen]:
        sender, receiver = wiring.sender(from_), wiring.receiver(to)
        small = (here.wrote(sender) - wrote(other, wiring, sender)) * step
        metrics = []
        for sign in (1, -1):
            if receiver.part == len(wiring.parts):
                output = here.ending(here.plain[wiring.end] + small * sign)
            else:
                part = wiring.parts[receiver.part]
                site = inner(part, receiver)
                made = here.made(part, here.plain[part.entrance] + small * sign)
                output = here.output(part, {site: put(made[site])})
            metrics.append(float(last(output)))
        assert found[from_, to] == pytest.approx((metrics[0] - metrics[1]) / (2 * step), abs=near)


@pytest.mark.parametrize("build", [gpt2, llama])
def test_with_more_steps_integrated_gradients_converge(build: Any) -> None:
    model = models.open(build())
    few, some, many = (edge_scores(model, contrast(), "eap-ig", steps).array for steps in (2, 12, 24))
    assert np.abs(some - many).max() < np.abs(few - many).max() / 3


def test_scores_cost_two_runs_forward_and_one_back_for_each_contrast() -> None:
    model = models.open(gpt2())

    def cost(how: str, count: int) -> Numbers:
        spent = edge_scores(model, [contrast(5 + 2 * number) for number in range(count)], how).made.cost
        return np.array([spent.forward, spent.backward, spent.partial])

    for how, each in (("eap", (2, 1, 0)), ("relp", (2, 1, 0)), ("eap-ig", (7, 5, 0))):
        np.testing.assert_array_equal(cost(how, 3) - cost(how, 2), each)
        assert cost(how, 1)[0] - each[0] <= 20  # wiring, and the maps of heads that are 32 + 1 positions wide


def test_scores_are_the_mean_over_contrasts_and_data_may_be_streamed() -> None:
    model = models.open(gpt2())
    both = edge_scores(model, (contrast(seed) for seed in (5, 7)), "eap")
    one, two = (edge_scores(model, contrast(seed), "eap") for seed in (5, 7))
    np.testing.assert_allclose(both.array, (one.array + two.array) / 2, atol=1e-12)
    assert both.tables.shape == (2, 16, 40) and not both.tables.flags.writeable
    assert both.clean == pytest.approx((one.clean + two.clean) / 2)


def test_relp_gives_queries_and_keys_nothing_and_an_ensemble_ranks() -> None:
    model = models.open(gpt2())
    relp, ensemble = (edge_scores(model, contrast(), how) for how in ("relp", "ensemble"))
    asks = [":q[" in to or ":k[" in to for _, to in relp.edges]
    assert not relp.array[asks].any() and relp.array[~np.array(asks)].all()
    size = np.abs(ensemble.array)
    assert size.min() >= 0 and 0.9 < size.max() <= 1


def test_scores_are_shown_and_are_evidence(tmp_path: Path) -> None:
    scores: EdgeScores = edge_scores(models.open(gpt2()), contrast(), "eap")
    scores.show().png(tmp_path / "scores.png")
    evidence = scores.evidence()
    assert evidence.method == "edge_scores: eap" and len(evidence.figures) == 22
    assert evidence.grids[0].rows[1] == "layers.0.attn:result[head=0]"
    assert "262 edges by eap" in repr(scores)


def test_ranks_tell_true_from_false_as_counting_pairs_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, true = rng.integers(0, 6, 30).astype(float), rng.random(30) < 0.3
        above = scores[true][:, None] - scores[~true][None]
        assert auroc(scores, true.tolist()) == pytest.approx(((above > 0) + 0.5 * (above == 0)).mean())
    assert average_precision(np.array([3.0, 2.0, 1.0]), [True, False, True]) == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(MethodError, match="0 of 3 are true"):
        auroc(np.zeros(3), [False] * 3)
    with pytest.raises(MethodError, match="no finite numbers"):
        auroc(np.array([1, np.nan]), [True, False])


def test_what_cannot_be_scored_is_refused() -> None:
    model = models.open(gpt2())
    with pytest.raises(MethodError, match="cannot score by 'acdc'"):
        edge_scores(model, contrast(), "acdc")
    with pytest.raises(MethodError, match="no data"):
        edge_scores(model, [])
    with pytest.raises(MethodError, match="expected Contrasts, got Tensor"):
        edge_scores(model, [numbered(), numbered(6)])  # type: ignore[list-item]
    with pytest.raises(MethodError, match="expected a Contrast"):
        edge_scores(model, 3)  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="nothing can be lost"):
        edge_scores(model, Contrast(numbered(), numbered(), last), "eap")
    with pytest.raises(MethodError, match="0 steps"):
        edge_scores(model, contrast(), steps=0)
    scores = edge_scores(model, contrast(), "eap")
    with pytest.raises(MethodError, match="there is no edge embed → nowhere"):
        scores.auroc([("embed", "nowhere")])
    with pytest.raises(MethodError, match="does not read"):
        scores["layers.2.mlp:out", "layers.0.mlp:in"]
    assert set(HOW) == {"exact", "eap", "eap-ig", "relp", "eap-ig-receivers", "ensemble"}
