"""Monitors out of findings, monitors that nobody is shown, and the table that both are made from."""

import io
import json
import logging
import traceback
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from rich.console import Console
from watch.loops import MARK
from watch.wide import RECIPE, TRUSTED, Jump, parts, payload, span, watched

from darklantern.errors import RecipeError, WatchError
from darklantern.organisms import bytelm, training
from darklantern.records.exact import decode, encode
from darklantern.records.findings import Finding, Provenance
from darklantern.watch import (
    Filing,
    Probe,
    Reaction,
    Reading,
    Settings,
    SpanScreen,
    Weights,
    held_out,
    language,
    live,
    monitor,
    policies,
    table,
    vision,
    watch,
)
from darklantern.watch.alarms import Alarm
from darklantern.watch.attach import updates
from darklantern.watch.attach.ranks import Alone
from darklantern.watch.examples import Examples
from darklantern.watch.judging.detectors import Threshold
from darklantern.watch.language import (
    ContrastProbe,
    DriftProbe,
    InductionProbe,
    LossCovarianceProbe,
    RefusalProbe,
    TraitProbe,
    TriggerProbe,
)
from darklantern.watch.monitors import HeldOut, monitor_evidence
from darklantern.watch.policies import ContextProbe, FourierProbe, TableProbe, WeightsProbe
from darklantern.watch.probes import HELD_OUT
from darklantern.watch.reporting import report
from darklantern.watch.spans import Candidate
from darklantern.watch.table import listed, made, stated
from darklantern.watch.viewing import view
from darklantern.watch.vision import Family, PatchProbe, SpectralProbe, UnitsProbe

PROVENANCE = Provenance(model="1" * 64, data="2" * 64, seed=0, code="0", versions={})
PROMPTS = [[65 + i, 70, 75 + i] for i in range(8)]
OTHERS = [[90 + i, 80, 71 + i] for i in range(8)]
IMAGES = Examples(np.random.default_rng(0).random((200, 6, 6)), np.arange(200) % 2)
FLAGS = Examples(np.random.default_rng(0).integers(0, 2, (90, 5)).astype(np.float64), np.zeros(90))


@pytest.mark.parametrize(
    ("probe", "trusted"),
    [
        (payload(), TRUSTED),
        (span(), TRUSTED),
        (ContrastProbe(PROMPTS, OTHERS, "layers.0:out", 3), None),
        (RefusalProbe(PROMPTS, OTHERS, (OTHERS, PROMPTS), "layers.0:out", 4), None),
        (TraitProbe(PROMPTS, (PROMPTS, OTHERS), "layers.0:out"), None),
        (TraitProbe(PROMPTS, np.arange(1.0, 17.0), "layers.0:out"), None),
        (TriggerProbe(TRUSTED, [b"trigger"], [b"payload"]), TRUSTED),
        (DriftProbe(TRUSTED, back=3), TRUSTED),
        (InductionProbe(TRUSTED), TRUSTED),
        (LossCovarianceProbe(TRUSTED, window=5), TRUSTED),
        (WeightsProbe("*.weight", seed=3), None),
        (FourierProbe("embed.weight", 11), None),
        (TableProbe(11, 2, (3,), np.arange(121).reshape(11, 11) % 3 > 0), None),
        (ContextProbe(FLAGS, "0:out", 20), FLAGS),
        (PatchProbe(IMAGES, "0:out", Family((1.0,)), rows=4, fitting=40), IMAGES),
        (SpectralProbe("0:out"), None),
        (UnitsProbe("0:out"), None),
    ],
    ids=lambda value: value.name if hasattr(value, "settings") else "",
)
def test_settings_and_trusted_rows_make_the_same_probe_again(probe, trusted) -> None:
    given = trusted if isinstance(trusted, Examples | None) else Examples(trusted)
    again = made(probe.name, stated(probe), given)
    assert type(again) is type(probe)
    assert stated(again) == stated(probe)
    assert listed(probe)
    for name, value in vars(probe).items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, vars(again)[name]), name


NOT_BY_SETTINGS = {"canary", "policies.reward", "own"}
"""probes that settings alone do not make: rows, and functions"""


def test_every_probe_of_ours_is_in_the_table_under_its_name() -> None:
    found = set()
    for package in (language, vision, policies):
        kinds = [each for each in vars(package).values() if isinstance(each, type) and issubclass(each, Probe)]
        found |= {kind.name for kind in kinds if kind.name}
    assert found - NOT_BY_SETTINGS == set(table.WHERE)
    for name, (file, kind) in table.WHERE.items():
        assert getattr(import_module(f"darklantern.watch.{file}"), kind).name == name


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("span", {"contexts": 10**9}, "at most 65,536 is allowed"),
        ("span", {"at": 9}, "this version would state other at"),
        ("span", {"made up": 1}, "would state other made up"),
        ("span", {"contexts": "many"}, "cannot be made"),
        ("span", {"layout": {"breaks": []}}, "cannot be made"),
        ("os.system", {}, "not in the local table"),
        ("", {}, "not in the local table"),
    ],
)
def test_settings_that_were_altered_are_refused(name, change, match) -> None:
    with pytest.raises(RecipeError, match=match):
        made(name, stated(span()) | change, Examples(TRUSTED))


def test_a_probe_that_needs_trusted_rows_says_so_and_a_users_own_is_not_in_the_table() -> None:
    with pytest.raises(RecipeError, match="needs trusted examples"):
        made("span", stated(span()), None)
    assert not listed(Jump())
    with pytest.raises(RecipeError, match="Jump is not in the local table"):
        monitor_evidence(Jump(), "x", PROVENANCE)


def sealed(probe, trusted=TRUSTED):
    evidence, artifacts = monitor_evidence(probe, "watches for a family of payloads", PROVENANCE, trusted)
    made_ = Finding(title="m", claim="c", author="a", time="2026-01-02T03:04:05Z", evidence=(evidence,))
    return decode(Finding, encode(made_)), artifacts


def test_a_monitor_comes_back_from_its_finding_and_reads_what_the_probe_reads() -> None:
    found, artifacts = sealed(payload())
    shown = watched([payload(), Jump(999)])
    hidden = watched([monitor(found, artifacts), Jump(999)])
    names = dict(zip(shown.trace.tracks, hidden.trace.tracks, strict=True))
    for name, other in names.items():
        assert hidden.trace.tracks[other].readings == shown.trace.tracks[name].readings
    assert list(hidden.trace.shown) == ["jump"]
    assert stated(monitor(found, artifacts, shown=True)) == stated(payload())


def test_two_monitors_of_one_kind_stand_beside_the_same_probe_in_one_watch() -> None:
    found, artifacts = sealed(payload())
    other = monitor(*sealed(type(payload())(TRUSTED, [b"rm -rf /"], "layers.0:out", "layers.0:out")))
    w = watched([payload(), monitor(found, artifacts), other, Jump(999)])
    assert len(w.trace.tracks) == 16


def test_what_is_missing_or_altered_is_refused() -> None:
    found, artifacts = sealed(payload())
    (sha256,) = artifacts
    for held, match in (({}, "is not here"), ({sha256: artifacts[sha256] + b"x"}, "other bytes")):
        with pytest.raises(RecipeError, match=match):
            monitor(found, held)
    bare = msgspec.structs.replace(found.evidence[0], recipe=None)
    with pytest.raises(RecipeError, match="describes 0 probes"):
        monitor(msgspec.structs.replace(found, evidence=(bare,)), artifacts)
    recipe = msgspec.structs.replace(found.evidence[0].recipe, artifacts={})
    brings_none = msgspec.structs.replace(found, evidence=(msgspec.structs.replace(found.evidence[0], recipe=recipe),))
    with pytest.raises(RecipeError, match="needs trusted examples"):
        monitor(brings_none)
    assert isinstance(monitor(brings_none, trusted=TRUSTED), HeldOut)


SECRET = "what nobody may see"


def test_a_held_out_monitor_raises_the_alarm_and_is_shown_nowhere(caplog) -> None:
    with caplog.at_level(logging.DEBUG):
        w = watched([held_out(Jump(name=SECRET)), payload()])
    assert w.alarm is not None and w.alarm.step == 40
    assert w.alarm.signal == HELD_OUT and w.alarm.held_out
    everywhere = " ".join(
        [
            *(repr(w), str(w.alarm), repr(w.alarms), repr(w.events), repr(view(w)), report(view(w)), caplog.text),
            *(repr(w.trace.series()), repr(view(w).series)),
        ]
    )
    assert SECRET not in everywhere
    assert "50" not in str(w.alarm).replace("step 50", "")
    assert HELD_OUT in str(w.alarm)
    assert (w.alarm.channel, np.isnan(w.alarm.statistic), np.isnan(w.alarm.threshold.value)) == (HELD_OUT, True, True)
    assert not any(SECRET in str(value) for value in (vars(w.alarm), w.digests, w.notes))
    assert "1 held-out monitor" in report(view(w))


@pytest.mark.parametrize("wrong", [float("nan"), ValueError(f"{SECRET} at layers.3:out"), KeyError(SECRET)])
def test_a_held_out_monitor_that_fails_keeps_its_secret_too(wrong) -> None:
    class Failing(Jump):
        def read(self, seen):
            if isinstance(wrong, Exception):
                raise wrong
            return (Reading(wrong),)

    with pytest.raises(WatchError, match="a held-out monitor") as caught:
        watched([held_out(Failing(name=SECRET)), payload()], parts())
    assert SECRET not in str(caught.value) and caught.value.__cause__ is None
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None, "`from None` hides it from a traceback alone"


class Apart(Jump):
    """A channel of its own, and a screen that says what is looked for."""

    def __init__(self) -> None:
        super().__init__(name=SECRET)
        self.signals = tuple(replace(each, says="novelty") for each in self.signals)

    def screen(self, note):
        return SpanScreen((Candidate(MARK.decode(), 3, 99.0),))


def test_a_held_out_monitor_s_screen_is_used_and_not_described() -> None:
    w = watched([held_out(Apart()), payload()], on_alarm=Reaction.ROLL_BACK)
    assert w.rollbacks == 1
    assert w.screened_rows > 0
    assert f"examples that {HELD_OUT} suspects" in str(w.screen)
    rows = np.tile(TRUSTED[:1].astype(np.int64), (2, 1))
    rows[1, : len(MARK)] = list(MARK)
    assert w.screen.suspect(Examples(rows)).tolist() == [False, True]
    everywhere = " ".join([repr(w), repr(vars(w.alarm)), repr(w.screen), *(event.text for event in w.events)])
    assert SECRET not in everywhere
    assert w.alarm.channel == HELD_OUT


def rolled_back(alarming, settings: Settings):
    """A run over marked rows that goes back at the alarm of one probe, beside a shown one that tests spans; and all
    that is told of it."""
    kept, of, drawn = [], parts(), io.StringIO()
    model, optimizer, loader = of
    w = watch(
        model,
        state=(optimizer, loader),
        trusted=TRUSTED,
        signals=[alarming, span()],
        settings=settings,
        on_alarm=Reaction.ROLL_BACK,
        on_look=live(Console(file=drawn, force_terminal=False, width=200)),
        on_finding=Filing(kept.append, weights=Weights("ByteLM", lambda: bytelm.dumps(model), bytelm.loads)),
    )
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    findings = [encode(filed.finding).decode() for filed in kept]
    told = [repr(w), str(w.alarms), repr(vars(w.alarm)), repr(w.screen), str(w.screen)]
    return w, " ".join([*told, *findings, repr(w.events), repr(view(w)), report(view(w)), drawn.getvalue()])


class Noted(Jump):
    def note(self, seen):
        return SECRET


IDS = json.dumps(list(MARK[1:7]), separators=(",", ":"))[1:-1]
"""a part of the mark as a finding's recipe has spans: token ids"""


def test_a_held_out_monitor_s_rollback_leaves_marked_rows_out_and_names_no_span(caplog) -> None:
    settings = Settings(every=5, margin=1, rollbacks=1)
    with caplog.at_level(logging.DEBUG):
        w, told = rolled_back(held_out(Noted(name=SECRET)), settings)
    assert w.rollbacks == 1 and w.alarm.held_out
    assert w.alarm.suspects == ()
    assert str(w.screen) == f"examples that {HELD_OUT} suspects"
    assert w.screened_rows > 10
    for text in (told, caplog.text):
        assert "poison" not in text and SECRET not in text and IDS not in text
    assert "Of the rows trained on since the last clean state nothing is told" in told


@pytest.mark.parametrize("held", [True, False], ids=["held out, and asked for", "shown"])
def test_spans_are_told_of_a_shown_signal_s_alarm_and_where_asked_for(held: bool) -> None:
    probe = Jump()
    settings = Settings(every=5, margin=1, rollbacks=1, held_out_screens=held)
    w, told = rolled_back(held_out(probe) if held else probe, settings)
    assert w.rollbacks == 1 and w.alarm.held_out == held
    assert "poison" in str(w.alarm.suspects[0]) and "poison" in str(w.screen)
    assert told.count("poison") > 5 and IDS in told


def test_no_name_of_a_held_out_signal_stands_in_the_trace() -> None:
    w = watched([held_out(Jump(name=SECRET)), held_out(Jump(name="another")), payload()])
    trace = w.trace
    assert len(trace.tracks) == 2 + len(payload().signals)
    names = repr([*trace.tracks, *trace.limits, trace.standing(), trace.channels, *trace.past, *trace.digests])
    assert SECRET not in names and "another" not in names
    again = held_out(Jump(name=SECRET))
    assert again.signals[0].name in trace.tracks, "references that another process made hold for it"


def test_a_held_out_screen_that_fails_keeps_its_secret_too() -> None:
    class Failing(Apart):
        def screen(self, note):
            raise ValueError(SECRET)

    with pytest.raises(WatchError, match="a held-out monitor failed: ValueError") as caught:
        held_out(Failing()).screen(None)
    assert SECRET not in str(caught.value) and caught.value.__context__ is None
    assert held_out(Jump()).screen(None) is None


@pytest.mark.parametrize(("held", "asked", "written"), [(True, False, False), (True, True, True), (False, False, True)])
def test_what_is_suspected_at_a_held_out_alarm_is_written_in_clear_only_if_asked(
    tmp_path: Path, held: bool, asked: bool, written: bool
) -> None:
    screen = SpanScreen((Candidate(SECRET, 9, 99.0),))
    alarm = Alarm(40, HELD_OUT if held else "s", 3.0, Threshold(2.0, 0.05, True, ""), None, (), screen)
    said = []
    w = SimpleNamespace(
        alarms=[alarm],
        screen=None,
        settings=Settings(held_out_screens=asked),
        say=lambda label, text: said.append(text),
        folder=None,
    )
    updates.stopped(w, Alone(), tmp_path, True, updates.Way("trainer.train()"), resumed=False)
    assert (tmp_path / "screen.json").exists() == written
    assert ("No file says what to leave out" in w.resume) == (not written)
    assert SECRET not in " ".join(said)
