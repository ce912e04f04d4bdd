"""A bundle for somebody whose holdings are known carries only what they lack, and is judged like any other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from darklantern.errors import LogError, RefusedError, StoreError
from darklantern.files import write_whole
from darklantern.library import Holdings, Imported
from darklantern.network import ForkedLogError
from darklantern.network.heads import sign_head
from darklantern.network.items import PIECE
from darklantern.network.merging import LogCopy
from darklantern.records.exact import decode, encode
from library.carried import exported, exported_and_told, imported, written
from library.orgs import Orgs, every_byte_of, founded, library, share


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def test_only_what_is_new_is_carried(orgs: Orgs) -> None:
    share(orgs, b"first" * 20_000)
    orgs.to_beacon()
    second = share(orgs, b"second")
    holdings = decode(Holdings, encode(orgs.beacon.bundles.holdings))
    data, told = exported_and_told(orgs.aurora, holdings)
    assert (told.entries, told.pieces, told.size) == (1, 2, len(data))
    assert len(data) < 100_000 < len(exported(orgs.aurora))
    assert imported(orgs.beacon, data).entries == {orgs.circle: 1}
    assert orgs.beacon.findings.open(second)
    assert imported(orgs.beacon, data) == Imported()


def test_p16_deltas_end_in_the_same_store_as_everything(orgs: Orgs, tmp_path: Path) -> None:
    with library(tmp_path / "whole", "bo", orgs.clock) as whole:
        imported(whole, exported(orgs.aurora))
        for n in range(3):
            share(orgs, b"%d" % n)
            data = exported(orgs.aurora, orgs.beacon.bundles.holdings)
            imported(orgs.beacon, data)
        imported(whole, exported(orgs.aurora))
        one, two = (each._desk.vault.database.read() for each in (whole, orgs.beacon))
        assert one.entries == two.entries and one.heads == two.heads
        assert list(whole._desk.vault.blobs) == list(orgs.beacon._desk.vault.blobs)


def test_pieces_that_the_other_side_lacks_come_again(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    lost = next(iter(orgs.beacon._desk.vault.blobs))
    orgs.beacon._desk.vault.blobs.discard([lost])
    holdings = orgs.beacon.bundles.holdings
    assert holdings.missing == (lost,)
    assert imported(orgs.beacon, exported(orgs.aurora, holdings)).pieces == 1
    assert orgs.beacon.findings.open(item) and orgs.beacon.care.verify() == ()


def test_a_delta_for_somebody_who_holds_more_is_refused_by_who_holds_less(orgs: Orgs, tmp_path: Path) -> None:
    share(orgs)
    orgs.to_beacon()
    data = exported(orgs.aurora, orgs.beacon.bundles.holdings)
    with library(tmp_path / "new", "bo", orgs.clock) as new:
        before = every_byte_of(tmp_path / "new")
        with pytest.raises(LogError, match="got those from"):
            imported(new, data)
        assert every_byte_of(tmp_path / "new") == before


def test_holdings_of_another_history_bring_the_whole_log_and_with_it_the_proof(orgs: Orgs) -> None:
    share(orgs)
    orgs.to_beacon()
    state = orgs.beacon._desk.state
    theirs = state.view.trail(orgs.circle).first(0)
    holdings = orgs.beacon.bundles.holdings
    lie = {**holdings.logs, orgs.circle: theirs.append("5" * 64).seen()}
    data, told = exported_and_told(orgs.aurora, Holdings(net=holdings.net, logs=lie, missing=()))
    assert told.entries == state.view.trail(orgs.circle).size
    assert imported(orgs.beacon, data) == Imported()


def test_p04_a_fork_in_a_delta_is_found(orgs: Orgs) -> None:
    share(orgs)
    orgs.to_beacon()
    state = orgs.aurora._desk.state
    assert state.log_key
    trail = state.view.trail(orgs.circle)
    shorter = trail.first(trail.size - 1).append("6" * 64)
    note = sign_head(shorter, orgs.circle, state.log_key, orgs.clock.now + 5).note

    network = LogCopy(
        orgs.aurora.net, state.view.heads[orgs.aurora.net].note, (), state.view.trail(state.view.net).size
    )
    forked = LogCopy(orgs.circle, note, (), shorter.size)
    with pytest.raises(ForkedLogError):
        imported(orgs.beacon, written(orgs.aurora.net, state.device, [network, forked], [], []))
    assert orgs.circle in orgs.beacon.view.forks


def test_holdings_of_another_network_are_refused(orgs: Orgs, tmp_path: Path) -> None:
    foreign = Holdings(net="7" * 64, logs={}, missing=())
    with pytest.raises(RefusedError, match="holdings of a library of network"):
        orgs.aurora.bundles.export_to(tmp_path / "bundle", since=foreign)
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_says_what_it_lacks(orgs: Orgs) -> None:
    share(orgs)
    lost = next(iter(orgs.aurora._desk.vault.blobs))
    orgs.aurora._desk.vault.blobs.discard([lost])
    assert exported_and_told(orgs.aurora)[1].lacking == (lost,)
    assert orgs.to_beacon().missing == (lost,)


def test_a_bundle_that_is_not_there_is_a_clear_error(orgs: Orgs, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        orgs.beacon.bundles.import_from(tmp_path / "nothing")


def test_p15_a_refused_bundle_leaves_no_piece_behind(orgs: Orgs, tmp_path: Path) -> None:
    share(orgs, bytes(PIECE + 1000))
    data = exported(orgs.aurora)
    before = every_byte_of(orgs.folder / "beacon")
    write_whole(tmp_path / "cut", data[:-1])
    with pytest.raises(LogError):
        orgs.beacon.bundles.import_from(tmp_path / "cut")
    assert every_byte_of(orgs.folder / "beacon") == before
