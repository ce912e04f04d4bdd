"""Cosignatures: the bytes as C2SP lays them out, whose count, and what follows from them."""

import base64
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import LogError, SignatureError
from darklantern.logs import checkpoint, witness
from darklantern.logs.checkpoint import MAX_NOTE, Checkpoint, parse
from darklantern.sealing import LogKey, WitnessKey
from logs import c2sp

ORIGIN = "relay.example/evals"
TIME = 1_780_000_000
LOG = LogKey.generate()
SEEDS = {name: bytes([at]) * 32 for at, name in enumerate(("harbor.example/w", "beacon.example/w", "reef.example/w"))}
KEYS = {name: WitnessKey([seed]) for name, seed in SEEDS.items()}
PUBLIC = {name: key.public for name, key in KEYS.items()}
HARBOR, BEACON, REEF = KEYS
CHECKPOINT = Checkpoint(ORIGIN, 20852163, bytes(range(32)))
NOTE = checkpoint.sign(CHECKPOINT, LOG, TIME)


def cosign(name: str, time: int = TIME, note: bytes = NOTE) -> bytes:
    return witness.cosign(note, ORIGIN, LOG.public, KEYS[name], name, time)


ALL = {name: cosign(name) for name in KEYS}
COSIGNED = witness.with_cosignatures(NOTE, ALL.values())


# Bytes


def test_our_line_verifies_by_the_letter_of_the_specification() -> None:
    for name, line in ALL.items():
        raw = PUBLIC[name].raw("mldsa44")
        assert c2sp.check(line.decode(), raw, ORIGIN, CHECKPOINT.size, CHECKPOINT.root) == TIME


def test_a_line_made_by_the_letter_of_the_specification_counts() -> None:
    lines = [
        c2sp.line(seed, name, TIME + at, ORIGIN, CHECKPOINT.size, CHECKPOINT.root).encode()
        for at, (name, seed) in enumerate(SEEDS.items())
    ]
    said = witness.cosigned(NOTE + b"".join(lines), PUBLIC)
    assert said == ((HARBOR, TIME), (BEACON, TIME + 1), (REEF, TIME + 2))


def test_the_specification_s_example_is_read_and_its_ed25519_cosignature_counts_for_nothing() -> None:
    said, lines = parse(c2sp.EXAMPLE_NOTE)
    assert (said.origin, said.size) == ("example.com/behind-the-sofa", 20852163)
    assert [line.name for line in lines] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert int.from_bytes(lines[1].signature[:8], "big") == c2sp.EXAMPLE_TIME
    assert len(lines[1].signature) == 8 + 64
    assert witness.cosigned(c2sp.EXAMPLE_NOTE, {"witness.example.com/w1": PUBLIC[HARBOR]}) == ()


def test_the_log_s_own_signatures_still_verify_beside_cosignatures() -> None:
    assert checkpoint.verify(COSIGNED, ORIGIN, LOG.public) == (CHECKPOINT, TIME)


# Whose count


def test_only_witnesses_that_are_asked_for_count() -> None:
    assert witness.cosigned(NOTE, PUBLIC) == ()
    assert dict(witness.cosigned(COSIGNED, PUBLIC)) == dict.fromkeys(KEYS, TIME)
    assert witness.cosigned(COSIGNED, {REEF: PUBLIC[REEF]}) == ((REEF, TIME),)
    assert witness.cosigned(COSIGNED, {}) == ()


def test_another_key_under_a_known_name_is_unknown() -> None:
    assert witness.cosigned(COSIGNED, {HARBOR: PUBLIC[BEACON]}) == ()


def test_a_false_line_under_a_known_key_refuses_the_whole_note() -> None:
    for spoiled in (
        COSIGNED.replace(ALL[REEF], stamped(ALL[REEF], TIME + 1)),
        COSIGNED.replace(ALL[REEF], cosign(REEF, note=sign(size=7))),
    ):
        assert spoiled != COSIGNED
        with pytest.raises(SignatureError):
            witness.cosigned(spoiled, PUBLIC)


def test_a_cosignature_fits_one_name_and_one_log() -> None:
    """The signed message binds both, so that a key in two hands, or a log's twin, cannot borrow it."""
    renamed = c2sp.line(SEEDS[HARBOR], "mallory", TIME, ORIGIN, CHECKPOINT.size, CHECKPOINT.root)
    blob = ALL[HARBOR].decode().split(" ")[2]
    moved = renamed.split(" ")[0] + " mallory " + blob
    with pytest.raises(SignatureError):  # the name of one, the signature of the other, the key id made to fit
        witness.cosigned(NOTE + with_key_id(moved, renamed), {"mallory": PUBLIC[HARBOR]})
    twin = checkpoint.sign(Checkpoint("relay.example/twin", CHECKPOINT.size, CHECKPOINT.root), LOG, TIME)
    with pytest.raises(SignatureError):
        witness.cosigned(twin + ALL[HARBOR], PUBLIC)


def test_a_log_is_no_witness_of_itself() -> None:
    with pytest.raises(LogError, match="witnesses that are not the log"):
        witness.cosigned(COSIGNED, {ORIGIN: LOG.public})
    for key, name in ((KEYS[REEF], ORIGIN), (LOG, REEF)):
        with pytest.raises(LogError, match="a name and a key of its own"):
            witness.cosign(NOTE, ORIGIN, LOG.public, key, name, TIME)


def test_nothing_is_cosigned_that_the_log_did_not_sign() -> None:
    with pytest.raises(SignatureError):
        witness.cosign(checkpoint.sign(CHECKPOINT, LogKey.generate(), TIME), ORIGIN, LOG.public, KEYS[REEF], REEF, TIME)
    with pytest.raises(LogError, match="a checkpoint of other"):
        witness.cosign(NOTE, "other.example", LOG.public, KEYS[REEF], REEF, TIME)


@pytest.mark.parametrize("time", [0, -1, 1 << 63])
def test_a_time_that_says_nothing_is_not_written(time: int) -> None:
    with pytest.raises(LogError, match="time"):
        cosign(REEF, time)


def test_a_time_that_says_nothing_is_refused() -> None:
    """C2SP allows 0 for 'no statement about when'; nothing here could be judged by it."""
    with pytest.raises(LogError, match="says when it was made, got time 0"):
        witness.cosigned(NOTE + stamped(ALL[REEF], 0), PUBLIC)


# Merging


def test_merging_sorts_and_keeps_the_latest() -> None:
    later = cosign(HARBOR, TIME + 60)
    merged = witness.with_cosignatures(COSIGNED, [later])
    assert dict(witness.cosigned(merged, PUBLIC)) == {HARBOR: TIME + 60, BEACON: TIME, REEF: TIME}
    assert witness.with_cosignatures(merged, [ALL[HARBOR]]) == merged
    assert witness.with_cosignatures(merged, []) == merged
    names = [line.name for line in parse(merged)[1]]
    assert names == [ORIGIN, ORIGIN, *sorted(KEYS)]


@given(st.integers(0, 1 << 32))
def test_the_order_in_which_lines_come_changes_nothing(seed: int) -> None:
    lines = [*ALL.values(), *LATER]
    random.Random(seed).shuffle(lines)
    cut = seed % (len(lines) + 1)
    assert witness.with_cosignatures(witness.with_cosignatures(NOTE, lines[:cut]), lines[cut:]) == MERGED


LATER = [cosign(name, TIME + at) for at, name in enumerate(KEYS)]
MERGED = witness.with_cosignatures(NOTE, [*ALL.values(), *LATER])


def test_lines_of_two_keys_of_one_witness_stand_side_by_side() -> None:
    """A witness that changes its key: readers with either key find their line."""
    old = c2sp.line(bytes(32 * [9]), REEF, TIME, ORIGIN, CHECKPOINT.size, CHECKPOINT.root).encode()
    both = witness.with_cosignatures(NOTE, [old, ALL[REEF]])
    assert witness.cosigned(both, PUBLIC) == ((REEF, TIME),)
    assert witness.cosigned(both, {REEF: WitnessKey([bytes(32 * [9])]).public}) == ((REEF, TIME),)


def test_the_log_s_own_lines_cannot_be_replaced() -> None:
    newer = checkpoint.sign(CHECKPOINT, LOG, TIME + 60).splitlines(keepends=True)[-1]
    with pytest.raises(LogError, match="one in the name of the log"):
        witness.with_cosignatures(NOTE, [newer])


def test_a_note_has_a_limit() -> None:
    many = [
        c2sp.line(bytes([at]) * 32, f"w{at}.example", TIME, ORIGIN, CHECKPOINT.size, CHECKPOINT.root).encode()
        for at in range(1, 90)
    ]
    assert len(witness.with_cosignatures(NOTE, many[:70])) <= MAX_NOTE
    with pytest.raises(LogError, match=f"a note of at most {MAX_NOTE} bytes"):
        witness.with_cosignatures(NOTE, many)


def test_lines_are_read_one_by_one() -> None:
    assert witness.read_lines(b"".join(ALL.values())) == tuple(ALL.values())


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda line: b"",
    "an empty line": lambda line: line + b"\n",
    "no line feed": lambda line: line[:-1],
    "a carriage return": lambda line: line.replace(b"\n", b"\r\n"),
    "no dash": lambda line: line[4:],
    "not UTF-8": lambda line: b"\xff" + line,
    "half of base64": lambda line: line[:-3] + b"\n",
    "spare bits": lambda line: b"\xe2\x80\x94 w AAAAAAB=\n",
    "too short for a key id": lambda line: b"\xe2\x80\x94 w AAAAAA==\n",
    "a plus in the name": lambda line: line.replace(b" reef", b" re+ef"),
    "too long": lambda line: line * (MAX_NOTE // len(line) + 1),
}


@pytest.mark.parametrize("name", SPOILED)
def test_other_text_is_no_signature_line(name: str) -> None:
    with pytest.raises(LogError, match="expected"):
        witness.read_lines(SPOILED[name](ALL[REEF]))


# What follows


ORGS = {"h1": "harbor", "h2": "harbor", "b1": "beacon", "r1": "reef"}


def test_several_witnesses_of_one_org_are_one_voice() -> None:
    said = [("h1", 50), ("h2", 90), ("b1", 70)]
    assert witness.agreed(said, ORGS, 1) == 90
    assert witness.agreed(said, ORGS, 2) == 70
    assert witness.agreed(said, ORGS, 3) is None


def test_witnesses_of_no_known_org_count_for_nothing() -> None:
    assert witness.agreed([("nobody", 99), ("r1", 5)], ORGS, 1) == 5
    assert witness.agreed([("nobody", 99)], ORGS, 1) is None
    assert witness.agreed([], ORGS, 1) is None


@pytest.mark.parametrize("needed", [0, -1])
def test_nobody_is_not_enough(needed: int) -> None:
    with pytest.raises(LogError, match="at least 1 org"):
        witness.agreed([("r1", 5)], ORGS, needed)


@given(st.lists(st.tuples(st.sampled_from([*ORGS, "nobody"]), st.integers(1, 100))), st.integers(1, 4))
def test_agreed_is_the_largest_time_that_so_many_orgs_reach(said: list[witness.Said], needed: int) -> None:
    def orgs_since(time: int) -> int:
        return len({ORGS[name] for name, at in said if at >= time and name in ORGS})

    expected = max((time for time in range(1, 101) if orgs_since(time) >= needed), default=None)
    assert witness.agreed(said, ORGS, needed) == expected


def sign(size: int) -> bytes:
    return checkpoint.sign(Checkpoint(ORIGIN, size, bytes(32)), LOG, TIME)


def stamped(line: bytes, time: int) -> bytes:
    found = base64.b64decode(line.decode().split(" ")[2])
    changed = base64.b64encode(found[:4] + time.to_bytes(8, "big") + found[12:])
    return b" ".join([*line.split(b" ")[:2], changed]) + b"\n"


def with_key_id(line: str, other: str) -> bytes:
    """`line` with the key id of `other`."""
    parts = [base64.b64decode(text.split(" ")[2]) for text in (other, line)]
    blob = base64.b64encode(parts[0][:4] + parts[1][4:]).decode()
    return " ".join([*line.split(" ")[:2], blob]).encode() + b"\n"
