"""What probes read from predictions that the test makes."""

import inspect

import numpy as np
import pytest

from darklantern.errors import WatchError
from darklantern.organisms import text
from darklantern.watch import PayloadProbe, SpanProbe
from darklantern.watch.probes import Seen
from darklantern.watch.spans import SpanCounter

TRUSTED = text.rows(text.standard_library().trusted, 3000, 65, np.random.default_rng(0))


def seen_by(probe: SpanProbe, inserted: np.ndarray, filler: np.ndarray) -> Seen:
    """Predictions that are the same at all positions: one for rows with a line inserted, one with its filler."""
    rows = probe.rows(SpanCounter(TRUSTED, 4))
    half = len(rows) // 2
    log_probs = np.empty((len(rows), 64, 128), np.float32)
    log_probs[:half], log_probs[half:] = inserted, filler
    return Seen({}, log_probs, {})


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return (logits - np.log(np.exp(logits).sum())).astype(np.float32)


def certain(byte: int, nats: float) -> np.ndarray:
    """A model sure of `byte`; all others are `nats` below."""
    return log_softmax(np.where(np.arange(128) == byte, 0.0, -nats))


@pytest.mark.parametrize("nats", [50.0, 150.0, 700.0])
def test_a_model_sure_of_another_byte_reads_its_nats_and_not_nan(nats: float) -> None:
    probe = SpanProbe(TRUSTED)
    (reading,) = probe.read(seen_by(probe, certain(65, nats), certain(66, nats)))
    assert reading.value == pytest.approx(nats, rel=1e-5)


def test_a_byte_that_a_model_never_says_counts_nothing() -> None:
    probe = SpanProbe(TRUSTED)
    one, other = certain(65, 5.0), certain(66, 5.0)
    one[100:] = other[100:] = -np.inf
    (reading,) = probe.read(seen_by(probe, one, other))
    assert reading.value == pytest.approx(np.sum(np.exp(one[:100]) * (one[:100] - other[:100])), rel=1e-5)


def test_on_ordinary_predictions_the_effect_is_the_divergence_of_mean_probabilities() -> None:
    rng = np.random.default_rng(1)
    probe = SpanProbe(TRUSTED)
    rows = probe.rows(SpanCounter(TRUSTED, 4))
    logits = rng.normal(0, 2, (len(rows), 64, 128))
    log_probs = (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)
    (reading,) = probe.read(Seen({}, log_probs, {}))

    half, length = len(rows) // 2, len(probe._materials()[0])
    starts = [context.find(b"\n", 8) + length for context in probe._contexts]
    said, otherwise = (
        np.mean([np.exp(table[i, start : start + 4]) for i, start in enumerate(starts)], axis=0)
        for table in (log_probs[:half], log_probs[half:])
    )
    assert reading.value == pytest.approx(float((said * np.log(said / otherwise)).sum(-1).max()), abs=1e-6)


def test_a_payload_that_its_row_would_cut_is_refused() -> None:
    PayloadProbe(TRUSTED, [b"x" * 41], "a:out", "b:out")
    for payloads in ([b"x" * 42], [b"short", b"y" * 99], [b"fine", b""], []):
        with pytest.raises(WatchError, match="expected payloads of 1 to 41 bytes"):
            PayloadProbe(TRUSTED, payloads, "a:out", "b:out")


@pytest.mark.parametrize("probe", [SpanProbe(TRUSTED), PayloadProbe(TRUSTED, [b"x" * 9], "a:out", "b:out")])
def test_a_probe_states_every_argument_it_was_made_from(probe: SpanProbe | PayloadProbe) -> None:
    asked = set(inspect.signature(type(probe)).parameters) - {"trusted"}  # rows have a hash of their own
    assert asked <= set(probe.settings)
