"""A claim ends where a signal is read, or judged, otherwise than in the runs behind it."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from watch.loops import CORPUS, REFERENCES, TRUSTED, Scripted, digest, run, start

from darklantern.errors import WatchError
from darklantern.organisms import text
from darklantern.records.references import References
from darklantern.watch import Examples, Settings, SpanProbe, calibrate, held_out, signal
from darklantern.watch.digests import digests, judged
from darklantern.watch.judging import detectors
from darklantern.watch.probes import Probe
from darklantern.watch.trace import Trace

WIDE = text.rows(CORPUS.trusted, 3000, 65, np.random.default_rng(0))
EXAMPLES = Examples(TRUSTED)


CONSTANTS = detectors.constants()


def loud(seen):
    """Loudness."""
    return float(np.abs(seen.output).mean())


def louder(seen):
    """Loudness."""
    return 2 * float(np.abs(seen.output).mean())


def own(function=loud, **settings) -> Probe:
    return signal(function, name="loud", says="circuit", rows=TRUSTED[:4, :-1], **settings)


def calibrated(probes: list[Probe], settings: Settings | None = None, **given) -> References:
    rng = np.random.default_rng(0)
    signals = [each for probe in probes for each in probe.signals]
    runs = {seed: {s.name: rng.normal(size=3).tolist() for s in signals} for seed in range(50)}
    told = given.pop("digests", digests(probes, EXAMPLES, settings or Settings()))
    return calibrate(runs, signals, range(6), "1" * 64, "2" * 64, steps=(5, 10, 15), digests=told, **given)


def traced(probes: list[Probe], references: References, settings: Settings | None = None, trusted=EXAMPLES) -> Trace:
    known = [each for probe in probes for each in probe.signals]
    return Trace(known, references, "1" * 64, "2" * 64, digests=digests(probes, trusted, settings or Settings()))


def test_a_watch_of_the_same_signals_keeps_the_claim() -> None:
    assert traced([own(), SpanProbe(WIDE)], calibrated([own(), SpanProbe(WIDE)])).uncalibrated == ""


@pytest.mark.parametrize(
    "other",
    [
        lambda: own(louder),
        lambda: own(unit="dB"),
        lambda: own(grain=0.1),
        lambda: own(compares="ratio"),
        lambda: signal(loud, name="loud", says="circuit", rows=TRUSTED[:5, :-1]),
    ],
    ids=["formula", "unit", "grain", "contrast", "rows"],
)
def test_another_signal_of_that_name_claims_nothing(other) -> None:
    held = traced([other()], calibrated([own()]))
    assert "'loud' is read or judged otherwise than in the reference runs" in held.uncalibrated


def test_other_settings_of_a_probe_of_the_watch_or_of_the_detectors_claim_nothing(monkeypatch) -> None:
    references = calibrated([SpanProbe(WIDE)])
    assert "'span displacement' is read" in traced([SpanProbe(WIDE, contexts=7)], references).uncalibrated
    assert "'span displacement' is read" in traced([SpanProbe(WIDE)], references, Settings(history=9)).uncalibrated
    fewer = Examples(TRUSTED[:2000])
    assert "'span displacement' is read" in traced([SpanProbe(WIDE)], references, trusted=fewer).uncalibrated
    for name, other in (("SLACK", 0.7), ("constants", lambda detector: {**CONSTANTS, "beyond": "nothing"})):
        with monkeypatch.context() as patched:
            patched.setattr(detectors, name, other)
            assert "'span displacement' is read" in traced([SpanProbe(WIDE)], references).uncalibrated
    assert not traced([SpanProbe(WIDE)], references).uncalibrated


def test_the_claim_of_one_channel_does_not_end_with_another_s() -> None:
    made = [own(), replace_says(SpanProbe(WIDE))]
    held = traced([own(louder), made[1]], calibrated(made))
    assert not held.limits["joint"].calibrated
    assert held.limits["span displacement"].calibrated


def replace_says(probe: Probe) -> Probe:
    """The same signals, claiming novelty."""
    probe.signals = tuple(replace(each, says="novelty") for each in probe.signals)
    return probe


def test_references_that_do_not_say_how_signals_were_read_claim_nothing() -> None:
    held = traced([own()], calibrated([own()], digests={}))
    assert "the references do not say how 'loud' was read: calibrate(..., digests=w.digests)" in held.uncalibrated


def test_what_no_hash_can_speak_for_claims_nothing() -> None:
    model = torch.nn.Linear(1, 1)

    def leaning(seen):
        return float(model.weight.detach().sum())

    assert digests([own(leaning)], EXAMPLES, Settings()) == {"loud": ""}
    assert "'loud' uses what no hash can speak for" in traced([own(leaning)], calibrated([own(leaning)])).uncalibrated


def test_other_ranks_than_in_the_reference_runs_claim_nothing() -> None:
    held = traced([own()], calibrated([own()], ranks=2))
    held.on_ranks(2)
    assert held.uncalibrated == ""
    held.on_ranks(1)
    assert held.uncalibrated == "2 ranks trained together in the reference runs, here 1"


def test_settings_that_are_no_json_values_are_refused_by_name() -> None:
    probe = Scripted(lambda look: 0.0)
    probe.settings = {"rows": TRUSTED}
    with pytest.raises(WatchError, match=r"the settings of Scripted.* are not JSON values"):
        digests([probe], EXAMPLES, Settings())


def test_a_digest_is_not_that_of_another_signal_of_the_same_probe() -> None:
    found = digests([SpanProbe(WIDE)], EXAMPLES, Settings())
    assert found.keys() == {"span displacement", "span effect"}
    assert len(set(found.values())) == 2
    (one, other) = SpanProbe(WIDE).signals
    assert judged("1" * 64, one, {}) != judged("1" * 64, other, {})


def test_a_watch_says_when_its_claim_ends() -> None:
    short = msgspec.structs.replace(REFERENCES, steps=(5, 10))
    signals = tuple(msgspec.structs.replace(each, mean=(0.0, 0.0), spread=(1.0, 1.0)) for each in short.signals)
    w, parts = start(Scripted(lambda look: 0.0), references=msgspec.structs.replace(short, signals=signals))
    assert w.digests == digests([Scripted(lambda look: 0.0)], EXAMPLES, Settings())
    run(w, parts)
    said = [(event.step, event.text) for event in w.events if event.label == "uncalibrated"]
    assert said == [(15, "this run is longer than the reference runs")]
    assert traced([Scripted(lambda look: 0.0)], REFERENCES).uncalibrated == ""
    assert REFERENCES.signals[0].digest == digest(Scripted(lambda look: 0.0), "scripted")


def test_held_out_signals_are_not_named() -> None:
    probe = held_out(own())
    held = traced([held_out(own(louder))], calibrated([probe]))
    assert "loud" not in held.uncalibrated
    altered = calibrated([probe])
    altered = msgspec.structs.replace(
        altered, signals=tuple(msgspec.structs.replace(each, digest="0" * 64) for each in altered.signals)
    )
    held = traced([probe], altered)
    assert held.uncalibrated.startswith("a held-out monitor is read or judged otherwise")
