"""A watch's findings go into a library sealed, and monitors come out of it by id, at another organisation."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from library.orgs import Orgs, artifacts, assessment, every_byte_of, finding, founded
from watch.wide import TRUSTED, Jump, parts, payload, watched

from darklantern.cli.watch_library import monitor_by_id, sealed_into
from darklantern.errors import RecipeError
from darklantern.organisms import bytelm
from darklantern.records.findings import Finding, Provenance
from darklantern.replication import rerun
from darklantern.watch import Filing, Weights
from darklantern.watch.monitors import HeldOut, monitor_evidence
from darklantern.watch.table import stated


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    made = founded(tmp_path)
    yield made
    made.close()


def test_each_alarm_is_sealed_to_the_circle_and_runs_again_at_the_other_organisation(orgs: Orgs) -> None:
    of = parts()
    weights = Weights("ByteLM", lambda: bytelm.dumps(of[0]), bytelm.loads)
    keep = sealed_into(orgs.aurora, "evals", assessment)
    w = watched([Jump(), payload()], of, on_finding=Filing(keep, "Ada", weights))
    orgs.to_beacon()
    (listed,) = orgs.beacon.findings.listed()
    opened = orgs.beacon.findings.open(listed.id)
    assert opened.finding == w.findings[0].finding
    evidence = next(e for e in opened.finding.evidence if e.recipe is not None)
    held = {a.sha256: orgs.beacon.findings.artifact(listed.id, a.sha256) for a in evidence.artifacts}
    assert rerun(evidence, held).holds
    assert b"payload lens" not in every_byte_of(orgs.folder)


def test_what_the_rules_refuse_is_said_and_kept_for_a_person(orgs: Orgs) -> None:
    keep = sealed_into(orgs.aurora, "evals", lambda found: assessment(found, "V4"))
    w = watched([Jump(), payload()], on_finding=keep)
    (said,) = [event for event in w.events if event.label == "not filed"]
    assert "V4" in said.text
    assert len(w.findings) == 1
    assert orgs.aurora.findings.listed() == ()


def test_a_monitor_is_loaded_by_id_and_held_out(orgs: Orgs) -> None:
    provenance = Provenance(model="1" * 64, data="2" * 64, seed=0, code="0", versions={})
    evidence, held = monitor_evidence(payload(), "a family of payloads", provenance, TRUSTED)
    found = Finding(title="a monitor", claim="c", author="Ada", time="2026-01-02T03:04:05Z", evidence=(evidence,))
    item = orgs.aurora.findings.share(found, held, circle="evals", assessment=assessment(found))
    orgs.to_beacon()
    probe = monitor_by_id(orgs.beacon, item)
    assert isinstance(probe, HeldOut)
    assert stated(monitor_by_id(orgs.beacon, item, shown=True)) == stated(payload())
    other = orgs.aurora.findings.share(
        what := msgspec.structs.replace(finding(), title="no monitor"),
        artifacts(),
        circle="evals",
        assessment=assessment(what),
    )
    with pytest.raises(RecipeError, match="describes 0 probes"):
        monitor_by_id(orgs.aurora, other)
