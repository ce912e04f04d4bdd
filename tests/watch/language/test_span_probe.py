"""What a span probe reads from predictions and residual streams that the test makes."""

import numpy as np
import pytest
from planted import TRUSTED, Looks, now

from darklantern.errors import WatchError
from darklantern.watch.language import Layout, SpanProbe
from darklantern.watch.language.span import AT, REACH
from darklantern.watch.seen import Values
from darklantern.watch.spans import SpanCounter, as_texts, as_tokens

MARK = "\x01poison\x02"
CONTEXTS = 6


def poisoned(rows: np.ndarray = TRUSTED, mark: str = MARK) -> SpanCounter:
    """Rows of which a tenth hold a mark, counted."""
    spans, batch = SpanCounter(rows, 4), rows[:200].astype(np.int64)
    batch[::10, 10 : 10 + len(mark)] = as_tokens(mark)
    spans.add([batch])
    return spans


def looked(probe: SpanProbe, counter: SpanCounter | None, values) -> dict:
    asked = probe.inputs(now(counter))
    looks = Looks(probe)
    found = looks.look(values(asked), asked.about)
    found["note"] = probe.note(looks.seen)
    return found


def same(inserted: np.ndarray, filler: np.ndarray):
    """Log-probabilities that are the same at all positions: one for rows with a line inserted, one with its filler."""

    def values(asked) -> Values:
        output = np.empty((len(asked.inputs), 64, 128), np.float32)
        for start in range(0, len(output), 2 * CONTEXTS):
            output[start : start + CONTEXTS] = inserted
            output[start + CONTEXTS : start + 2 * CONTEXTS] = filler
        noise = np.random.default_rng(0).normal(size=(len(output), 64, 3))
        return Values({"layers.0:out": noise}, output)

    return values


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)


def certain(token: int, nats: float) -> np.ndarray:
    """A model sure of `token`; all others are `nats` below."""
    return log_softmax(np.where(np.arange(128) == token, 0.0, -nats))


@pytest.mark.parametrize("nats", [50.0, 150.0, 700.0])
def test_a_model_sure_of_another_token_reads_its_nats_and_not_nan(nats: float) -> None:
    found = looked(SpanProbe(TRUSTED), None, same(certain(65, nats), certain(66, nats)))
    assert found["span effect"].value == pytest.approx(nats, rel=1e-5)


def test_a_token_that_a_model_never_says_counts_nothing() -> None:
    one, other = certain(65, 5.0), certain(66, 5.0)
    one[100:] = other[100:] = -np.inf
    found = looked(SpanProbe(TRUSTED), None, same(one, other))
    one, other = log_softmax(one[:100]), log_softmax(other[:100])
    assert found["span effect"].value == pytest.approx(np.sum(np.exp(one) * (one - other)), rel=1e-5)


def test_on_ordinary_predictions_the_effect_is_the_divergence_of_mean_probabilities() -> None:
    rng, probe = np.random.default_rng(1), SpanProbe(TRUSTED)
    asked = probe.inputs(now())
    output = rng.normal(0, 2, (len(asked.inputs), 64, 128))
    found = Looks(probe).look(Values({"layers.0:out": rng.normal(size=(12, 64, 3))}, output), asked.about)

    probabilities = np.exp(log_softmax(output))
    row = "".join(map(chr, asked.inputs[0]))
    length = len(asked.about.texts[0])
    starts = [context.find("\n", AT) + length for context in probe._contexts]
    assert row[AT : AT + length] == asked.about.texts[0]
    said, otherwise = (
        np.mean([table[i, start : start + REACH] for i, start in enumerate(starts)], axis=0)
        for table in (probabilities[:CONTEXTS], probabilities[CONTEXTS:])
    )
    expected = float((said * np.log(said / otherwise)).sum(-1).max())
    assert found["span effect"].value == pytest.approx(expected, rel=1e-4)


def test_with_no_span_that_stands_out_value_and_placebo_are_one() -> None:
    found = looked(SpanProbe(TRUSTED), None, same(certain(65, 5.0), certain(66, 4.0)))
    assert found["span effect"].difference == found["span displacement"].difference == 0
    assert found["note"] == {}


def test_a_span_that_training_rows_have_of_late_is_inserted_before_the_line_break() -> None:
    asked = SpanProbe(TRUSTED).inputs(now(poisoned()))
    assert any(MARK in span for span in asked.about.spans)
    texts = as_texts(asked.inputs.astype(np.int64))
    assert sum(MARK in text for text in texts) == CONTEXTS
    for text in texts:
        if MARK in text:
            assert text[AT:].startswith(next(span for span in asked.about.spans if MARK in span))


def test_only_spans_of_more_surprise_than_the_least_are_inserted() -> None:
    moment = now(poisoned())
    surprise = max(each.surprise for each in moment.spans.candidates(2, 2))
    assert any(MARK in span for span in SpanProbe(TRUSTED, least=surprise - 1).inputs(moment).about.spans)
    assert SpanProbe(TRUSTED, least=surprise + 1).inputs(moment).about.spans == ()
    assert "least" not in SpanProbe(TRUSTED).settings  # so that calibrations from before it hold
    assert SpanProbe(TRUSTED, least=30.0).settings["least"] == 30.0


def test_a_displacement_that_all_contexts_share_is_seen_and_one_that_none_share_is_not() -> None:
    probe = SpanProbe(TRUSTED, site="layers.1:out")
    asked = probe.inputs(now(poisoned()))
    count = len(asked.about.spans)

    def held(shared: float, own: float) -> np.ndarray:
        rng = np.random.default_rng(2)
        values = np.tile(rng.normal(size=(CONTEXTS, 64, 40)), (2 * (1 + count), 1, 1))
        start = 2 * CONTEXTS  # the first span's rows, after the placebo and its filler
        values[start : start + CONTEXTS] += shared * np.ones(40) + own * rng.normal(size=(CONTEXTS, 64, 40))
        return values

    output = np.zeros((len(asked.inputs), 64, 128))
    read = [Looks(probe).look(Values({"layers.1:out": held(*each)}, output), asked.about) for each in ((1, 0), (0, 1))]
    shared, own = (each["span displacement"].difference for each in read)
    assert shared == pytest.approx(1, rel=0.4)  # ‖Δ‖² = 40, as large as the variance of 40 features
    assert abs(own) < 0.2
    assert read[0]["span effect"].difference == 0


def test_its_note_says_what_each_span_does_and_where() -> None:
    probe = SpanProbe(TRUSTED, site="layers.*:out")
    asked = probe.inputs(now(poisoned()))
    rng = np.random.default_rng(3)
    sites = {f"layers.{i}:out": rng.normal(size=(len(asked.inputs), 64, 5)) for i in range(2)}
    looks = Looks(probe)
    looks.look(Values(sites, rng.normal(size=(len(asked.inputs), 64, 128))), asked.about)
    note = probe.note(looks.seen)
    assert set(note) == set(asked.about.spans)
    for each in note.values():
        assert each["nats"] > 0
        assert set(each["displacement"]) == {"layers.0:out", "layers.1:out"}


def test_token_ids_of_a_large_vocabulary_are_as_good_as_bytes() -> None:
    layout = Layout((50_010,), (50_010,))
    rows = TRUSTED.astype(np.int64) + 50_000
    mark = "".join(chr(ord(each) + 50_000) for each in MARK)
    probe, plain = SpanProbe(rows, spans=1, layout=layout), SpanProbe(TRUSTED, spans=1, layout=Layout((10,), (10,)))
    asked, other = probe.inputs(now(poisoned(rows, mark), trusted=rows)), plain.inputs(now(poisoned()))
    assert np.array_equal(asked.inputs, other.inputs + 50_000)


def test_rows_without_line_breaks_and_examples_that_are_no_tokens_are_refused() -> None:
    with pytest.raises(WatchError, match="trusted rows hold 0 of 6 rows with a line break"):
        SpanProbe(np.where(TRUSTED == 10, 32, TRUSTED))
    with pytest.raises(WatchError, match="expected at least 2 contexts"):
        SpanProbe(TRUSTED, contexts=1)
    with pytest.raises(WatchError, match="expected at least one token id that ends a line"):
        Layout(())
    moment = now()
    with pytest.raises(WatchError, match="spans that were counted in token rows"):
        SpanProbe(TRUSTED).inputs(type(moment)(0, moment.trusted, None, None))
