"""`ask`: what a model acts on is supported, what is only decodable is not, and no output is taken at its word."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import organism
import pytest
import torch
from conforming.on_torch import Torch
from frameworks import Engine, engine, engines, normal, tokens
from organism import NO, SITE, YES, Prompts, array, opened, prompts, question
from small_transformers import gpt2
from transformers import GPT2Config, GPT2LMHeadModel
from words import WORDS, Words

from darklantern import models
from darklantern.errors import MethodError, SiteError
from darklantern.methods.asking import Answers, Question, ask, interchange, train_reader
from darklantern.methods.asking.baseline import tokens as tokens_by_place
from darklantern.methods.asking.coverage import answered, area, at_coverages, curve
from darklantern.methods.asking.fits import logistic, means, sigmoid
from darklantern.methods.asking.questions import Seen, done_with, entrances, seen
from darklantern.methods.asking.training import trained
from darklantern.models.tokens import Batch

__all__ = ["engine"]
FIRST, SECOND = prompts(600, 1), prompts(400, 2)


@pytest.fixture
def torch_engine() -> Engine:
    return Engine("torch", Torch())


def asked(engine: Engine, about: str, how: Any = "logistic", **options: Any) -> Answers:
    inputs = array(engine, FIRST), getattr(FIRST, about), array(engine, SECOND)
    return ask(opened(engine), question(), *inputs, truth=getattr(SECOND, about), how=how, **options)


def figure(found: Any, name: str) -> float:
    return {each.name: each.value for each in found.figures}[name]


def test_the_organism_does_what_is_written(torch_engine: Engine) -> None:
    said = opened(torch_engine).run(array(torch_engine, SECOND))[:, -1].argmax(-1)
    np.testing.assert_array_equal(said.numpy(), SECOND.choice)
    assert 0.2 < SECOND.lies.mean() < 0.4
    assert abs(np.corrcoef(FIRST.truth, FIRST.decoy)[0, 1]) < 0.1


@engines("torch", "linen")
@pytest.mark.parametrize("how", ["means", "logistic"])
def test_the_cause_is_supported_and_the_decoy_as_decodable_is_not(engine: Engine, how: str) -> None:
    cause, decoy = (asked(engine, about, how, prompt=False) for about in ("truth", "decoy"))
    for found in (cause, decoy):
        assert figure(found, "accuracy") > 0.99
    assert cause.verdict == "supported" and cause.supported.mean() > 0.97
    assert decoy.verdict == "unsupported" and not decoy.supported.any()
    assert figure(cause, "followed another answer") > 0.97
    assert figure(cause, "stayed with the same answer") > 0.97
    assert figure(decoy, "followed another answer") < 0.03
    assert "unsupported" in decoy.says and "unsupported" in decoy.line_of(0)
    for found in (cause, decoy):
        assert figure(found, "followed a random change as long") < 0.06


def test_another_variable_is_a_control_that_does_nothing(torch_engine: Engine) -> None:
    found = asked(torch_engine, "truth", other=FIRST.decoy, prompt=False)
    assert figure(found, "followed another variable") < 0.02 and found.verdict == "supported"
    # Of the decoy, the other variable is the one that the model acts on: half of its partners have another truth.
    found = asked(torch_engine, "decoy", other=FIRST.truth, prompt=False)
    assert figure(found, "followed another variable") == pytest.approx(0.5, abs=0.1)
    assert not found.supported.any()


def test_a_decoy_that_went_with_the_truth_is_still_unsupported(torch_engine: Engine) -> None:
    many = prompts(1500, 8)
    rng = np.random.default_rng(0)
    # Four times in five both are the same here, and a coin apart on the second half.
    tied = Prompts(many.ids[(many.truth == many.decoy) | (rng.random(1500) < 0.25)])
    assert np.corrcoef(tied.truth, tied.decoy)[0, 1] > 0.5
    inputs = array(torch_engine, tied), tied.decoy, array(torch_engine, SECOND)
    model = opened(torch_engine)
    found = ask(model, question(), *inputs, truth=SECOND.decoy, other=tied.truth, prompt=False)
    assert figure(found, "accuracy") > 0.97 and found.verdict == "unsupported"
    inputs = array(torch_engine, tied), tied.truth, array(torch_engine, SECOND)
    found = ask(model, question(), *inputs, truth=SECOND.truth, other=tied.decoy, prompt=False)
    assert figure(found, "accuracy") > 0.97 and found.verdict == "supported"


@engines("torch", "linen")
def test_contrast_consistent_search_finds_the_truth_without_labels_but_for_its_sign(engine: Engine) -> None:
    pair = FIRST.claiming(YES), FIRST.claiming(NO)
    inputs = tuple(array(engine, each) for each in pair), pair[0].truth, array(engine, SECOND)
    found = ask(opened(engine), question(), *inputs, truth=SECOND.truth, how="consistent", prompt=False)
    assert figure(found, "accuracy") > 0.97 and found.verdict == "supported"
    flipped = ask(opened(engine), question(), inputs[0], 1 - pair[0].truth, inputs[2], how="consistent", prompt=False)
    np.testing.assert_array_equal(flipped.answers, 1 - found.answers)
    towards = found.reporter.direction
    assert towards is not None
    along = abs(towards @ organism.KNOWN[0]) / np.linalg.norm(towards)
    assert along > 0.9


def test_reading_inside_beats_a_reader_of_prompt_and_output_that_the_model_deceives(torch_engine: Engine) -> None:
    found = asked(torch_engine, "truth")
    inside = figure(found, "accuracy × coverage of supported answers")
    assert inside > 0.97
    assert max(figure(found, "accuracy from prompt and output"), figure(found, "area, from prompt and output")) < 0.8
    assert figure(found, "accuracy of outputs at their word") == pytest.approx(1 - SECOND.lies.mean())
    np.testing.assert_array_equal(found.contradicted, found.answers != SECOND.choice % 2)
    assert "says otherwise" in found.line_of(int(np.flatnonzero(SECOND.lies)[0]))
    # Where the model is honest, prompt and output are enough.
    honest = [Prompts(each.ids[each.lies == 0]) for each in (FIRST, SECOND)]
    inputs = array(torch_engine, honest[0]), honest[0].truth, array(torch_engine, honest[1])
    found = ask(opened(torch_engine), question(), *inputs, truth=honest[1].truth)
    assert figure(found, "accuracy from prompt and output") > 0.97 and not found.contradicted.any()


def test_under_a_shift_the_reporter_says_what_the_model_knows_not_what_the_labeller_would(torch_engine: Engine) -> None:
    hard = prompts(300, 5, hard=True)
    labeller = 1 - hard.truth  # who is right on all prompts that the reporter was fitted on
    inputs = array(torch_engine, FIRST), FIRST.truth, array(torch_engine, hard)
    found = ask(opened(torch_engine), question(), *inputs, truth=hard.truth, prompt=False)
    assert figure(found, "accuracy") > 0.97 and (found.answers == labeller).mean() < 0.03
    assert found.verdict == "supported"


@engines("torch", "linen")
def test_a_trained_reader_answers_several_questions_and_its_answers_are_checked(engine: Engine) -> None:
    about = ("truth", "decoy", "lies")
    halves = [{name: getattr(half, name) for name in about} for half in (FIRST, SECOND)]
    model = opened(engine)
    reader = train_reader(model, SITE, array(engine, FIRST), halves[0], array(engine, SECOND), halves[1])
    assert min(reader.accuracy) > 0.97 and max(reader.majority) < 0.75
    for name, verdict in (("truth", "supported"), ("decoy", "unsupported")):
        found = asked(engine, name, reader.reporter(name), prompt=False)
        assert found.verdict == verdict and figure(found, "accuracy") > 0.97
    # Fitted before, it needs no first half.
    again = ask(model, question(), None, None, array(engine, SECOND), how=reader.reporter("truth"))
    assert again.truth is None and again.outside is None and again.verdict == "supported"


@engines("linen")
def test_the_same_answers_on_jax_as_on_torch(engine: Engine, torch_engine: Engine) -> None:
    mine, theirs = (asked(each, "truth", prompt=False) for each in (engine, torch_engine))
    np.testing.assert_allclose(mine.chances, theirs.chances, atol=1e-9)
    np.testing.assert_array_equal(mine.checked.followed, theirs.checked.followed)
    nets = [trained(each.name.replace("linen", "jax"), *_task(), 1, steps=50) for each in (engine, torch_engine)]
    np.testing.assert_allclose(nets[0].inner, nets[1].inner, atol=2e-3)


def _task() -> tuple[Any, Any, Any]:
    values = np.random.default_rng(0).normal(size=(300, 6))
    return values, np.zeros(300, dtype=np.int64), (values[:, 0] * values[:, 1] > 0).astype(float)


def test_the_network_learns_what_no_line_could_and_the_same_from_the_same_seed() -> None:
    values, asked_of, labels = _task()
    net, again, other = (trained("torch", values, asked_of, labels, 1, seed=seed) for seed in (0, 0, 1))
    assert (((net(values, asked_of) > 0) == (labels == 1)).mean()) > 0.95
    assert (((logistic(values, labels)(values) > 0) == (labels == 1)).mean()) < 0.7
    np.testing.assert_array_equal(net.inner, again.inner)
    assert not np.array_equal(net.inner, other.inner)
    step = 1e-5
    ends = [net(values + sign * step * np.eye(6)[2], asked_of) for sign in (1, -1)]
    assert net.direction(values, 0)[2] == pytest.approx((ends[0] - ends[1]).mean() / (2 * step), abs=1e-3)


def test_whole_values_are_interchanged_where_no_direction_is_named(torch_engine: Engine) -> None:
    model, about = opened(torch_engine), question()
    examples = seen(model, about, array(torch_engine, SECOND))
    whole = Question("which word?", SITE, lambda done, own, new: done ^ (own != new))
    found = interchange(model, whole, examples, SECOND.truth, None)
    # All of the other's value makes the other's choice, whose word is another three times in four.
    assert 0.05 < found.followed.mean() < 0.3
    line = interchange(model, about, examples, SECOND.truth, organism.KNOWN[:1])
    assert line.followed.mean() > 0.99 and line.supported.mean() > 0.97
    both = interchange(model, about, examples, SECOND.truth, organism.KNOWN[[0, 1]])
    assert both.followed.mean() > 0.99


def test_coverage_is_by_confidence() -> None:
    chances, labels = np.array([0.9, 0.6, 0.2, 0.55]), np.array([1.0, 0, 0, 1])
    np.testing.assert_allclose(curve(chances, labels), [1, 1, 2 / 3, 3 / 4])
    assert area(chances, labels) == pytest.approx((1 + 1 + 2 / 3 + 3 / 4) / 4)
    assert at_coverages(chances, labels, (0.1, 0.5, 1.0)) == pytest.approx((1, 1, 0.75))
    # Of answers as confident as each other none is more the first: each order of them, on average.
    np.testing.assert_allclose(curve(np.full(4, 0.7), np.array([1.0, 1, 0, 1])), 0.75)
    np.testing.assert_allclose(curve(np.array([0.7, 0.9, 0.3]), np.array([1.0, 1, 1])), [1, 3 / 4, 2 / 3])
    assert answered(chances, labels, np.array([True, True, False, False])) == (0.5, 0.5)
    assert answered(chances, labels, np.zeros(4, dtype=bool)) == (0.0, 0.0)


def test_a_reader_of_prompts_sees_which_token_stands_where_and_no_padding() -> None:
    ids = np.random.default_rng(0).integers(0, 3, (30, 24))
    rows = [tuple(f"w{each}" for each in row[: 24 - 4 * (i % 2)]) for i, row in enumerate(ids)]
    batch = Batch({"input_ids": torch.from_numpy(ids)}, tuple(rows))
    fitted, checked = (Seen((batch,), np.zeros((30, 1)), np.zeros(30, dtype=np.int64), "torch") for _ in range(2))
    one, other = tokens_by_place(fitted, checked)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one.sum(1), [len(row) for row in rows])
    pairs = {(place, each) for row in rows for place, each in enumerate(row)}
    expected = [[float(place < len(row) and row[place] == each) for row in rows] for place, each in pairs]
    assert sorted(map(tuple, one.T.tolist())) == sorted(map(tuple, expected))
    # What was not fitted on has no column.
    unknown = replace(checked, batches=(Batch({"input_ids": torch.full((30, 24), 9)}, tuple(rows)),))
    assert not tokens_by_place(fitted, unknown)[1].any()


def test_fits_are_those_of_two_gaussians() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 20_000).astype(float)
    values = rng.normal(size=(20_000, 5)) + np.outer(labels, [2.0, 0, 0, 0, 0])
    for fit in (means, logistic):
        line = fit(values, labels)
        assert line.direction[0] == pytest.approx(2, rel=0.1) and np.abs(line.direction[1:]).max() < 0.1
        assert line.offset == pytest.approx(-2, rel=0.1)  # the log-odds of both densities: 2x − 2
        assert sigmoid(line(values)).mean() == pytest.approx(0.5, abs=0.02)


def test_picture_figures_and_evidence(torch_engine: Engine, tmp_path: Any) -> None:
    found = asked(torch_engine, "decoy", seed=4)
    found.show().png(tmp_path / "answers.png")
    assert "unsupported" in found.show().title and "followed another variable" in found.show().svg
    evidence = found.evidence()
    assert evidence.method == "ask" and evidence.provenance.seed == 4 and evidence.sites == (SITE,)
    assert evidence.grids[0].columns[:2] == ("chance of yes", "followed")
    table = evidence.grids[1]
    assert table.rows == ("inside", "prompt and output") and table.columns[-1] == "100%"
    assert table.values[0][-1] == figure(found, "accuracy")
    assert table.values[1][-1] == figure(found, "accuracy from prompt and output")
    halves = [{"decoy": each.decoy} for each in (FIRST, SECOND)]
    inputs = [array(torch_engine, each) for each in (FIRST, SECOND)]
    reader = train_reader(opened(torch_engine), SITE, inputs[0], halves[0], inputs[1], halves[1], steps=20)
    reader.show().png(tmp_path / "reader.png")
    assert reader.evidence().method == "train_reader"


def test_batches_are_the_same_as_one(torch_engine: Engine) -> None:
    halves = [[torch_engine.array(part) for part in np.split(each.ids, 4)] for each in (FIRST, SECOND)]
    model = opened(torch_engine)
    cut = ask(model, question(), halves[0], FIRST.truth, halves[1], truth=SECOND.truth, prompt=False)
    whole = asked(torch_engine, "truth", prompt=False)
    np.testing.assert_allclose(cut.chances, whole.chances, atol=1e-12)
    np.testing.assert_array_equal(cut.checked.followed, whole.checked.followed)


def changed(**with_: Any) -> Callable[[], Question]:
    given = {"text": "?", "site": SITE, "predicts": lambda done, own, new: done}
    return lambda: Question(**{**given, **with_})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"labels": np.ones(600)}, "are 1"),
        ({"labels": np.ones(3)}, "600 answers of 0 and 1"),
        ({"labels": FIRST.truth * 2}, "of 0 and 1"),
        ({"truth": np.ones(3)}, "400 examples to check"),
        ({"how": "magic"}, "no reporter is called 'magic'"),
        ({"how": "consistent"}, "takes a pair"),
        ({"how": 3}, "expected a reporter, got int"),
        ({"how": "means", "labels": None}, "takes examples and labels"),
        ({"how": lambda values: values}, "a finite number for each"),
        ({"partners": 0}, "partners of both answers"),
        ({"how": lambda values: np.ones(len(values))}, "partners of both answers"),
        ({"question": changed()}, "predicts the same as before"),
        ({"question": changed(site="coder:out")}, "axes batch pos dim"),
        ({"question": changed(does=lambda output: output)}, "a whole number for each"),
        ({"question": changed(does=lambda output: output[:3, -1].argmax(-1))}, "3 choices for 600"),
    ],
)
def test_what_cannot_be_asked_is_refused(torch_engine: Engine, options: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"question": question, "labels": FIRST.truth, "prompt": False, **options}
    about, labels = given.pop("question")(), given.pop("labels")
    inputs = array(torch_engine, FIRST), labels, array(torch_engine, SECOND)
    with pytest.raises(MethodError, match=says):
        ask(opened(torch_engine), about, *inputs, **given)


def test_the_two_halves_are_two(torch_engine: Engine) -> None:
    model, inputs = opened(torch_engine), array(torch_engine, FIRST)
    with pytest.raises(MethodError, match="cannot be checked on what it was fitted on"):
        ask(model, question(), inputs, FIRST.truth, inputs)
    with pytest.raises(MethodError, match="the same"):
        train_reader(model, SITE, inputs, {"a": FIRST.truth}, inputs, {"a": FIRST.truth})
    with pytest.raises(MethodError, match="questions"):
        train_reader(model, SITE, inputs, {"a": FIRST.truth}, array(torch_engine, SECOND), {"b": SECOND.truth})
    with pytest.raises(SiteError, match="opened model"):
        ask(organism.Net(), question(), inputs, FIRST.truth, inputs)  # type: ignore[arg-type]


def test_prompts_as_text_that_differ_in_length() -> None:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    model = models.open(GPT2LMHeadModel(config).eval(), Words())
    names, rest = ("Mary", "John", "Anna"), ("went to the shop", "left", "gave Mary a drink", "went and left")
    texts = [f"{one} and {two} {end}" for one in names for two in names for end in rest]
    labels = np.array([text.startswith("Mary") for text in texts], dtype=float)
    first, second = np.arange(len(texts)) % 2 == 0, np.arange(len(texts)) % 2 == 1
    about = Question("does it begin with Mary?", "layers.0:out[pos=0]", lambda done, own, new: done + (own != new))
    halves = [[text for text, chosen in zip(texts, half, strict=True) if chosen] for half in (first, second)]
    found = ask(model, about, halves[0], labels[first], halves[1], truth=labels[second])
    assert figure(found, "accuracy") == 1 and figure(found, "accuracy from prompt and output") > 0.9
    assert found.evidence().figures == found.figures
    ends = [int(model.run(model.batch(text)).logits[0, -1].argmax()) for text in halves[1]]
    assert found.done.tolist() == ends  # after each prompt's own last token
    # The same as arrays by name, each length a batch of its own.
    batches = [dict(model.batch(text)) for text in halves[1]]
    again = ask(model, about, halves[0], labels[first], batches, truth=labels[second], prompt=False)
    np.testing.assert_allclose(again.chances, found.chances, atol=1e-5)


@engines("torch", "gpt2-linen")
def test_interchanged_runs_begin_behind_the_site_and_end_the_same(engine: Engine) -> None:
    model = engine.open(gpt2(), tokens(2, 7))
    about = Question("?", "layers.1:out[pos=-1]", lambda done, own, new: done + (own != new))
    examples = seen(model, about, [engine.array(tokens(6, 7, seed=seed)) for seed in (1, 2)])
    starts = entrances(model, about, examples)
    changed_ = examples.values + 10 * normal(*examples.values.shape, seed=3)
    found = done_with(model, about, examples, starts, changed_)
    whole = [(batch, about.at) for batch in examples.batches]
    np.testing.assert_array_equal(found, done_with(model, about, examples, whole, changed_))
    assert not np.array_equal(found, examples.done)
    assert all(place.path == "layers.2" for _, place in starts)
