"""What says beforehand what an act would do says the same as the act, and leaves every byte of the library alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network.heads import ForkedLogError
from library.meeting import Meeting, met
from library.orgs import artifacts, assessment, every_byte_of, finding


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    yield us
    us.close()


def test_a_check_refuses_what_sharing_refuses(us: Meeting) -> None:
    what, before = finding(), every_byte_of(us.folder)
    us.aurora.findings.check(what, artifacts(), circle="evals", assessment=assessment(what))
    for refused in (
        {"assessment": None},
        {"assessment": assessment(what, "V4")},
        {"assessment": assessment(what), "supersedes": "0" * 64},
        {"assessment": assessment(what), "circle": "nowhere"},
    ):
        given = {"circle": "evals", **refused}
        with pytest.raises(DarkLanternError) as checked:
            us.aurora.findings.check(what, artifacts(), **given)  # type: ignore[arg-type]
        with pytest.raises(DarkLanternError) as shared:
            us.aurora.findings.share(what, artifacts(), **given)  # type: ignore[arg-type]
        assert checked.value.message == shared.value.message
    with pytest.raises(RefusedError, match="artifacts that the finding names"):
        us.aurora.findings.check(what, {}, circle="evals", assessment=assessment(what))
    assert every_byte_of(us.folder) == before


def test_a_verified_bundle_tells_what_its_import_tells(us: Meeting) -> None:
    us.share()
    us.sync()
    us.aurora.threads.begin("evals", "a title", "waits")
    bundle = us.folder / "bundle"
    us.aurora.bundles.export_to(bundle)
    before = every_byte_of(us.folder / "beacon")
    told = us.beacon.bundles.verify(bundle)
    assert every_byte_of(us.folder / "beacon") == before
    assert us.beacon.bundles.import_from(bundle) == told and told.carried
    assert us.beacon.bundles.verify(bundle).entries == {}


def test_a_preview_tells_what_a_sync_would_bring_and_send(us: Meeting) -> None:
    item = us.share()
    (sending,) = us.aurora.relays.preview([us.relay]).relays.values()
    assert item in sending.sent and item in us.aurora.pending
    us.aurora.relays.sync([us.relay])
    before = every_byte_of(us.folder / "beacon")
    (coming,) = us.beacon.relays.preview([us.relay]).relays.values()
    assert every_byte_of(us.folder / "beacon") == before
    (came,) = us.beacon.relays.sync([us.relay]).relays.values()
    assert (coming.imported.entries, coming.imported.pieces) == (came.imported.entries, came.imported.pieces)
    assert sum(came.imported.entries.values()) == 1 and came.imported.pieces > 0


def test_a_preview_of_two_histories_says_so_and_keeps_no_proof(us: Meeting) -> None:
    us.split()
    with pytest.raises(ForkedLogError):
        us.beacon.relays.preview([us.relay])
    assert us.beacon.forks() == ()
    with pytest.raises(ForkedLogError):
        us.beacon.relays.sync([us.relay])
    assert [(fork.kind, fork.of) for fork in us.beacon.forks()] == [("log", us.circle)]
