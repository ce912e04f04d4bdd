"""What was opened is in the log before it is handed out, and the log notices what is done to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network.world import NOW

from darklantern.errors import LogError, RefusedError, StoreError
from darklantern.library import open_log
from darklantern.library.open_log import Opening
from darklantern.network.clock import text
from darklantern.records.exact import encode
from darklantern.sealing import Identity
from darklantern.stores.database import Database
from library.orgs import ARTIFACT, CANARY, Orgs, artifacts, every_byte_of, founded, reopened, share


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def said(orgs: Orgs) -> list[tuple[str, str, str | None]]:
    return [(entry.act, entry.item, entry.artifact) for entry in orgs.beacon.care.opened_log().entries]


def test_each_opening_is_written_with_its_time_and_device(orgs: Orgs) -> None:
    item = share(orgs)
    (sha256,) = artifacts()
    orgs.to_beacon()
    assert orgs.beacon.care.opened_log() == open_log.OpenLog((), "0" * 64)
    orgs.beacon.findings.listed()
    assert said(orgs) == []  # a title in a list is no opening
    orgs.beacon.findings.open(item)
    assert orgs.beacon.findings.artifact(item, sha256) == ARTIFACT
    orgs.beacon.threads.open(item)
    orgs.beacon.findings.export_age(orgs.folder / "x.age", item, [str(Identity.generate().recipient)])
    assert said(orgs) == [
        ("item", item, None),
        ("artifact", item, sha256),
        ("thread", item, None),
        ("export", item, None),
    ]
    log = orgs.beacon.care.opened_log()
    assert {(entry.device, entry.time) for entry in log.entries} == {(orgs.beacon.device.id, text(NOW))}
    orgs.beacon.close()
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
    assert orgs.beacon.care.opened_log() == log
    assert CANARY.encode() not in every_byte_of(orgs.folder / "beacon")


def test_one_entry_for_each_hour_and_one_for_each_export(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    for seconds in (0, 10, 3589, 1, 3600):  # at 0, 10, 3599, 3600 and 7200 s
        orgs.clock.now += seconds
        orgs.beacon.findings.open(item)
    assert [entry.time for entry in orgs.beacon.care.opened_log().entries] == [text(NOW + at) for at in (0, 3600, 7200)]
    for n in range(2):
        orgs.beacon.findings.export_age(orgs.folder / f"{n}.age", item, [str(Identity.generate().recipient)])
    assert len(said(orgs)) == 5


def test_what_is_refused_is_no_opening_and_what_cannot_be_logged_is_not_opened(
    orgs: Orgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = share(orgs)
    orgs.to_beacon()
    with pytest.raises(RefusedError):
        orgs.beacon.findings.open("7" * 64)

    def full(*_: object) -> None:
        raise StoreError("cannot write: No space left on device", hint="disk full")

    monkeypatch.setattr(Database, "note_opening", full)
    for open_it in (
        orgs.beacon.findings.open,
        orgs.beacon.threads.open,
        lambda item: orgs.beacon.findings.artifact(item, *artifacts()),
    ):
        with pytest.raises(StoreError, match="No space left"):
            open_it(item)
    monkeypatch.undo()
    assert said(orgs) == []


def chain(count: int) -> tuple[list[bytes], str]:
    entries, head = [], "0" * 64
    for seq in range(count):
        entry = Opening(seq=seq, prev=head, device="a" * 64, time=text(NOW + seq), act="item", item=f"{seq:064x}")
        entries.append(encode(entry))
        head = open_log._hash(entries[-1])
    return entries, f"{count} {head}"


@given(count=st.integers(1, 6), data=st.data())
def test_an_entry_that_is_dropped_altered_moved_or_added_is_noticed(count: int, data: st.DataObject) -> None:
    entries, end = chain(count)
    assert len(open_log.read(entries, end).entries) == count
    at = data.draw(st.integers(0, count - 1))
    altered = list(entries)
    match data.draw(st.sampled_from(["drop", "alter", "swap", "add", "cut the end and its note"])):
        case "drop":
            del altered[at]
        case "alter":
            altered[at] = altered[at].replace(b'"item"', b'"thread"', 1)
        case "swap":
            altered[at], altered[0] = altered[0], altered[at]
        case "add":
            altered.append(altered[at])
        case _:
            altered, end = altered[:at], f"{count} {'0' * 64}"
    if altered != entries:
        with pytest.raises(LogError, match="open-log is not whole"):
            open_log.read(altered, end)


def test_an_entry_that_does_not_read_is_named() -> None:
    entries, end = chain(2)
    with pytest.raises(LogError, match="entry 1 does not read"):
        open_log.read([entries[0], b"{}"], end)
    with pytest.raises(LogError, match="0 entries were written and 2 are here"):
        open_log.read(entries, None)
