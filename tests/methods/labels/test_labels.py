"""`label`: ground truth G20 (planted rules are recovered without a language model; scorers are 1 true and ½ random)."""

import itertools
from typing import Any

import numpy as np
import planted_rules as planted
import pytest
import torch
from frameworks import Engine, engine, engines
from planted_rules import RULES, VOCABULARY, activations, opened, text, written
from words import WORDS, Words

from darklantern import models
from darklantern.errors import MethodError, SiteError
from darklantern.methods.labels import ByRule, Feature, Label, label, label_each
from darklantern.methods.labels.intervening import intervene
from darklantern.methods.labels.levels import COUNT, edge, level

__all__ = ["engine"]
BATCHES, EACH = 12, 40


def neuron(number: int) -> str:
    return f"planted:out[dim={number}]"


def data(engine: Engine) -> list[Any]:
    return [engine.array(written(EACH, seed)) for seed in range(BATCHES)]


def labelled(engine: Engine, wanted: list[Any], **options: Any) -> tuple[Label, ...]:
    return whole(label_each(opened(engine), data(engine), wanted, text=text, **options))


def whole(found: tuple[Label | MethodError, ...]) -> tuple[Label, ...]:
    """Labels, where all could be made."""
    for each in found:
        if isinstance(each, MethodError):
            raise each
    return tuple(each for each in found if isinstance(each, Label))


@pytest.fixture
def torch_engine() -> Engine:
    from conforming.on_torch import Torch

    return Engine("torch", Torch())


def names(found: Label, rule: planted.Planted) -> bool:
    """Whether a label says just what was planted."""
    if found.rule is None or found.rule.view != rule.view:
        return False
    if rule.kind == "within":
        return found.text == f"within {VOCABULARY[rule.one]} {VOCABULARY[rule.one + 1]}"
    if rule.kind == "token within":
        return found.text == f"{text(rule.one)!r} within ( )"
    if rule.kind == "pair":
        return found.text == f"{text(rule.two)!r} after {text(rule.one)!r}"
    return found.rule.codes == {rule.one}


@engines("torch", "linen")
def test_g20_planted_rules_are_recovered_and_scores_tell_true_from_random(engine: Engine) -> None:
    found = labelled(engine, [neuron(number) for number in range(len(RULES))])
    right = [names(one, rule) for one, rule in zip(found, RULES, strict=True)]
    assert np.mean(right) >= 0.95
    true = [one.score(f"{kind} by the rule").accuracy for one in found for kind in ("detection", "fuzzing")]
    assert np.mean(np.array(true) == 1) >= 0.95
    for kind in ("detection", "fuzzing"):
        scores = [
            (each.accuracy, each.spans)
            for one in found
            for each in one.scores
            if each.name == f"{kind} by random codes"
        ]
        accuracy, weights = zip(*scores, strict=True)
        assert np.average(accuracy, weights=weights) == pytest.approx(0.5, abs=0.03)
    assert min(one.held.f1 for one, good in zip(found, right, strict=True) if good and one.held is not None) > 0.9
    assert max(one.control for one in found) < 0.2  # what the search makes of shuffled activations


@engines("linen")
def test_the_same_label_on_jax_as_on_torch(engine: Engine, torch_engine: Engine) -> None:
    mine, theirs = (labelled(each, [neuron(0), neuron(62)]) for each in (engine, torch_engine))
    for one, other in zip(mine, theirs, strict=True):
        assert one.rule == other.rule and one.threshold == other.threshold and one.lifts == other.lifts
        for a, b in zip(one.figures, other.figures, strict=True):
            assert a.name == b.name and a.value == pytest.approx(b.value, abs=1e-9)


def test_activations_and_ranks_are_those_of_the_model(torch_engine: Engine) -> None:
    found = labelled(torch_engine, [neuron(3)], held_out=0)[0]
    true = np.concatenate([activations(planted._Torch, batch).numpy()[..., 3] for batch in data(torch_engine)])
    assert found.top[0].activation == pytest.approx(true.max(), abs=1e-12)
    heights = [span.activation for span in found.top]
    assert heights == sorted(heights, reverse=True)
    assert len({span.example for span in found.top}) == len(found.top)
    for span in found.top:
        shown = true[span.example]
        start = int(np.argmax(shown)) - span.peak
        np.testing.assert_allclose(span.activations, shown[start : start + len(span.tokens)])
    assert found.density == pytest.approx((true >= found.threshold).mean(), abs=1e-12)
    assert sum(count for _, count in found.histogram) == true.size == found.tokens
    ranks = [[span.activation for span in part] for _, part in found.quantiles[1:]]
    assert all(min(one) >= max(two) for one, two in itertools.pairwise(ranks))


def test_lifts_are_the_counts_of_the_text(torch_engine: Engine) -> None:
    found = labelled(torch_engine, [neuron(0)], held_out=0)[0]
    ids = np.concatenate([batch.numpy() for batch in data(torch_engine)])
    active = np.concatenate([activations(planted._Torch, batch).numpy()[..., 0] for batch in data(torch_engine)])
    active = active >= found.threshold
    first = next(each for each in found.lifts if each.view == "token")
    there = ids == first.code
    assert (first.seen, first.active) == (there.sum(), (there & active).sum())
    assert first.lift == pytest.approx(active[there].mean() / active.mean())
    np.testing.assert_array_equal(found.holds(ids), ids == RULES[0].one)


def test_a_direction_and_a_function_are_labelled_in_the_same_pass(torch_engine: Engine) -> None:
    towards = np.zeros(len(RULES))
    towards[[5, 9]] = 1
    both = Feature(models.parse("planted:out"), towards, name="either of two")
    most = Feature(
        models.parse("planted:out"), of=lambda value: value.array[..., [5, 9]].max(-1).values, name="the larger"
    )
    found = labelled(torch_engine, [both, most, neuron(5)])
    for one in found[:2]:
        assert one.rule is not None and one.rule.codes == {RULES[5].one, RULES[9].one}
    assert found[2].rule is not None and found[2].rule.codes == {RULES[5].one}
    assert found[0].made.cost.forward == BATCHES


def test_a_label_is_the_same_alone_and_in_company(torch_engine: Engine) -> None:
    alone, (_, second) = labelled(torch_engine, [neuron(1)])[0], labelled(torch_engine, [neuron(0), neuron(1)])
    assert alone.rule == second.rule and alone.scores == second.scores and alone.held == second.held
    other = labelled(torch_engine, [neuron(1)], seed=1)[0]
    assert other.rule is not None and alone.rule is not None and other.rule.codes == alone.rule.codes
    assert other.held != alone.held  # another part of the examples


def test_a_dead_neuron_has_an_error_in_its_place_and_a_rare_one_says_why_it_has_no_scores(
    torch_engine: Engine,
) -> None:
    dead = Feature(models.parse("planted:out"), np.zeros(len(RULES)))
    rare = Feature(models.parse("planted:out"), of=Once())
    one, two, three = label_each(opened(torch_engine), data(torch_engine), [dead, neuron(1), rare], text=text)
    assert isinstance(one, MethodError) and "0 at every token" in str(one)
    assert isinstance(two, Label) and two.rule is not None and not two.unscored
    assert isinstance(three, Label) and three.scores == () and "0 held-out spans are active" in three.says


class Once:
    """Active at one token of the first batch."""

    seen = False

    def __call__(self, value: Any) -> torch.Tensor:
        made = torch.zeros(value.shape[:2])
        made[1, 3], self.seen = float(not self.seen), True
        return made


def test_first_tokens_can_be_left_out(torch_engine: Engine) -> None:
    found = labelled(torch_engine, [neuron(0)], skip=2, held_out=0)[0]
    assert found.tokens == BATCHES * EACH * 30
    assert not any(lift.view == "position" for lift in found.lifts)


def test_data_are_read_once_and_cut_as_they_come(torch_engine: Engine) -> None:
    rows = np.concatenate([written(EACH, seed) for seed in range(BATCHES)])
    model = opened(torch_engine)
    small = (torch.from_numpy(rows[i : i + 8]) for i in range(0, len(rows), 8))
    one = label(model, small, neuron(0), text=text, held_out=0)
    two = label(model, torch.from_numpy(rows), neuron(0), text=text, held_out=0)
    assert one.lifts == two.lifts and one.histogram == two.histogram
    assert [span.activation for span in one.top] == [span.activation for span in two.top]


def test_prompts_of_several_lengths_count_only_their_own_tokens() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    model = models.open(GPT2LMHeadModel(config).eval(), Words())
    prompts = ["Mary went to the shop", "John left", "Anna gave John a drink and left"] * 6
    found = label(model, prompts, "layers.0.mlp:neurons[neuron=3]", held_out=0)
    assert found.tokens == sum(len(each.split()) for each in prompts)
    assert not any("<pad>" in span.tokens for _, part in found.quantiles for span in part)


def test_pushing_a_feature_raises_the_tokens_of_its_label_and_no_random_push_does(torch_engine: Engine) -> None:
    model, inputs = opened(torch_engine), data(torch_engine)
    push = np.zeros(len(RULES))
    push[2] = 2.0
    both = [neuron(2), Feature(models.parse("planted:out"), push)]
    neuron_two, direction = whole(label_each(model, inputs, both, text=text))
    for one in (neuron_two, direction):
        found = intervene(model, inputs[:2], one)
        assert found.supported and found.steered > 1 and found.ablated < -1
        assert max(map(abs, found.steered_at_random)) < found.steered / 3
    same = intervene(model, inputs[:2], neuron_two, amount=1.0)
    scaled = intervene(model, inputs[:2], direction, amount=2.0)  # twice the neuron
    assert same.steered == pytest.approx(scaled.steered)
    wrong = intervene(model, inputs[:2], neuron_two, tokens=[RULES[7].one])
    assert not wrong.supported and "does not raise" in wrong.says
    with pytest.raises(MethodError, match="names no tokens"):
        intervene(model, inputs[:1], neuron_two, tokens=[])


@engines("linen")
def test_pushing_a_feature_on_jax(engine: Engine) -> None:
    model, inputs = opened(engine), data(engine)
    found = intervene(model, inputs[:2], label(model, inputs, neuron(2), text=text), controls=2)
    assert found.supported and found.ablated < -1


class Knowing:
    """A language model in a function: it knows one word, and finds it where it is asked to."""

    def __init__(self, word: str) -> None:
        self.word, self.asked = word, 0

    def __call__(self, prompt: str) -> str:
        self.asked += 1
        if "have in common" in prompt:
            return f"\nthe syllable{self.word}\nmore than asked for"
        shown = next(line for line in prompt.splitlines() if line.startswith("Text: "))
        if "between « and »" in prompt.splitlines()[-1]:
            marks = [each.partition("»")[0] for each in shown.split("«")[1:]]
            return "Yes." if all(mark == self.word for mark in marks) else "no"
        return "yes" if self.word in shown else "no"


def test_a_language_model_names_and_judges_where_one_is_handed_over(torch_engine: Engine) -> None:
    knowing, wrong = Knowing(text(RULES[0].one)), Knowing(" zzz")
    found, other = (labelled(torch_engine, [neuron(0)], llm=each)[0] for each in (knowing, wrong))
    assert found.text == "the syllable" + text(RULES[0].one)
    assert found.score("detection by the language model").accuracy == 1
    assert found.score("fuzzing by the language model").accuracy == 1
    assert other.score("detection by the language model").accuracy == 0.5
    assert other.score("detection by the rule").accuracy == 1
    with pytest.raises(MethodError, match="neither yes nor no"):
        labelled(torch_engine, [neuron(0)], llm=lambda prompt: "perhaps")
    with pytest.raises(MethodError, match="gave no label"):
        labelled(torch_engine, [neuron(0)], llm=lambda prompt: "")


def test_noise_has_no_rule(torch_engine: Engine) -> None:
    rng = np.random.default_rng(0)
    noise = Feature(models.parse("planted:out"), of=lambda value: torch.from_numpy(rng.normal(size=value.shape[:2])))
    found = labelled(torch_engine, [noise], threshold=1.0)[0]
    assert found.rule is None and found.held is None and found.scores == ()
    assert "nothing that its tokens tell" in found.says and "no rule to judge by" in found.says
    assert found.density == pytest.approx(0.16, abs=0.02)
    assert found.grids and found.show().says == found.says


def test_picture_figures_and_evidence(torch_engine: Engine, tmp_path: Any) -> None:
    found = labelled(torch_engine, [neuron(0)], seed=3)[0]
    found.show().png(tmp_path / "label.png")
    shown = str(found.show().svg)
    assert "highest" in shown and "not active" in shown and "Tinted from" in shown
    evidence = found.evidence()
    assert evidence.method == "label" and evidence.provenance.seed == 3 and evidence.sites == (neuron(0),)
    assert {each.name for each in evidence.figures} >= {"density", "lift", "held-out F1", "detection by the rule"}
    assert [grid.name for grid in evidence.grids] == [
        "histogram of activations",
        "what goes with activation",
        "scores",
    ]
    pushed = intervene(opened(torch_engine), data(torch_engine)[:1], found)
    pushed.show().png(tmp_path / "pushed.png")
    assert pushed.evidence().method == "intervene" and "feature pushed" in str(pushed.show().svg)


def test_text_of_the_data_stays_text(torch_engine: Engine) -> None:
    hostile = "</text><script>alert(1)</script>"
    found = label(opened(torch_engine), data(torch_engine), neuron(0), text=lambda number: f"{hostile}{number}")
    assert "<script" not in found.show().svg


@pytest.mark.parametrize(
    ("wanted", "options", "says"),
    [
        (lambda: [], {}, "at least one feature"),
        (lambda: [neuron(0)], {"held_out": 1}, "held_out must be"),
        (lambda: [neuron(0)], {"skip": -1}, "skip must be"),
        (lambda: [neuron(0)], {"threshold": 9.0}, "reaches 9 nowhere"),
        (lambda: [neuron(0)], {"threshold": -9.0}, "everywhere"),
        (lambda: [neuron(0)], {"skip": 40}, "nothing to label"),
        (lambda: ["planted:out"], {}, "pin every other axis"),
        (lambda: [np.ones(3)], {}, "does not say where"),
        (lambda: [np.ones((3, 3))], {}, "shape \\(3, 3\\)"),
        (lambda: [Feature(models.parse("planted:out"), np.ones(3))], {}, "a direction of 3 numbers"),
        (
            lambda: [Feature(models.parse("planted:out"), of=lambda value: value.array[..., 0] * 0 + 2)],
            {},
            "is 2 at every",
        ),
        (lambda: [Feature(models.parse("planted:out"), of=lambda value: value.array[..., 0] / 0)], {}, "not finite"),
        (lambda: [Feature(models.parse("planted:out"), of=lambda value: 3)], {}, "got int"),
    ],
)
def test_what_cannot_be_labelled_is_refused(torch_engine: Engine, wanted: Any, options: Any, says: str) -> None:
    with pytest.raises(MethodError, match=says):
        labelled(torch_engine, wanted(), **options)


def test_what_is_no_text_is_refused(torch_engine: Engine) -> None:
    model = opened(torch_engine)
    with pytest.raises(MethodError, match="at least one batch"):
        label(model, iter([]), neuron(0))
    with pytest.raises(MethodError, match="token numbers"):
        label(model, torch.zeros(2, 3), neuron(0))
    with pytest.raises(MethodError, match="expected text, got int"):
        label(model, 3, neuron(0))
    with pytest.raises(SiteError, match="opened model"):
        label(torch.nn.Linear(2, 2), torch.zeros(2, 3), neuron(0))  # type: ignore[arg-type]


def test_levels_are_monotone_and_narrow() -> None:
    values = np.sort(
        np.random.default_rng(1).normal(size=5000) * 10.0 ** np.random.default_rng(2).integers(-6, 6, 5000)
    )
    levels = level(values)
    assert (np.diff(levels) >= 0).all() and levels.min() >= 0 and levels.max() < COUNT
    lows = np.array([edge(int(each)) for each in levels])
    nexts = np.array([edge(int(each) + 1) for each in levels])
    there = np.abs(values) > 1e-8
    assert (lows <= values)[there].all() and (values < nexts)[there].all()
    assert (np.abs(nexts - lows) <= 0.045 * np.abs(values))[there].all()


def test_a_rule_is_told_apart_from_codes_of_another_view(torch_engine: Engine) -> None:
    found = labelled(torch_engine, [neuron(24)])[0]
    assert found.rule is not None and found.rule.view == "previous" and "after" in found.text
    judge, span = ByRule(found.rule), found.top[0]
    assert judge.responds(span) and judge.accords(span, [span.peak]) and not judge.accords(span, [span.peak - 1])
