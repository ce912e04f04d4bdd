"""Labels of neurons and directions in transformers of several families, and the statistics that rules are made of."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from frameworks import Engine, Numbers, engine, engines, normal
from hypothesis import given
from hypothesis import strategies as st
from small_transformers import gpt2, llama
from torch import Tensor, nn

from darklantern import models
from darklantern.methods.labels import Feature, label, label_each
from darklantern.methods.labels.contexts import KINDS, VIEWS, described, kind, views
from darklantern.methods.labels.counting import Counts
from darklantern.methods.labels.reading import Words
from darklantern.methods.labels.rules import log_odds, surprise
from darklantern.methods.labels.spans import Kept, Page

__all__ = ["engine"]


def words(count: int, seed: int) -> Numbers:
    return np.random.default_rng(seed).integers(0, 50, (count, 12))


@engines("torch", "gpt2-linen")
def test_a_neuron_and_a_direction_in_gpt2(engine: Engine) -> None:
    model = engine.open(gpt2(), words(2, 0))
    data = [engine.array(words(16, seed)) for seed in range(4)]
    direction = normal(32, seed=4)
    found = label_each(
        model, data, ["layers.2.mlp:neurons[neuron=17]", Feature(models.parse("layers.1:out"), direction)]
    )
    for one, batch in zip(found, ("layers.2.mlp:neurons", "layers.1:out"), strict=True):
        values = np.concatenate([engine.numbers(model.record(each, batch)[batch].array) for each in data])
        true = values[..., 17] if "neurons" in batch else values @ direction
        assert one.density == pytest.approx((true >= one.threshold).mean(), abs=0.05)  # of the part not held out
        assert true.min() <= one.top[-1].activation <= one.top[0].activation <= true.max() + 1e-9


def test_a_neuron_of_a_gated_mlp_by_its_embedding() -> None:
    net = llama()
    model = models.open(net)
    embedding = net.get_parameter("model.embed_tokens.weight")
    towards = (embedding[7] / (embedding[7] @ embedding[7])).detach()
    found = label(
        model, [torch.from_numpy(words(30, seed)) for seed in range(6)], Feature(models.parse("embed:out"), towards)
    )
    assert found.rule is not None and found.rule.view == "token" and 7 in found.rule.codes


def test_a_directions_own_site_is_read_at_all_positions() -> None:
    model = models.open(gpt2())
    data = [torch.from_numpy(words(16, seed)) for seed in range(4)]
    vector = normal(32, seed=4)
    own = SimpleNamespace(site=models.parse("layers.1:out[pos=-1]"), vector=vector)
    one, two = label(model, data, own), label(model, data, vector, site="layers.1:out")
    assert one.threshold == two.threshold and one.lifts == two.lifts
    assert str(one.feature.site) == "layers.1:out"


class Both(nn.Module):
    """Active at one token, but only where a bracket is open; negative elsewhere."""

    def forward(self, ids: Tensor) -> Tensor:
        walked = torch.cumsum((ids == 1) * 1 - (ids == 2) * 1, 1)
        inside = (walked > walked.cummin(1).values.clamp(max=0)) & (ids != 1)
        return ((((ids == 9) & inside) * 3.0) - 1.0 + 0.01 * ids)[..., None]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = Both()

    def forward(self, ids: Tensor) -> Tensor:
        return self.part(ids)


def test_two_conditions_at_once_and_activations_around_minus_one() -> None:
    texts = {1: "(", 2: ")"}
    found = label(
        models.open(Net()),
        [torch.from_numpy(words(40, seed) % 12) for seed in range(8)],
        "part:out[dim=0]",
        text=lambda number: texts.get(number, f"w{number}"),
    )
    assert found.text == "'w9' within ( )"
    assert found.held is not None and found.held.f1 == 1


@given(st.integers(1, 60), st.data(), st.floats(0.001, 0.9))
def test_a_bound_on_the_binomial_tail_is_never_below_it(seen: int, data: Any, rate: float) -> None:
    hits = data.draw(st.integers(0, seen))
    tail = sum(math.comb(seen, k) * rate**k * (1 - rate) ** (seen - k) for k in range(hits, seen + 1))
    nats = surprise(np.array([hits]), np.array([seen]), rate)[0]
    assert nats >= 0 and math.exp(-nats) >= tail * (1 - 1e-9)


def test_log_odds_are_those_of_the_table() -> None:
    found = log_odds(np.array([30]), np.array([40]), 50, 1000)[0]
    assert found == pytest.approx(math.log(30.5 / 10.5) - math.log(20.5 / 940.5))


def test_counts_are_exact_and_let_go_of_the_rarest() -> None:
    rng = np.random.default_rng(0)
    codes, levels = rng.zipf(1.5, 4000) % 1000, rng.integers(0, 4, 4000)
    whole, few = Counts(), Counts(most=20)
    for part in np.split(np.arange(4000), 8):
        whole.add(codes[part], levels[part])
        few.add(codes[part], levels[part])
    found, seen, hits = whole.above(2)
    for code, count, active in zip(found, seen, hits, strict=True):
        assert count == (codes == code).sum() and active == ((codes == code) & (levels >= 2)).sum()
    kept, count, _ = few.above(0)
    assert count.sum() + few.dropped == 4000 and whole.dropped == 0
    assert set(kept) >= {code for code in found if (codes == code).sum() > 300}


def test_views_say_what_stands_around() -> None:
    text = ["<", "The", "cat", "(", "12", ",", ")", "Ω", " ", "a1"]
    ids = np.array([[1, 2, 3, 4, 5, 6, 7, 9]])
    known = Words(SimpleNamespace(), lambda number: text[number])  # type: ignore[arg-type]
    codes = dict(zip(VIEWS, views(ids, known)[:, 0], strict=True))
    assert codes["previous"].tolist() == [-1, 1, 2, 3, 4, 5, 6, 7]
    assert codes["two before"].tolist() == [-1, -1, 1, 2, 3, 4, 5, 6]
    assert codes["next"].tolist() == [2, 3, 4, 5, 6, 7, 9, -1]
    assert codes["within"].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert [KINDS[each] for each in codes["kind"]] == [KINDS[kind(text[i])] for i in ids[0]]
    assert kind(" ") == 4 and kind("a1") == 6 and kind("Ω") == 5 and kind("The") == 1
    assert described("token after", int(codes["token after"][1]), known) == "'cat' after 'The'"
    assert described("token within", int(codes["token within"][3]), known) == "'12' within ( )"
    assert described("ending", int(codes["ending"][0]), known) == "'he'"
    assert described("position", int(codes["position"][7]), known) == "a position from 4 on"


def test_spans_of_a_level_are_drawn_evenly_however_the_data_are_cut() -> None:
    drawn = np.zeros(400)
    for seed in range(60):
        rng, kept = np.random.default_rng(seed), Kept()
        for first in range(0, 400, 50):
            ids = np.arange(first, first + 50).reshape(10, 5)
            known = Words(SimpleNamespace(), str)  # type: ignore[arg-type]
            page = Page(ids, np.full(10, 5), np.ones((10, 5)), views(ids, known), known, first // 5)
            kept.add(page, np.ones((10, 5), dtype=bool), rng)
        drawn[[int(span.tokens[span.peak]) for span in kept.drawn()]] += 1
    quarters = drawn.reshape(4, 100).sum(1)
    assert quarters.sum() == 60 * 48
    assert np.abs(quarters / quarters.mean() - 1).max() < 0.1


def test_what_is_kept_is_bounded_however_much_text_there_is() -> None:
    rng, kept, known = np.random.default_rng(0), Kept(), Words(SimpleNamespace(), str)  # type: ignore[arg-type]
    sizes = []
    for first in range(0, 2000, 50):
        ids = rng.integers(0, 9, (50, 8))
        heights = rng.lognormal(sigma=4, size=ids.shape)
        page = Page(ids, np.full(50, 8), heights, views(ids, known), known, first)
        kept.add(page, np.ones(ids.shape, dtype=bool), rng)
        sizes.append(len(list(kept.drawn())))
    assert max(sizes) <= 13 * 48 and len(kept.top) == 20
    tops = [height for height, _ in kept.top]
    assert tops == sorted(tops, reverse=True) and len({span.example for _, span in kept.top}) == 20
