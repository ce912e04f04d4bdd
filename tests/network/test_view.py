"""Folding: what counts, what becomes an opaque leaf with its reason, and what that never stops."""

import hashlib
import sys
from dataclasses import replace

import msgspec
import pytest

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network import View, admit, append, fold
from darklantern.network.authoring import authored
from darklantern.network.clock import text
from darklantern.network.deleting import Receipt
from darklantern.network.growing import Grown
from darklantern.network.pledges import Pledge
from darklantern.network.reading import leaf_id, read
from darklantern.network.states import Trail
from darklantern.network.view import is_registered, refusal
from darklantern.records.exact import decode, encode
from darklantern.records.record import Record
from darklantern.sealing import Envelope, decode_envelope, payload_type, sign
from network.world import NOW, PLEDGE, YEAR, circled, device, founded, log_key, peopled, person


def resigned(data: bytes, author: str, change) -> bytes:
    """The record with other payload bytes, honestly signed by `author`."""
    envelope = decode_envelope(data)
    return encode(sign(envelope.payload_type, change(envelope.payload), [device(author).signing]))


def changed(data: bytes, author: str, **fields: object) -> bytes:
    return resigned(data, author, lambda p: encode(msgspec.structs.replace(decode(Record, p), **fields)))


def test_folding_the_same_entries_gives_the_same_view() -> None:
    world, circle = circled()
    world.add(world.post(circle, "bo")[0], circle)
    assert fold(world.net, world.logs) == world.view


def test_p28_a_field_from_the_future_makes_one_opaque_leaf_and_stops_nothing() -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    strange = resigned(data, "bo", lambda p: p.replace(b'{"v":1,', b'{"v":1,"critical":true,', 1))
    assert "critical" in world.put(strange, circle)
    world.add(world.post(circle, "ada")[0], circle)
    assert len(world.view.circle(circle).entries) == 1


@pytest.mark.parametrize("kind", ["tombstone", "root", "nonsense"])
def test_a_kind_that_this_version_does_not_know_keeps_its_place_in_the_log(kind: str) -> None:
    world = founded()
    known = encode(Envelope(payload_type=payload_type("roster"), payload=b"{}", signers=()))
    strange = known.replace(b"roster.v1", kind.encode() + b".v9")
    assert world.put(strange)
    world.manifest("Aurora", person("ada"))
    assert world.view.trail(world.net).size == 3


def test_a_new_id_is_compared_with_few_of_a_long_log() -> None:
    """Each entry asks, so comparing with all of them would make opening a library quadratic."""
    compared = 0

    class Id(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    trail = Trail()
    for number in range(2000):
        trail = trail.append(Id(f"{number:064x}"))
    view = View("net", trails={"net": trail})
    assert not is_registered(view, "net", Id(f"{2000:064x}"))
    assert compared < 300
    assert all(is_registered(view, "net", f"{number:064x}") for number in (0, 255, 256, 1791, 1792, 1999))


def test_the_states_of_a_long_log_share_what_they_have_in_common() -> None:
    """One is kept for each entry. Anybody who writes many records once took the square of them in everyone's memory."""
    world = peopled()
    before = len(world.view.history)
    for _ in range(100):
        world.pledge("Aurora", "ada")
    for _ in range(50):
        world.circle()
    states = world.view.history[before:]
    assert len(states[-1].pledges["Aurora", "ada"]) > 100 and len(states[-1].circles) == 50
    for what in ([state.pledges["Aurora", "ada"] for state in states], [state.circles for state in states]):
        assert sum(map(sys.getsizeof, what)) < 100 * len(states)


def test_what_is_no_envelope_at_all_has_no_place_in_a_log() -> None:
    with pytest.raises(DarkLanternError):
        append(founded().view, founded().net, b"{}")


def test_nesting_without_end_is_one_opaque_leaf() -> None:
    """A record of 200,000 brackets once raised RecursionError out of a whole import."""
    world = peopled()
    data = world.sign(world.net, "pledge", Pledge(org="Aurora", person="ada", pledge=PLEDGE, until=text(NOW)), "ada")
    deep = b"[" * 200_000 + b"]" * 200_000
    strange = resigned(data, "ada", lambda p: p[: p.index(b'"body":')] + b'"body":' + deep + b"}")
    assert "nested too deep" in world.put(strange)


@pytest.mark.parametrize("field", ["net", "log"])
def test_p17_a_record_for_another_network_or_log_does_not_count(field: str) -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    assert world.put(changed(data, "bo", **{field: "5" * 64}), circle)
    pledge = world.sign(world.net, "pledge", Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(NOW)), "bo")
    assert "another network or log" in world.put(changed(pledge, "bo", **{field: "5" * 64}))


def test_kinds_stay_in_their_log() -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    assert "circle's log" in world.put(changed(data, "bo", log=world.net, seen={}))
    pledge = world.sign(circle, "pledge", Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(NOW)), "bo")
    assert "another network or log" in world.put(pledge, circle)


def test_the_kind_inside_must_be_the_kind_that_was_signed() -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    envelope = decode_envelope(data)
    as_item = encode(sign(payload_type("item"), envelope.payload, [device("bo").signing]))
    assert "expected a item record" in world.put(as_item, circle)


def test_p6_nobody_signs_for_another_device() -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    envelope = decode_envelope(data)
    for thief in ("ada", "stranger"):
        stolen = encode(sign(envelope.payload_type, envelope.payload, [device(thief).signing]))
        assert "expected signers among" in world.put(stolen, circle)


def test_a_badly_signed_copy_does_not_keep_the_real_one_out() -> None:
    """The id leaves out signatures: verify before registering it."""
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    envelope = decode_envelope(data)
    forged = encode(sign(envelope.payload_type, envelope.payload, [device("ada").signing]))
    assert leaf_id(forged) == leaf_id(data)
    assert world.put(forged, circle)
    assert admit(world.view, circle, data) is None
    assert world.put(data, circle) == ""
    assert "already" in world.put(data, circle)


def test_a_refusal_is_the_reason_that_the_log_would_list() -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    forged = encode(sign(payload_type("post"), decode_envelope(data).payload, [device("ada").signing]))
    moved = changed(data, "bo", log=world.net)
    for strange, log in (
        (forged, circle),
        (moved, circle),
        (data, world.net),
        (data.replace(b"post", b"toast"), circle),
    ):
        assert refusal(world.view, log, strange) == world.copy().put(strange, log)
    assert refusal(world.view, circle, data) is None
    world.add(data, circle)
    assert refusal(world.view, circle, data) == "it is in this log already"


def test_what_has_no_place_in_any_log_is_refused_in_words_too() -> None:
    world, circle = circled()
    assert "exact bytes" in str(refusal(world.view, circle, b"{}"))
    assert "no accepted record names" in str(refusal(world.view, "5" * 64, world.post(circle, "bo")[0]))


def test_a_refusal_looks_at_no_other_entry_that_does_not_count() -> None:
    """An outbox asks for each record that waits; a log may hold thousands that do not count."""

    class Unread(Grown):
        __slots__ = ()

        def __iter__(self):
            raise AssertionError("read through")

        def __getitem__(self, at):
            raise AssertionError("looked at one")

    world, circle = circled()
    state = replace(world.view.circle(circle), opaque=Unread())
    view = replace(world.view, circles={circle: state})
    assert "another network or log" in str(
        refusal(view, circle, world.sign(world.net, "receipt", Receipt(targets=("5" * 64,)), "bo"))
    )


def test_p23_two_records_at_one_place_are_kept_as_proof_and_freeze_the_device() -> None:
    world, circle = circled()
    one, other = world.post(circle, "bo", "one")[0], world.post(circle, "bo", "other")[0]
    assert admit(world.view, circle, one) is None
    world.add(one, circle)
    assert "frozen" in str(admit(world.view, circle, other))  # an honest keeper appends the proof
    assert "frozen" in world.put(other, circle)
    fork = world.view.circle(circle).frozen[device("bo").public.id]
    assert (fork.first, fork.second) == (leaf_id(one), leaf_id(other))
    # From here on: nothing more from it, and nothing more to it.
    with pytest.raises(RefusedError, match="frozen"):
        admit(world.view, circle, world.post(circle, "bo", "more")[0])
    plan = world.plan(circle, "ada")
    assert plan.epoch is None and device("bo").public.id not in plan.members.ids
    assert "frozen" in plan.members.explain(device("bo").public.id)
    world.rotate(circle, "ada")
    assert leaf_id(one) in world.view.circle(circle).entries


def test_p23_a_device_that_forks_in_the_networks_log_is_frozen_in_every_circle() -> None:
    world, circle = circled()

    def pledged(until: int) -> bytes:
        body = Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(until))
        return world.sign(world.net, "pledge", body, "bo")

    one, other = pledged(NOW + YEAR), pledged(NOW + 2 * YEAR)
    world.add(one)
    assert "frozen" in world.put(other)
    assert device("bo").public.id not in world.plan(circle, "ada").members.ids


@pytest.mark.parametrize("order", [[1], [0, 2], [2, 1], [1, 2], [2, 0]])
def test_p2_a_gap_or_another_order_in_a_devices_chain_is_noticed(order: list[int]) -> None:
    """The log is its appender's; the chain is the device's own, and each record names the one before it."""
    world, circle = circled()
    sealed = read(world.post(circle, "bo")[0]).body
    posts, after = list[bytes](), None
    for seq in range(3):  # none of them cites another, so that only their places in the chain differ
        posts.append(authored(world.view, circle, "post", sealed, device("bo"), after, NOW))
        after = seq, leaf_id(posts[-1])
    reasons = {seq: world.put(posts[seq], circle) for seq in order}
    for seq, reason in reasons.items():
        assert reason == "" if seq == 0 else reason.startswith(f"expected record {int(order[0] == 0)} of device")
    assert all(not leaf.belongs for leaf in world.view.opaque)


def test_a_record_that_cites_a_log_beyond_ours_waits_and_counts_once_we_have_it() -> None:
    world, circle = circled()
    later = world.copy()
    later.manifest("Beacon", person("bo"), person("bea"))
    data, _ = later.post(circle, "bo")
    assert "it waits" in world.put(data, circle)
    logs = {world.net: later.logs[world.net], circle: world.logs[circle]}
    assert leaf_id(data) in fold(world.net, logs).circle(circle).entries


def test_p4_a_record_that_cites_another_history_names_its_author() -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    seen = decode(Record, decode_envelope(data).payload).seen
    other = {**seen, circle: msgspec.structs.replace(seen[circle], root=hashlib.sha256(b"other").hexdigest())}
    reason = world.put(changed(data, "bo", seen=other), circle)
    assert f"device {device('bo').public.fingerprint[:9]}" in reason and "never had" in reason


def test_p3_a_device_cannot_forget_what_it_had_read() -> None:
    world, circle = circled()
    old = decode(Record, decode_envelope(world.post(circle, "bo")[0]).payload).seen
    world.add(world.post(circle, "ada")[0], circle)
    world.add(world.post(circle, "bo")[0], circle)
    data, _ = world.post(circle, "bo")
    assert "cites less of a log" in world.put(changed(data, "bo", seen=old), circle)


def test_records_cite_their_own_log_and_the_networks_and_no_other() -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    seen = decode(Record, decode_envelope(data).payload).seen
    for other in ({}, {circle: seen[circle]}, {**seen, "5" * 64: seen[circle]}):
        assert "logs" in world.put(changed(data, "bo", seen=other), circle)


def test_a_view_of_nothing_refuses_everything_by_name() -> None:
    view = View("7" * 64)
    assert view.log_key(view.net) is None
    for ask in (view.origin, view.circle):
        with pytest.raises(RefusedError, match="no accepted record"):
            ask("8" * 64)
    world = peopled()
    assert world.view.log_key(world.net) == log_key("keeper").public
    assert world.view.origin(world.net).endswith(world.net)


def test_several_signers_name_no_author_device() -> None:
    world = founded()
    manifest = world.copy()
    manifest.manifest("Aurora", person("ada"))
    envelope = decode_envelope(manifest.logs[world.net][-1])
    record = msgspec.structs.replace(decode(Record, envelope.payload), author_device=device("ada").public.id)
    strange = encode(sign(envelope.payload_type, encode(record), [device("ada").signing]))
    assert "no author device" in world.put(strange)
