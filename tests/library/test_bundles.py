"""A bundle is taken in whole or not at all, and again without effect."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from network.world import NOW, device, log_key, network_keys, person, roster

from darklantern.errors import DarkLanternError, LogError, RefusedError, SignatureError
from darklantern.library import Imported
from darklantern.library.bundles import Range, Trailer
from darklantern.library.keeping import appended
from darklantern.logs import stream
from darklantern.logs.stream import Frame, Kind
from darklantern.network import cosign, draft_roster
from darklantern.network.epochs import new_epoch
from darklantern.network.heads import sign_head
from darklantern.network.merging import LogCopy
from darklantern.records.exact import decode, encode
from darklantern.records.record import Record
from darklantern.sealing import Identity, decode_envelope, envelope_id, payload_type, sign
from library.carried import exported, imported, taken_apart, written
from library.orgs import Clock, Orgs, every_byte_of, finding, founded, genesis, library, manifest, reopened, share


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def remade(orgs: Orgs, maker: str = "ada", **changes: object) -> bytes:
    """Aurora's bundle with parts changed, by a maker who signs whatever it is."""
    bundle, pieces = taken_apart(exported(orgs.aurora), orgs.aurora.net)
    parts = {"logs": bundle.logs, "waiting": bundle.waiting, "pieces": pieces.values()} | changes
    return written(orgs.aurora.net, device(maker), parts["logs"], parts["waiting"], parts["pieces"])


def refused(orgs: Orgs, data: bytes, match: str, error: type[DarkLanternError] = DarkLanternError) -> None:
    """That Beacon takes nothing from `data`."""
    before = every_byte_of(orgs.folder / "beacon")
    with pytest.raises(error, match=match):
        imported(orgs.beacon, data)
    assert every_byte_of(orgs.folder / "beacon") == before


def beginnings(bundle: bytes) -> list[int]:
    """Where each frame begins, the trailer's too."""
    found, at = [], len(stream.MAGIC)
    while at < len(bundle):
        found.append(at)
        at += 9 + int.from_bytes(bundle[at + 1 : at + 9])
    assert at == len(bundle) and len(found) > 3
    return found


@pytest.mark.slow
def test_p15_a_bundle_cut_at_any_byte_or_with_any_bit_flipped_imports_nothing(tmp_path: Path) -> None:
    """The smallest bundle there is: a network with one person in it."""
    clock = Clock()
    keeper = library(tmp_path / "keeper", "ada", clock, keeper=True)
    keeper.add(genesis())
    keeper.add(manifest(keeper, "Aurora", person("ada")))
    bundle = exported(keeper)
    reader = library(tmp_path / "reader", "bo", clock)
    before = every_byte_of(tmp_path)
    taken: list[object] = []

    def attempt(data: bytes, what: object) -> None:
        try:
            imported(reader, data)
        except DarkLanternError:
            return
        taken.append(what)

    # Every byte near the ends and where frames begin; every eleventh between.
    ends = {*range(300), *range(len(bundle) - 300, len(bundle)), *range(0, len(bundle), 11)}
    ends |= {at + near for at in beginnings(bundle) for near in range(-12, 12)}
    for size in sorted(ends):
        attempt(memoryview(bundle)[:size].tobytes(), ("cut", size))
    damaged = bytearray(bundle)
    for position in sorted(ends):
        bit = 1 << position % 8
        damaged[position] ^= bit
        attempt(bytes(damaged), ("flipped", position))
        damaged[position] ^= bit
    for tail in (b"\0", b"\n", bundle):
        attempt(bundle + tail, "appended")
    assert taken == []
    assert every_byte_of(tmp_path) == before
    assert imported(reader, bundle).entries == {keeper.net: 2}
    keeper.close()
    reader.close()


def test_p15_a_bit_flipped_in_a_piece_takes_the_whole_bundle_along(orgs: Orgs) -> None:
    """Nothing else would notice: under its new name no record asks for it, and the one that is asked for is missing."""
    share(orgs)
    _, pieces = taken_apart(exported(orgs.aurora), orgs.aurora.net)
    bundle = exported(orgs.aurora)
    for piece in pieces.values():
        damaged = bytearray(bundle)
        damaged[bundle.index(piece) + len(piece) // 2] ^= 16
        refused(orgs, bytes(damaged), "bytes with SHA-256", LogError)


def test_p15_a_trailer_that_was_signed_over_another_bundle_is_refused(orgs: Orgs) -> None:
    """Length and hash are whoever's; only what the maker signed says that the bytes are theirs."""
    share(orgs)
    signed: list[bytes] = []
    frames = list(stream.read(exported(orgs.aurora), lambda digest, signature: signed.append(signature)))
    sink = io.BytesIO()
    stream.write(sink, frames[:-1], lambda digest: signed[0])
    refused(orgs, sink.getvalue(), "got one for others", LogError)


def test_p16_importing_twice_changes_nothing(orgs: Orgs) -> None:
    share(orgs)
    bundle = exported(orgs.aurora)
    imported(orgs.beacon, bundle)
    before = every_byte_of(orgs.folder / "beacon")
    assert imported(orgs.beacon, bundle) == Imported()
    assert every_byte_of(orgs.folder / "beacon") == before


def test_p16_the_keeper_appends_a_waiting_record_once(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    orgs.beacon.threads.post(item, "once")
    bundle = exported(orgs.beacon)
    assert len(imported(orgs.aurora, bundle).appended) == 1
    before = every_byte_of(orgs.folder / "aurora")
    assert imported(orgs.aurora, bundle) == Imported()
    assert every_byte_of(orgs.folder / "aurora") == before
    assert len(orgs.aurora.threads.open(item).posts) == 1


def test_an_older_bundle_brings_nothing_and_takes_nothing(orgs: Orgs) -> None:
    """A stick that was written last week is no attack."""
    old = exported(orgs.aurora)
    orgs.clock.now += 60
    share(orgs)
    orgs.to_beacon()
    before = every_byte_of(orgs.folder / "beacon")
    assert imported(orgs.beacon, old) == Imported()
    assert every_byte_of(orgs.folder / "beacon") == before


def test_p3_a_log_that_was_rolled_back_and_signed_again_is_refused(orgs: Orgs) -> None:
    share(orgs)
    orgs.to_beacon()
    orgs.aurora.close()
    shutil.copytree(orgs.folder / "aurora", orgs.folder / "copy")
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
    share(orgs)
    orgs.to_beacon()
    orgs.clock.now += 60
    with reopened(orgs.folder / "copy", "ada", orgs.clock) as rolled_back:
        refused(orgs, exported(rolled_back), "it is older", LogError)


def test_p3_a_keeper_whose_clock_was_set_back_signs_no_earlier_time_than_before(orgs: Orgs) -> None:
    """Or every reader would put its log off, as one that was rolled back."""
    orgs.clock.now += 3600
    share(orgs)  # the circle's log alone grows, and says how late it is
    orgs.clock.now -= 3600
    late = orgs.aurora.view.heads[orgs.circle].time
    orgs.aurora.threads.post(share(orgs, b"{}"), "an hour before")
    assert orgs.aurora.view.floor < late == orgs.aurora.view.heads[orgs.circle].time


def test_a_bundle_of_another_network_is_refused(orgs: Orgs, tmp_path: Path) -> None:
    other = cosign(draft_roster(roster(name="another"), NOW), network_keys("Aurora", "Beacon"))
    foreign = written(envelope_id(other), device("ada"), (), (), ())
    refused(orgs, foreign, "of network .* got one of", LogError)
    renamed = written(orgs.aurora.net, device("ada"), (), (), ())
    refused(orgs, renamed, "each log once", LogError)


def test_p6_a_bundle_by_a_stranger_or_a_revoked_device_is_refused(orgs: Orgs) -> None:
    refused(orgs, remade(orgs, "stranger"), "no current manifest lists", RefusedError)
    orgs.manifest("Aurora", person("ada"), revoked=("al",))
    refused(orgs, remade(orgs, "al"), "no current manifest lists", RefusedError)


def test_p1_an_altered_record_under_a_signed_root_is_detected(orgs: Orgs) -> None:
    """By somebody who may make bundles, and can sign the trailer over anything."""
    bundle, _ = taken_apart(exported(orgs.aurora), orgs.aurora.net)
    network = bundle.logs[0] if bundle.logs[0].log == orgs.aurora.net else bundle.logs[1]
    envelope = decode_envelope(network.entries[1])
    payload = envelope.payload.replace(b"Dr ada", b"Dr eve")
    altered = encode(msgspec.structs.replace(envelope, payload=payload))
    entries = (network.entries[0], altered, *network.entries[2:])
    refused(orgs, remade(orgs, logs=[LogCopy(network.log, network.note, entries)]), "under the signed root", LogError)


def test_a_log_under_another_key_is_refused(orgs: Orgs) -> None:
    trail = orgs.aurora.view.trail(orgs.aurora.net)
    head = sign_head(trail, orgs.aurora.net, log_key("another"), NOW + 1)
    entries = tuple(orgs.aurora._desk.state.entries[orgs.aurora.net])
    data = remade(orgs, logs=[LogCopy(orgs.aurora.net, head.note, entries)])
    refused(orgs, data, "expected a checkpoint of", LogError)


def test_one_invalid_entry_is_listed_and_stops_nothing(orgs: Orgs) -> None:
    share(orgs)
    orgs.to_beacon()
    orgs.beacon.threads.post(orgs.beacon.findings.listed()[0].id, "to be spoiled")
    # Aurora's keeper is careless and appends a record with a field from the future.
    waiting = orgs.beacon._desk.state.outbox[0].envelope
    envelope = decode_envelope(waiting)
    payload = envelope.payload.replace(b'{"v":1,', b'{"v":1,"critical":true,', 1)
    strange = encode(sign(payload_type("post"), payload, [device("bo").signing]))
    orgs.aurora._desk.step(appended(orgs.aurora._desk.state, orgs.circle, strange))
    second = share(orgs, b"{}")
    told = orgs.to_beacon()
    (leaf,) = told.opaque
    assert "critical" in leaf.reason and leaf.log == orgs.circle
    assert orgs.beacon.opaque == (leaf,)
    assert orgs.beacon.findings.open(second)


def test_the_keeper_refuses_what_is_not_its_signers_and_says_so(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    orgs.beacon.threads.post(item, "real")
    waiting = orgs.beacon._desk.state.outbox[0].envelope
    envelope = decode_envelope(waiting)
    forged = encode(sign(payload_type("post"), envelope.payload, [device("al").signing]))
    moved = decode(Record, envelope.payload)
    elsewhere = encode(
        sign(payload_type("post"), encode(msgspec.structs.replace(moved, log="5" * 64)), [device("bo").signing])
    )
    data = written(orgs.beacon.net, device("bo"), _logs(orgs.beacon), [forged, elsewhere, waiting], ())
    size = orgs.aurora.view.trail(orgs.circle).size
    told = imported(orgs.aurora, data)
    assert [reason for _, reason in told.refused] == [
        next(reason for _, reason in told.refused if "expected signers" in reason),
        "its log is not known here",
    ]
    assert len(told.appended) == 1
    assert orgs.aurora.view.trail(orgs.circle).size == size + 1
    assert len(told.missing) == 1  # the bundle came without the post's ciphertext, and that is said


def test_p30_an_author_sees_why_their_record_does_not_count(orgs: Orgs) -> None:
    """Both rotate at once; Aurora's epoch is in the log first, so Beacon's and what it sealed under it do not count."""
    item = share(orgs)
    orgs.to_beacon()
    orgs.manifest("Aurora", person("ada"), person("al"))
    orgs.to_beacon()
    orgs.beacon.members.rotate("evals")
    orgs.beacon.threads.post(item, "under the epoch that lost")
    orgs.aurora.members.rotate("evals")
    told = orgs.to_aurora()
    assert len(told.appended) == 2  # they stand in the log, so that bo's chain goes on
    assert [reason for _, reason in told.refused] == [
        "epoch 2: another epoch came first",
        "it is sealed to an epoch that does not count",
    ]
    reasons = {reason for _, reason in told.refused}
    told = orgs.to_beacon()
    assert {leaf.reason for leaf in told.opaque} == reasons
    ((_, again),) = told.remade  # the post; of the epoch nothing is left to be said
    assert orgs.beacon.pending == (again,)
    assert orgs.to_aurora().refused == ()
    assert [post.text for post in orgs.aurora.threads.open(item).posts] == ["under the epoch that lost"]
    assert orgs.to_beacon().remade == () and orgs.beacon.pending == ()


def test_p30_a_member_is_told_that_an_epoch_does_not_open_for_them(orgs: Orgs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author sealed their stanza to another key: nobody but they can see it."""
    share(orgs)
    orgs.to_beacon()
    bo, stranger = device("bo").public, Identity.generate().recipient

    def lying(circle, members, **rest):
        return new_epoch(circle, [(id, stranger if id == bo.id else key) for id, key in members], **rest)

    monkeypatch.setattr("darklantern.library.sharing.new_epoch", lying)
    orgs.aurora.members.rotate("evals")
    (problem,) = orgs.to_beacon().problems
    assert "opens it" in problem


def test_missing_pieces_are_listed_and_come_with_a_later_bundle(orgs: Orgs) -> None:
    item = share(orgs)
    told = imported(orgs.beacon, remade(orgs, pieces=()))
    assert len(told.missing) == 2
    assert "pieces of ciphertext are not here" in (orgs.beacon.findings.listed()[0].problem or "")
    assert any("is missing" in str(problem) for problem in orgs.beacon.care.verify())
    assert orgs.to_beacon().pieces == 2
    assert orgs.beacon.findings.open(item).finding == finding()


def test_pieces_that_no_entry_names_are_left_aside(orgs: Orgs) -> None:
    share(orgs)
    before = set(orgs.beacon._desk.vault.blobs)
    imported(orgs.beacon, remade(orgs, pieces=[b"somebody's junk"]))
    assert set(orgs.beacon._desk.vault.blobs) == before


def test_a_damaged_piece_heals_with_the_next_bundle(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    victim = next((orgs.folder / "beacon" / "blobs").glob("??/*"))
    victim.write_bytes(b"rot")
    assert orgs.beacon.care.verify()
    orgs.to_beacon()
    assert orgs.beacon.care.verify() == ()
    assert orgs.beacon.findings.open(item)


def _logs(library) -> list[LogCopy]:
    state = library._desk.state
    return [LogCopy(log, head.note, tuple(state.entries[log])) for log, head in state.view.heads.items()]


def frames(*parts: Frame) -> bytes:
    """A stream with an honest trailer around any frames."""

    def signed(digest: bytes) -> bytes:
        trailer = Trailer(net="7" * 64, device=device("ada").public, digest=digest.hex())
        return encode(sign(payload_type("bundle"), encode(trailer), [device("ada").signing]))

    sink = io.BytesIO()
    stream.write(sink, parts, signed)
    return sink.getvalue()


ENTRY, BLOB = Frame(Kind.ENTRY, b"{}"), Frame(Kind.BLOB, b"x")
WAITING = Frame(Kind.RANGE, encode(Range(log=None, count=1)))
LOG = Frame(Kind.RANGE, encode(Range(log="7" * 64, count=1)))
NOTE = Frame(Kind.CHECKPOINT, b"note")


def test_the_parts_of_a_bundle_come_in_one_order() -> None:
    bundle, pieces = taken_apart(frames(LOG, NOTE, ENTRY, WAITING, ENTRY, BLOB), "7" * 64)
    assert bundle.logs == (LogCopy("7" * 64, b"note", (b"{}",)),)
    assert (bundle.waiting, list(pieces.values())) == ((b"{}",), [b"x"])


@pytest.mark.parametrize(
    "parts",
    [
        (LOG,),
        (LOG, ENTRY),
        (LOG, NOTE),
        (LOG, NOTE, BLOB),
        (LOG, NOTE, ENTRY, ENTRY),
        (WAITING, NOTE),
        (WAITING, ENTRY, LOG, NOTE, ENTRY),
        (WAITING, ENTRY, WAITING, ENTRY),
        (BLOB, LOG, NOTE, ENTRY),
        (Frame(Kind.RANGE, b'{"v":2,"log":null,"count":0}'),),
        (Frame(Kind.RANGE, b'{"v":1,"log":null,"count":0,"critical":1}'),),
        (Frame(Kind.RANGE, encode(Range(log=None, count=10**15))), ENTRY),
        (Frame(Kind.RANGE, encode(Range(log=None, start=1, count=1))), ENTRY),
    ],
)
def test_p32_any_other_order_or_an_unknown_field_is_refused(parts: tuple[Frame, ...]) -> None:
    with pytest.raises(DarkLanternError):
        taken_apart(frames(*parts), "7" * 64)


def test_a_trailer_signed_for_other_bytes_or_as_something_else_is_refused() -> None:
    def with_trailer(make) -> bytes:
        sink = io.BytesIO()
        stream.write(sink, (), make)
        return sink.getvalue()

    def trailer(digest: bytes) -> Trailer:
        return Trailer(net="7" * 64, device=device("ada").public, digest=digest.hex())

    for make in (
        lambda d: encode(sign(payload_type("bundle"), encode(trailer(bytes(32))), [device("ada").signing])),
        lambda d: encode(sign(payload_type("post"), encode(trailer(d)), [device("ada").signing])),
        lambda d: encode(sign(payload_type("bundle"), encode(trailer(d)), [device("bo").signing])),
        lambda d: b"",
    ):
        with pytest.raises((LogError, SignatureError, DarkLanternError)):
            taken_apart(with_trailer(make), "7" * 64)
