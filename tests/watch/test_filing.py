"""An alarm as a finding: whole, exact, and run again by somebody who has only what was filed."""

from dataclasses import replace

import msgspec
import pytest
from watch.wide import TRUSTED, Jump, parts, payload, span, watched

from darklantern.errors import RecipeError, WatchError
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import bytelm
from darklantern.records.exact import decode, encode
from darklantern.records.findings import Finding
from darklantern.replication import rerun
from darklantern.watch import Filing, Reaction, Weights, finding, held_out
from darklantern.watch.monitors import of_npy

SECRET = "what nobody may see"
AGAIN = {
    f"{name}: {part}"
    for name in (
        *("span displacement", "span effect", "payload lens", "payload drift"),
        *("payload likelihood", "first token", "greedy payload"),
    )
    for part in ("value", "placebo")
}


@pytest.fixture(scope="module")
def filed():
    """A run with an alarm and a rollback, all that was kept of it, and the hash of the weights at the alarm."""
    kept, hashes, of = [], [], parts()
    filing = Filing(kept.append, "A. Person", Weights("ByteLM", lambda: bytelm.dumps(of[0]), bytelm.loads))

    def on_alarm(alarm):
        hashes.append(weights_hash(of[0]))
        return Reaction.ROLL_BACK

    w = watched([Jump(), span(), payload()], of, on_alarm=on_alarm, on_finding=filing)
    assert [event.label for event in w.events] == ["uncalibrated", "alarm", "rollback", "alarm", "stop"]
    return w, kept, hashes


def by_method(found: Finding):
    return {evidence.method: evidence for evidence in found.evidence}


def test_it_tells_what_changed_inside_since_the_watch_was_attached(filed) -> None:
    _, kept, _ = filed
    evidence = by_method(kept[0].finding)["diff"]
    figures = {figure.name: figure.value for figure in evidence.figures}
    assert figures["KL of outputs"] > 0
    assert figures["CKA layers.0:out"] < 1
    assert "layers.0:out" in evidence.sites
    assert {grid.name for grid in evidence.grids} >= {"drift of z"}


def test_each_alarm_is_one_finding_handed_over_once_the_reaction_is_known(filed) -> None:
    w, kept, hashes = filed
    assert [each.finding.title for each in kept] == [f"Alarm at step {a.step}: {a.signal}" for a in w.alarms]
    first = by_method(kept[0].finding)
    assert [event.label for event in first["reaction"].events] == ["rollback"]
    assert "screening rows that hold" in first["reaction"].summary
    assert [event.label for event in by_method(kept[1].finding)["reaction"].events] == ["stop"]
    assert [by_method(each.finding)["watch"].provenance.model for each in kept] == hashes, "before the reaction"
    for each in kept:
        assert decode(Finding, encode(each.finding)) == each.finding
        assert each.finding.author == "A. Person"
        assert all(artifact.sha256 in each.artifacts for e in each.finding.evidence for artifact in e.artifacts)


def test_it_tells_what_each_signal_read_before_the_rise_and_at_the_alarm(filed) -> None:
    w, kept, _ = filed
    alarm, evidence = w.alarms[0], by_method(kept[0].finding)["watch"]
    figures = {figure.name: figure.value for figure in evidence.figures}
    looks = {past.step: past for past in w.trace.past[: 1 + w.trace.past.index(_at(w, alarm.step))]}
    clean = looks[max(step for step in looks if step <= alarm.clean.step)]
    for name in ("jump", "payload lens", "span displacement"):
        assert figures[f"{name}: value before"] == clean.readings[name].value
        assert figures[f"{name}: placebo before"] == clean.readings[name].placebo
        assert figures[f"{name}: value at the alarm"] == looks[alarm.step].readings[name].value
    assert figures["jump at the alarm"] == pytest.approx(alarm.statistic / alarm.threshold.value)
    assert {series.name for series in evidence.series} == set(w.trace.tracks)
    assert r"'\x01poison\x02' in " in kept[0].finding.claim, "the spans that stand out, spelled"
    assert kept[0].finding.claim.isprintable()


def _at(w, step):
    return next(past for past in w.trace.past if past.step == step)


def test_another_machine_runs_it_again_from_what_was_filed_alone(filed) -> None:
    _, kept, _ = filed
    evidence = by_method(kept[0].finding)["watch.look"]
    assert {figure.name for figure in evidence.figures} == AGAIN
    assert "Not from weights alone: 'jump'" in evidence.summary
    again = rerun(evidence, kept[0].artifacts)
    assert again.holds
    assert len(again.figures) == len(AGAIN)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"kind": "GPT"}, "models of kind 'GPT' are not in the local table"),
        ({"probes": []}, "refuses its arguments"),
        ({"probes": [{"probe": "os.system", "settings": {}}]}, "probe 'os.system' is not in the local table"),
        ({"spans": None}, "span probe needs spans that were counted"),
        ({"extra": 1}, "unknown field"),
    ],
)
def test_a_recipe_that_a_stranger_altered_is_refused(filed, arguments, match) -> None:
    evidence = by_method(filed[1][0].finding)["watch.look"]
    recipe = msgspec.structs.replace(evidence.recipe, arguments=evidence.recipe.arguments | arguments)
    with pytest.raises(RecipeError, match=match):
        rerun(msgspec.structs.replace(evidence, recipe=recipe), filed[1][0].artifacts)


def test_other_weights_than_those_at_the_alarm_give_other_readings(filed) -> None:
    _, kept, _ = filed
    evidence = by_method(kept[0].finding)["watch.look"]
    roles = evidence.recipe.artifacts | {"model": evidence.recipe.artifacts["first"]}
    swapped = msgspec.structs.replace(evidence, recipe=msgspec.structs.replace(evidence.recipe, artifacts=roles))
    assert not rerun(swapped, kept[0].artifacts).holds


def test_trusted_rows_travel_as_bytes_without_a_pickle(filed) -> None:
    _, kept, _ = filed
    roles = by_method(kept[0].finding)["watch.look"].recipe.artifacts
    data = kept[0].artifacts[roles["trusted"]]
    assert len(data) < TRUSTED.size + 200
    assert (of_npy(data, "trusted") == TRUSTED).all()


def test_a_finding_can_be_made_anew_later_and_only_where_findings_were_asked_for(filed) -> None:
    w, kept, _ = filed
    again = finding(w, w.alarms[0], "Another", "2026-01-02T03:04:05Z")
    assert (again.finding.author, again.finding.time) == ("Another", "2026-01-02T03:04:05Z")
    assert again.artifacts == kept[0].artifacts
    with pytest.raises(WatchError, match="nothing was taken at the alarm"):
        finding(w, replace(w.alarms[0]))


def test_without_weights_it_is_filed_and_says_what_was_read_and_cannot_be_run_again() -> None:
    kept = []
    w = watched([Jump(), payload()], on_finding=kept.append)
    assert [e.method for e in kept[0].finding.evidence] == ["watch", "reaction"]
    assert kept[0].artifacts == {}
    assert "training went on" in by_method(kept[0].finding)["reaction"].summary
    assert w.findings == kept


def test_a_keeper_that_fails_is_said_and_neither_the_run_nor_the_finding_is_lost() -> None:
    def full(filed):
        raise OSError(28, "No space left on device")

    w = watched([Jump()], on_finding=full)
    (said,) = [event for event in w.events if event.label == "not filed"]
    assert "No space left" in said.text
    assert w.step == 48
    assert len(w.findings) == 1


def test_an_alarm_of_a_held_out_monitor_says_nothing_else_of_it() -> None:
    kept, of = [], parts()
    filing = Filing(kept.append, weights=Weights("ByteLM", lambda: bytelm.dumps(of[0]), bytelm.loads))
    w = watched([held_out(Jump(name=SECRET)), payload()], of, on_finding=filing)
    assert kept[0].finding.title == "Alarm at step 40: a held-out monitor"
    said = encode(kept[0].finding).decode()
    assert SECRET not in said and "50.0" not in said
    assert {f.name.split(":")[0] for f in by_method(kept[0].finding)["watch.look"].figures} == {
        signal.name for signal in payload().signals
    }
    assert SECRET not in repr(w) + repr(w.alarms) + repr(w.events)
