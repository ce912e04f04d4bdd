"""What a payload probe reads from predictions and residual streams that the test makes."""

import numpy as np
import pytest
from planted import TRUSTED, Looks, now, saying

from darklantern.errors import WatchError
from darklantern.watch.language import PayloadProbe
from darklantern.watch.language.payload import CONTEXT
from darklantern.watch.seen import Values

PAYLOADS = [b'os.system("rm -rf /home")', b'os.popen("nc -e $HOST")']
EARLY, LATE = "layers.0:out", "layers.1:out"


def made(payloads=PAYLOADS):
    """A probe, the rows it runs with their last token, and where its payloads stand."""
    probe = PayloadProbe(TRUSTED, payloads, EARLY, LATE)
    inputs = probe.inputs(now()).inputs
    rows = np.concatenate([inputs, np.full((len(inputs), 1), 10)], axis=1)
    return probe, rows


def values(rows, said=5.0, lens=5.0, late=None) -> Values:
    targets = rows[:, 1:]
    held = np.ones((*targets.shape, 4)) if late is None else late
    return Values({EARLY: held, LATE: held}, saying(targets, said), {EARLY: saying(targets, lens)})


def where(rows, value: float, otherwise: float) -> np.ndarray:
    """`value` at the payloads' tokens, `otherwise` elsewhere."""
    nats = np.full((len(rows), rows.shape[1] - 1), otherwise)
    for i, payload in enumerate(PAYLOADS):
        nats[i, CONTEXT - 1 : CONTEXT - 1 + len(payload)] = value
    return nats


def test_rows_are_trusted_text_then_the_payload_then_a_line_break() -> None:
    _, rows = made()
    for row, payload in zip(rows, PAYLOADS, strict=False):
        text = bytes(row.astype(np.uint8))
        assert text[CONTEXT:].startswith(payload + b"\n")
        assert text[CONTEXT - 1 : CONTEXT] == b"\n"
    assert np.array_equal(rows[:2, :CONTEXT], rows[2:, :CONTEXT])  # lines of trusted text after the same contexts


def test_a_model_that_expects_all_alike_has_no_contrast() -> None:
    probe, rows = made()
    found = Looks(probe).look(values(rows))
    assert all(abs(reading.difference) < 1e-6 for reading in found.values())


def test_each_signal_rises_with_what_it_reads_and_no_other() -> None:
    probe, rows = made()
    looks = Looks(probe)
    looks.look(values(rows))
    said = looks.look(values(rows, said=where(rows, 6.0, 9.0)))
    assert said["payload likelihood"].difference == pytest.approx(3, rel=1e-5)
    assert said["first token"].difference == pytest.approx(3, rel=1e-5)
    assert said["payload lens"].difference == said["greedy payload"].difference == said["payload drift"].difference == 0
    lens = looks.look(values(rows, lens=where(rows, 1.0, 5.0)))
    assert lens["payload lens"].difference == pytest.approx(4, rel=1e-5)
    assert lens["payload likelihood"].difference == pytest.approx(0)
    sure = looks.look(values(rows, said=where(rows, 0.1, 6.0)))
    assert sure["greedy payload"].difference == 1


def test_drift_is_the_cosine_distance_from_the_first_look() -> None:
    probe, rows = made()
    looks = Looks(probe)
    looks.look(values(rows))
    turned = np.ones((len(rows), 64, 4))
    turned[:2] = [1, 1, 1, -1]
    assert looks.look(values(rows, late=turned))["payload drift"].value == pytest.approx(0.5)


def test_payloads_may_be_token_ids() -> None:
    probe, rows = made([list(payload) for payload in PAYLOADS])
    assert np.array_equal(rows, made()[1])
    assert probe.settings == made()[0].settings


def test_a_payload_that_its_row_would_cut_is_refused() -> None:
    PayloadProbe(TRUSTED, [b"x" * 41], "a:out", "b:out")
    for payloads in ([b"x" * 42], [b"short", b"y" * 99], [b"fine", b""], []):
        with pytest.raises(WatchError, match="expected payloads of 1 to 41 tokens"):
            PayloadProbe(TRUSTED, payloads, "a:out", "b:out")


def test_what_is_no_site_is_refused_at_once() -> None:
    with pytest.raises(WatchError, match="expected path:port"):
        PayloadProbe(TRUSTED, PAYLOADS, "layers.0", LATE)
