"""The report says who may read what, who changed it and what was opened, and not a word of what is in it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from network.world import PLEDGE, YEAR, device, person

from darklantern.errors import LogError
from darklantern.library.report_text import lines
from darklantern.network import new_terms
from darklantern.network.clock import text
from darklantern.records.exact import plain
from library.carried import carried
from library.orgs import CANARY, Orgs, artifacts, assessment, finding, found_circle, founded, library, share


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def test_it_holds_no_word_of_a_finding(orgs: Orgs) -> None:
    what = finding()
    item = orgs.aurora.findings.share(
        what, artifacts(), circle="evals", assessment=assessment(what), tags=[f"{CANARY} tag"]
    )
    orgs.aurora.threads.post(item, f"{CANARY} in a post")
    orgs.aurora.findings.open(item)
    report = orgs.aurora.care.report()
    told = "\n".join(lines(report))
    written = json.dumps(plain(report))
    assert item in told and item in written
    assert CANARY not in told and CANARY not in written and "notes.json" not in told + written


def test_who_may_read_what_follows_the_epochs_and_their_links(orgs: Orgs) -> None:
    """Bo is revoked after the first item and before the second; a newcomer walks back where history is `all`."""
    first = share(orgs)
    orgs.manifest("Beacon", person("bea"), revoked=("bo",))
    second = share(orgs, b"{}")
    report = orgs.aurora.care.report()
    readers = {held.id: {reader.person for reader in held.readers} for held in report.held}
    assert readers == {first: {"ada", "bo"}, second: {"ada"}}
    new = library(orgs.folder / "new", "new", orgs.clock)
    orgs.manifest("Aurora", person("ada"), person("new"))
    carried(orgs.aurora, new)
    new.members.pledge(PLEDGE, text(orgs.clock.now + YEAR))
    carried(new, orgs.aurora)
    orgs.aurora.members.rotate("evals")
    carried(orgs.aurora, new)
    readers = {held.id: {reader.person for reader in held.readers} for held in orgs.aurora.care.report().held}
    assert readers == {first: {"ada", "bo", "new"}, second: {"ada", "new"}}
    assert new.findings.open(first) and new.findings.open(second)  # as the report says
    (circle,) = orgs.aurora.care.report().circles
    assert (circle.name, circle.level, circle.markings) == ("evals", "V2", ("use:safety-only",))
    assert {member.person for member in circle.members} == {"ada", "new"}
    assert any("bo" in reason and "revoked" in reason for reason in circle.excluded)
    new.close()


@pytest.mark.parametrize(("history", "expected"), [("none", {"ada"}), ("since-join", {"ada"}), ("all", {"ada", "bo"})])
def test_a_newcomer_is_a_reader_of_the_past_only_where_history_reaches_back(orgs: Orgs, history, expected) -> None:
    orgs.manifest("Beacon", person("bea"))  # no pledge yet: Ada is alone
    circle = found_circle_alone(orgs, history)
    what = finding()
    item = orgs.aurora.findings.share(what, artifacts(), circle=circle, assessment=assessment(what))
    orgs.manifest("Beacon", person("bo"))
    orgs.aurora.members.rotate(circle)
    held = next(each for each in orgs.aurora.care.report().held if each.id == item)
    assert {reader.person for reader in held.readers} == expected
    orgs.to_beacon()
    opens = next(each for each in orgs.beacon.findings.listed() if each.id == item).title is not None
    assert opens == ("bo" in expected)


def found_circle_alone(orgs: Orgs, history: str) -> str:
    from network.world import log_key

    from darklantern.network import Admin

    admins = (Admin(org="Aurora", person="ada"), Admin(org="Beacon", person="bo"))
    orgs.manifest("Beacon", person("bo"))
    circle = found_circle(
        orgs.aurora, new_terms("later", "V2"), history=history, admins=admins, log=log_key("keeper").public
    )
    orgs.manifest("Beacon", person("bea"))
    return circle


def test_acts_are_listed_with_who_signed_them_and_refused_ones_with_the_reason(orgs: Orgs) -> None:
    share(orgs)
    orgs.manifest("Beacon", person("bea"), revoked=("bo",))
    orgs.aurora.members.rotate("evals")
    acts = orgs.aurora.care.report().acts
    assert [act.kind for act in acts] == ["roster", "org", "org", "pledge", "pledge", "circle", "org", "epoch", "epoch"]
    said = {act.kind: act for act in acts}
    assert all(act.refused is None and act.by for act in acts)
    assert "a network root of Aurora" in said["roster"].by and "trusts Aurora, Beacon" in said["roster"].what
    assert said["org"].what.endswith("1 device revoked") and "a root of Beacon" in said["org"].by[0]
    assert said["epoch"].by == ("Dr ada (Aurora)",) and "epoch 2 for 1 device;" in said["epoch"].what
    assert device("bo").public.fingerprint[:9] in said["epoch"].what
    assert set(said["circle"].by) == {"Dr ada (Aurora)", "Dr bo (Beacon)"}
    assert len(list(lines(orgs.aurora.care.report()))) > len(acts)


def test_the_open_log_is_in_it_and_one_that_was_altered_stops_it(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.aurora.findings.open(item)
    report = orgs.aurora.care.report()
    assert [entry.item for entry in report.opened.entries] == [item]
    assert report.opened == orgs.aurora.care.opened_log()
    orgs.aurora._desk.vault.database._connection.execute("DELETE FROM openings")
    with pytest.raises(LogError, match="open-log is not whole"):
        orgs.aurora.care.report()


def test_what_waits_and_what_is_frozen_is_said(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    post = orgs.beacon.threads.post(item, "waits")
    report = orgs.beacon.care.report()
    assert any(post in each and "waits for the keeper" in each for each in report.stale)
    assert [held.pending for held in report.held] == [False, True]
    assert orgs.aurora.care.report().stale == ()
