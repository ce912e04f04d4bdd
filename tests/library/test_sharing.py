"""What may be sealed, to whom, and what a refusal leaves behind: nothing."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from network.world import NOW, PLEDGE, YEAR, device, log_key, org_keys, person

from darklantern.errors import LogError, RefusedError, SealError
from darklantern.library import Library
from darklantern.library.keeping import with_heads
from darklantern.library.sharing import _seal, share_posting
from darklantern.library.state import State
from darklantern.network import ForkedLogError, OrgManifest, Terms, cosign, draft_manifest, new_terms, proves_fork
from darklantern.network.clock import text
from darklantern.network.items import Package, Posting
from darklantern.network.merging import LogCopy
from darklantern.records.assessments import Assessment, Level
from darklantern.records.findings import Finding
from darklantern.records.posts import Post
from darklantern.sealing import Envelope
from library.carried import exported, imported, written
from library.orgs import (
    ARTIFACT,
    CANARY,
    WEEK,
    Clock,
    Orgs,
    artifacts,
    assessment,
    every_byte_of,
    finding,
    found_circle,
    founded,
    library,
    manifest,
    reopened,
    share,
)


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def refuses(orgs: Orgs, match: str, library: Library | None = None, **changes: object) -> RefusedError:
    """That sharing is refused for that reason, and that nothing at all was written."""
    what = changes.pop("finding", finding())
    call = {"circle": "evals", "assessment": assessment(what), "artifacts": artifacts()} | changes
    before = every_byte_of(orgs.folder)
    with pytest.raises(RefusedError, match=match) as caught:
        (library or orgs.aurora).findings.share(
            what, call["artifacts"], circle=call["circle"], assessment=call["assessment"]
        )
    assert every_byte_of(orgs.folder) == before
    return caught.value


def test_p13_without_an_assessment_a_finding_is_private(orgs: Orgs) -> None:
    refuses(orgs, "no assessment.*V4 Private", assessment=None)


@pytest.mark.parametrize("level", ["V3", "V4"])
def test_p14_a_level_more_closed_than_the_circles_is_refused_naming_the_rules(orgs: Orgs, level) -> None:
    judged = assessment(finding(), level)
    error = refuses(orgs, re.escape(judged.binding[0]), assessment=judged)
    assert judged.lowering[0] in error.hint


@pytest.mark.parametrize("level", ["V0", "V1", "V2"])
def test_p14_a_level_as_open_as_the_circle_or_more_goes_in_with_its_label(orgs: Orgs, level) -> None:
    what = finding()
    item = orgs.aurora.findings.share(what, artifacts(), circle=orgs.circle, assessment=assessment(what, level))
    assert orgs.aurora.findings.open(item).level == level


def unfounded(what: Finding) -> Assessment:
    """A V2 without an answer: by the table that is V4."""
    return msgspec.structs.replace(assessment(what), answers=())


def test_p14_a_level_that_does_not_follow_from_its_answers_is_refused(orgs: Orgs) -> None:
    for change in ({"answers": ()}, {"operate": "V1"}, {"table": "darklantern/9.9.9"}):
        claimed = msgspec.structs.replace(assessment(finding()), **change)
        refuses(orgs, "does not follow from its answers.*V4 Private", assessment=claimed)


@pytest.mark.parametrize("change", [{"answers": ()}, {"table": "darklantern/9.9.9"}], ids=str)
def test_p14_a_peers_level_that_does_not_follow_is_never_shown_as_if_it_did(orgs: Orgs, change) -> None:
    """A member whose program does not check can still write one."""
    what = finding(title="claimed to be V2")
    claimed = msgspec.structs.replace(assessment(what), **change)
    item = sealed_by_aurora(orgs, Package(finding=what, assessment=claimed, artifacts=()), "V2")
    orgs.to_beacon()
    listed = next(each for each in orgs.beacon.findings.listed() if each.id == item)
    assert (listed.title, listed.level) == (None, None) and "does not follow" in (listed.problem or "")
    for ask in (
        lambda: orgs.beacon.findings.open(item),
        lambda: orgs.beacon.findings.artifact(item, "0" * 64),
        lambda: orgs.beacon.threads.post(item, "taken for V2"),
    ):
        with pytest.raises(RefusedError, match="does not follow"):
            ask()
    assert any("does not follow" in str(problem) for problem in orgs.beacon.care.verify())


def test_p14_a_peers_assessment_of_another_finding_is_never_shown_as_this_ones(orgs: Orgs) -> None:
    """A level that follows, from answers about something harmless."""
    what = finding(title="harmful")
    borrowed = assessment(finding(title="harmless"))
    item = sealed_by_aurora(orgs, Package(finding=what, assessment=borrowed, artifacts=()), "V2")
    orgs.to_beacon()
    listed = next(each for each in orgs.beacon.findings.listed() if each.id == item)
    assert (listed.title, listed.level) == (None, None) and "of another finding" in (listed.problem or "")
    with pytest.raises(RefusedError, match="of another finding"):
        orgs.beacon.findings.open(item)


def test_p14_a_label_closes_even_where_its_assessment_does_not_hold(orgs: Orgs) -> None:
    what = finding(title="claimed to be V2")
    sealed_by_aurora(orgs, Package(finding=what, assessment=unfounded(what), artifacts=()), "V2")
    terms = new_terms("commons", "V1")
    wide = found_circle(orgs.aurora, terms)
    orgs.to_beacon()
    orgs.beacon.drafts.add_terms(wide, terms)
    lower, match = assessment(what, "V1"), "author shared this finding at V2"
    refuses(orgs, match, library=orgs.beacon, finding=what, circle="commons", assessment=lower)


def said(thread: str, text: str) -> Posting:
    return Posting(content=Post(thread=thread, text=text))


def sealed_by_aurora(orgs: Orgs, package: Package, level: Level) -> str:
    """An item that Aurora's library would have refused to seal, in the log all the same."""
    share(orgs)
    epoch = orgs.aurora.view.circle(orgs.circle).epoch
    assert epoch is not None
    now = orgs.clock.now
    state, item, pieces = _seal(orgs.aurora._desk.state, package, "item", orgs.circle, epoch, level, {}, now)
    orgs.aurora._desk.step(state, pieces)
    return item


@pytest.mark.parametrize(
    ("terms", "match"),
    [
        (Terms(salt=b"s" * 32, name="closed", level="V4"), "a circle at V4 Private needs people named one by one"),
        (Terms(salt=b"s" * 32, name="closed", level="V2", tags=("eyes-only:x",)), "'eyes-only:x' is unknown"),
    ],
    ids=["V4", "an unknown tag"],
)
def test_p13_terms_that_came_with_an_epoch_and_are_not_understood_seal_nothing(orgs: Orgs, terms, match) -> None:
    """A quorum, or a newer program, agreed on them: `add_terms` never saw them."""
    circle = found_circle(orgs.aurora, new_terms("closed", "V2"))
    state = orgs.aurora._desk.state
    learned = replace(state.keyring, terms={**state.keyring.terms, circle: terms})
    orgs.aurora._desk._held = replace(state, keyring=learned)
    refuses(orgs, match, circle=circle)
    with pytest.raises(RefusedError, match=match):
        orgs.aurora.members.rotate(circle)
    with pytest.raises(RefusedError, match=match):
        share_posting(orgs.aurora._desk.state, said("0" * 64, "hello"), circle, "V2", orgs.clock.now)


def test_p14_an_assessment_of_another_finding_is_refused(orgs: Orgs) -> None:
    refuses(orgs, "of another finding", assessment=assessment(finding(title="another")))


def test_p13_an_unknown_circle_is_nobody(orgs: Orgs) -> None:
    refuses(orgs, "no circle known here by the name 'eval'", circle="eval")
    refuses(orgs, "no circle", circle="7" * 64)


def test_artifacts_are_all_that_the_finding_names_and_no_other(orgs: Orgs) -> None:
    refuses(orgs, "1 are missing", artifacts={})
    refuses(orgs, "1 have another hash", artifacts={hashlib.sha256(ARTIFACT).hexdigest(): b"other"})
    refuses(orgs, "got 2", artifacts=artifacts() | artifacts(b"extra"))


def test_p5_a_stale_view_blocks_sealing_and_a_new_bundle_unblocks_it(orgs: Orgs) -> None:
    share(orgs)
    orgs.to_beacon()
    orgs.clock.now += WEEK + 1
    refuses(orgs, "stale since", library=orgs.beacon)
    item = orgs.beacon.findings.listed()[0].id
    with pytest.raises(RefusedError, match="freshness limit"):
        orgs.beacon.threads.post(item, "too late")
    assert orgs.beacon.findings.open(item)  # reading goes on
    orgs.to_beacon()
    orgs.beacon.threads.post(item, "in time")


def test_p11_an_expired_roster_blocks_sealing_and_not_reading(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.clock.now += YEAR
    refuses(orgs, "roster version 1 expired")
    assert orgs.aurora.findings.open(item).finding == finding()
    orgs.clock.now -= 10 * YEAR
    exported(orgs.aurora)


def test_p34_setting_the_clock_back_revives_nothing(orgs: Orgs) -> None:
    orgs.clock.now += YEAR
    exported(orgs.aurora)  # its checkpoint says how late it is
    orgs.clock.now -= 10 * YEAR
    refuses(orgs, "roster version 1 expired")


def test_p34_who_keeps_a_circles_log_alone_signs_no_earlier_time_than_before(orgs: Orgs) -> None:
    """The network's log is another's, so nothing but its own last checkpoint holds this keeper's time up."""
    terms = new_terms("ours", "V2")
    circle = found_circle(orgs.aurora, terms, log=log_key("beacon's own").public)
    orgs.to_beacon()
    orgs.beacon._desk._held = replace(orgs.beacon._desk.state, log_key=log_key("beacon's own"))
    orgs.beacon.drafts.add_terms(circle, terms)
    for hour in (1, 0):  # the clock is set back in between
        orgs.clock.now = NOW + hour * 3600
        what = finding(title=f"hour {hour}")
        orgs.beacon.findings.share(what, artifacts(), circle=circle, assessment=assessment(what))
        orgs.to_aurora()
    assert [item.title for item in orgs.aurora.findings.listed()] == ["hour 1", "hour 0"]
    assert orgs.aurora.view.heads[circle].time == NOW + 3600


def test_p13_a_circle_without_effective_members_is_nobody(orgs: Orgs) -> None:
    orgs.manifest("Aurora", person("al"))
    orgs.manifest("Beacon", person("bea"))
    refuses(orgs, "no effective member.*has not signed the pledge")


def test_somebody_who_is_no_longer_a_member_cannot_share(orgs: Orgs) -> None:
    share(orgs)
    orgs.to_beacon()
    orgs.manifest("Beacon", person("bea"), revoked=("bo",))
    bundle = exported(orgs.aurora)
    imported(orgs.beacon, bundle)
    refuses(orgs, "not an effective member: the device was revoked by manifest version 2", library=orgs.beacon)


def test_p8_the_sealer_rotates_by_itself_and_the_removed_device_opens_nothing_new(orgs: Orgs) -> None:
    first = share(orgs)
    orgs.to_beacon()
    orgs.manifest("Beacon", person("bea"), revoked=("bo",))
    second = share(orgs, b"{}")
    epochs = orgs.aurora.view.circle(orgs.circle).epochs
    assert [epoch.body.number for epoch in epochs] == [1, 2]
    assert device("bo").public.id not in epochs[1].members
    assert orgs.aurora.members.effective("evals").explain(device("bo").public.id).startswith("the device was revoked")
    orgs.to_beacon()
    listed = {item.id: item for item in orgs.beacon.findings.listed()}
    assert listed[first].title == finding().title
    assert listed[second].title is None and "never given" in (listed[second].problem or "")
    with pytest.raises(SealError, match=r"sealed to 1 device of 1 member in circle 'evals'.*not among them: .*revoked"):
        orgs.beacon.findings.open(second)
    assert orgs.beacon.care.verify() == ()  # what is not meant for it is no damage


def test_p8_beacon_rotates_offline_and_aurora_follows(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    orgs.manifest("Aurora", person("ada"), person("al"), person("abe"))
    orgs.to_beacon()
    orgs.beacon.members.rotate("evals")
    reply = orgs.beacon.threads.post(item, "sealed to my own new epoch")
    assert len(orgs.beacon.pending) == 2
    imported = orgs.to_aurora()
    assert len(imported.appended) == 2 and not imported.refused
    assert orgs.aurora.threads.open(item).posts[0].id == reply


def test_p9_a_newcomer_walks_back_where_history_is_all(tmp_path: Path) -> None:
    orgs = founded(tmp_path)
    item = share(orgs)
    orgs.manifest("Aurora", person("ada"), person("al"), person("new"))
    orgs.to_beacon()
    new = library(tmp_path / "new", "new", orgs.clock)
    imported(new, exported(orgs.aurora))
    assert new.findings.listed()[0].title is None
    new.members.pledge(PLEDGE, text(NOW + YEAR))
    imported(orgs.aurora, exported(new))
    orgs.aurora.members.rotate("evals")
    imported(new, exported(orgs.aurora))
    assert new.findings.open(item).finding == finding()
    new.close()
    orgs.close()


def test_p14_nobody_but_its_author_takes_a_finding_to_a_wider_circle(orgs: Orgs) -> None:
    share(orgs)
    orgs.to_beacon()
    terms = new_terms("commons", "V1")
    wide = found_circle(orgs.aurora, terms)
    orgs.to_beacon()
    orgs.beacon.drafts.add_terms(wide, terms)
    lower = assessment(finding(), "V1")
    refuses(orgs, "author shared this finding at V2", library=orgs.beacon, circle="commons", assessment=lower)
    assert orgs.aurora.findings.share(finding(), artifacts(), circle="commons", assessment=lower)


@pytest.mark.parametrize("who", ["al", "ada's phone"])
def test_p14_its_author_is_a_person_with_any_device_of_theirs_and_no_other_of_their_org(orgs: Orgs, who: str) -> None:
    share(orgs)
    orgs.manifest("Aurora", person("ada", "ada", "ada's phone"), person("al"))
    terms = new_terms("commons", "V1")
    wide = found_circle(orgs.aurora, terms)
    with library(orgs.folder / who, who, orgs.clock) as other:
        imported(other, exported(orgs.aurora))
        if who == "al":
            other.members.pledge(PLEDGE, text(NOW + YEAR))
            imported(orgs.aurora, exported(other))
        orgs.aurora.members.rotate("evals")
        imported(other, exported(orgs.aurora))
        other.drafts.add_terms(wide, terms)
        lower = assessment(finding(), "V1")
        if who == "al":
            refuses(orgs, "author shared this finding at V2", library=other, circle="commons", assessment=lower)
        else:
            assert other.findings.share(finding(), artifacts(), circle="commons", assessment=lower)


def test_p14_nobody_but_its_author_lowers_a_findings_label_within_its_circle(orgs: Orgs) -> None:
    """The circle is as closed as before; whoever takes it from there would go by the lower label."""
    share(orgs)
    orgs.to_beacon()
    orgs.beacon.drafts.add_terms(orgs.circle, orgs.aurora._desk.state.terms(orgs.circle))
    lower = assessment(finding(), "V1")
    refuses(orgs, "author shared this finding at V2", library=orgs.beacon, circle=orgs.circle, assessment=lower)
    assert orgs.aurora.findings.share(finding(), artifacts(), circle=orgs.circle, assessment=lower)


def test_terms_that_the_admins_did_not_sign_are_refused(orgs: Orgs) -> None:
    with pytest.raises(RefusedError, match="not the terms"):
        orgs.aurora.drafts.add_terms(orgs.circle, new_terms("evals", "V1"))


def test_a_member_who_was_never_told_the_terms_cannot_seal(orgs: Orgs) -> None:
    orgs.to_beacon()
    refuses(orgs, "terms of circle .* are not known", library=orgs.beacon, circle=orgs.circle)


def test_p22_a_pledge_needs_a_manifest_first(tmp_path: Path) -> None:
    stranger = library(tmp_path / "s", "stranger", Clock())
    with pytest.raises(RefusedError, match="no manifest lists this device"):
        stranger.members.pledge(PLEDGE, text(NOW + YEAR))
    with pytest.raises(RefusedError, match="nothing to export"):
        exported(stranger)
    stranger.close()


def test_a_post_answers_a_post_of_the_same_thread(orgs: Orgs) -> None:
    item, other = share(orgs), share(orgs, b"{}")
    post = orgs.aurora.threads.post(item, "first")
    answer = orgs.aurora.threads.reply(post, "second")
    assert orgs.aurora.threads.open(other).posts == ()
    assert [(each.id, each.reply_to) for each in orgs.aurora.threads.open(item).posts] == [(post, None), (answer, post)]
    with pytest.raises(RefusedError, match="it is not in this library"):
        orgs.aurora.threads.post("7" * 64, "to nothing")


def test_hostile_text_is_data(orgs: Orgs) -> None:
    item = share(orgs)
    nasty = "[bold]\x1b[2J</script>\n{}\u202e'; DROP TABLE entries; --"
    orgs.aurora.threads.post(item, nasty)
    orgs.to_beacon()
    assert orgs.beacon.threads.open(item).posts[0].text == nasty


def test_secrets_do_not_print(orgs: Orgs) -> None:
    share(orgs)
    state: State = orgs.aurora._desk.state
    for value in (orgs.aurora, state, state.keyring, state.device, state.log_key):
        shown = f"{value!r} {value}"
        for seed in (*state.keyring.seeds.values(), state.device.receiving.seed):
            assert seed.hex() not in shown and repr(seed) not in shown
        assert CANARY not in shown


def test_a_large_artifact_travels_in_pieces(orgs: Orgs) -> None:
    data = bytes(range(256)) * 4 * 1024 * 9  # 9 MiB
    item = share(orgs, data)
    entry = orgs.aurora.view.circle(orgs.circle).entries[item]
    assert len(entry.body.attached) == 3
    orgs.to_beacon()
    assert orgs.beacon.findings.artifact(item, hashlib.sha256(data).hexdigest()) == data
    with pytest.raises(SealError, match="no artifact"):
        orgs.beacon.findings.artifact(item, "7" * 64)


def test_everything_is_there_again_after_closing(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    orgs.beacon.threads.post(item, "pending across a restart")
    orgs.close()
    with reopened(orgs.folder / "aurora", "ada", orgs.clock) as aurora:
        assert aurora.findings.open(item).finding == finding()
        assert aurora.care.verify() == ()
        with reopened(orgs.folder / "beacon", "bo", orgs.clock) as beacon:
            assert [post.pending for post in beacon.threads.open(item).posts] == [True]
            imported(aurora, exported(beacon))
        assert aurora.threads.open(item).posts[0].text == "pending across a restart"


def test_p14_the_level_of_an_item_that_is_wider_than_its_circle_is_refused_by_readers(orgs: Orgs) -> None:
    """A member whose program does not check can still write one."""
    what = finding(title="too closed for here")
    item = sealed_by_aurora(orgs, Package(finding=what, assessment=assessment(what, "V4"), artifacts=()), "V4")
    orgs.to_beacon()
    with pytest.raises(RefusedError, match="it is at V4, and circle 'evals' is only at V2"):
        orgs.beacon.findings.open(item)
    assert any("too widely" in str(p) or "only at V2" in str(p) for p in orgs.beacon.care.verify())
    item = sealed_by_aurora(orgs, Package(finding=what, assessment=assessment(what, "V1"), artifacts=()), "V2")
    with pytest.raises(RefusedError, match="says another level"):
        orgs.aurora.findings.open(item)


def test_a_frozen_log_stops_sealing_and_keeps_the_proof(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    snapshot = orgs.aurora._desk.state
    orgs.aurora.threads.post(item, "told to Beacon")
    orgs.to_beacon()
    # Aurora's keeper shows another history to others: as if its store were rolled back and went on.
    orgs.aurora._desk._held = snapshot
    state, _, _ = share_posting(snapshot, said(item, "told to others"), orgs.circle, "V2", orgs.clock.now)
    state = with_heads(state, orgs.clock.now)
    logs = [LogCopy(log, head.note, tuple(state.entries[log])) for log, head in state.view.heads.items()]
    forked = written(state.view.net, state.device, logs, (), ())
    with pytest.raises(ForkedLogError):
        imported(orgs.beacon, forked)
    fork = orgs.beacon.view.forks[orgs.circle]
    assert proves_fork(fork, log_key("keeper").public)
    with pytest.raises(LogError, match="frozen"):
        orgs.beacon.threads.post(item, "no more")
    orgs.beacon.close()
    with reopened(orgs.folder / "beacon", "bo", orgs.clock) as again:
        assert again.view.forks == {orgs.circle: fork}
        assert again.findings.open(item).finding == finding()


def test_records_for_the_networks_log_wait_in_the_outbox_of_who_does_not_keep_it(orgs: Orgs) -> None:
    orgs.to_beacon()
    added = orgs.beacon.add(manifest(orgs.beacon, "Beacon", person("bo"), person("bea")))
    first = orgs.beacon.members.pledge(PLEDGE, text(NOW + 2 * YEAR))
    second = orgs.beacon.members.pledge(PLEDGE, text(NOW + 3 * YEAR))
    assert orgs.beacon.pending == (added, first, second)
    assert orgs.beacon.add(orgs.beacon._desk.state.outbox[0].envelope) == added
    with pytest.raises(RefusedError, match="expected org version 3, got 5"):
        orgs.beacon.add(orgs_of_version(orgs.beacon, 5))
    assert orgs.to_aurora().appended == (added, first, second)
    orgs.to_beacon()
    assert orgs.beacon.pending == ()
    assert orgs.beacon.view.network.is_active(device("bea").public.id)


def orgs_of_version(beacon: Library, version: int) -> Envelope:
    body = OrgManifest(org="Beacon", version=version, previous="7" * 64, people=())
    return cosign(draft_manifest(beacon.net, body, NOW), org_keys("Beacon"))
