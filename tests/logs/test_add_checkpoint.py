"""The witness's call: exact bytes, and every refusal with the status that C2SP gives it."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import LogError
from darklantern.logs import checkpoint, merkle, witness
from darklantern.logs.add_checkpoint import (
    MAX_REQUEST,
    SIZE_TYPE,
    Remembered,
    Request,
    Response,
    accepted,
    decode_request,
    encode_request,
    judge,
    read_response,
)
from darklantern.logs.checkpoint import Checkpoint
from darklantern.sealing import LogKey, WitnessKey
from logs import c2sp

ORIGIN = "relay.example/evals"
TIME = 1_780_000_000
LOG, OTHER, WITNESS = LogKey.generate(), LogKey.generate(), WitnessKey.generate()
LEAVES = [merkle.leaf_hash(bytes([at])) for at in range(20)]
FRESH = Remembered(ORIGIN, LOG.public)


def at(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint(ORIGIN, size, merkle.root(leaves[:size]))


def asking(old: int, size: int, leaves: list[bytes] = LEAVES, key: LogKey = LOG) -> Request:
    return Request(old, merkle.consistency(leaves[:size], old), checkpoint.sign(at(size, leaves), key, TIME))


def knowing(size: int) -> Remembered:
    return replace(FRESH, size=size, root=merkle.root(LEAVES[:size]))


# Bytes


def test_the_specification_s_example_is_read_and_written_again() -> None:
    request = decode_request(c2sp.EXAMPLE_REQUEST)
    assert (request.old_size, request.origin) == (20852014, "example.com/behind-the-sofa")
    assert request.proof == tuple(base64.b64decode(line) for line in c2sp.EXAMPLE_PROOF)
    assert encode_request(request) == c2sp.EXAMPLE_REQUEST


@given(st.integers(0, 20), st.integers(0, 20))
def test_requests_come_back_from_their_bytes(old: int, size: int) -> None:
    request = asking(min(old, size), size)
    assert decode_request(encode_request(request)) == request


WHOLE = encode_request(asking(6, 7))
SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda body: b"",
    "no old size": lambda body: body.split(b"\n", 1)[1],
    "a leading zero": lambda body: body.replace(b"old 6", b"old 06"),
    "a sign": lambda body: body.replace(b"old 6", b"old +6"),
    "two spaces": lambda body: body.replace(b"old 6", b"old  6"),
    "a size of 20 digits": lambda body: body.replace(b"old 6", b"old 10000000000000000000"),
    "no empty line": lambda body: body.replace(b"\n\n", b"\n", 1),
    "no note": lambda body: body.split(b"\n\n")[0] + b"\n\n",
    "carriage returns": lambda body: body.replace(b"\n", b"\r\n"),
    "a hash of 31 bytes": lambda body: body.replace(b"\n\n", b"\n" + base64.b64encode(bytes(31)) + b"\n\n", 1),
    "a hash with spare bits": lambda body: body.replace(b"\n\n", b"\n" + b"A" * 42 + b"B=\n\n", 1),
    "64 hashes": lambda body: b"old 6\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\n" + NOTE,
    "other bytes": lambda body: b"\xff" + body,
    "an unfinished note": lambda body: body[:-1],
    "too long": lambda body: body + b"A" * MAX_REQUEST,
}
NOTE = asking(6, 7).note


@pytest.mark.parametrize("name", SPOILED)
def test_other_bytes_are_no_request(name: str) -> None:
    with pytest.raises(LogError, match="expected"):
        decode_request(SPOILED[name](WHOLE))


def test_63_hashes_are_a_request() -> None:
    request = Request(6, (bytes(32),) * 63, NOTE)
    assert decode_request(encode_request(request)) == request


# Deciding


def test_a_witness_follows_a_log_from_its_beginning() -> None:
    memory = FRESH
    for size in (0, 1, 1, 5, 8, 8, 20):
        agreed = judge(asking(memory.size, size), memory)
        assert agreed == at(size)
        memory = replace(memory, size=agreed.size, root=agreed.root)


FULL = Checkpoint(ORIGIN, 0, LEAVES[0])
REFUSED: dict[str, tuple[int, Request, Remembered | None]] = {
    "a log that it does not watch": (404, asking(0, 5), None),
    "another log's key": (403, asking(0, 5, key=OTHER), FRESH),
    "another origin": (403, asking(0, 5), replace(FRESH, origin="relay.example/other")),
    "a new tree smaller than the old one": (400, Request(6, (), asking(0, 5).note), FRESH),
    "a beginning that it has not seen": (409, asking(3, 5), FRESH),
    "an older beginning than it has seen": (409, asking(3, 8), knowing(5)),
    "a rollback": (409, asking(3, 4), knowing(5)),
    "a proof too long": (422, replace(asking(5, 8), proof=(*asking(5, 8).proof, bytes(32))), knowing(5)),
    "a proof too short": (422, replace(asking(5, 8), proof=asking(5, 8).proof[1:]), knowing(5)),
    "a proof from nothing": (422, replace(asking(0, 5), proof=(bytes(32),)), FRESH),
    "a proof for the same tree": (422, replace(asking(5, 5), proof=(bytes(32),)), knowing(5)),
    "another history": (422, asking(5, 8, [LEAVES[9], *LEAVES[1:]]), knowing(5)),
    "an empty tree with entries": (422, replace(asking(0, 0), note=checkpoint.sign(FULL, LOG, TIME)), FRESH),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    status, request, memory = REFUSED[name]
    response = judge(request, memory)
    assert isinstance(response, Response)
    assert response.status == status
    assert not response.fork
    if status == 409:
        assert memory
        assert (response.body, response.content_type) == (f"{memory.size}\n".encode(), SIZE_TYPE)


def test_two_trees_of_one_size_are_a_fork_whatever_the_old_size() -> None:
    forged = [LEAVES[9], *LEAVES[1:]]
    for old in (0, 3, 5):
        response = judge(asking(old, 5, forged), knowing(5))
        assert response == Response(409, b"5\n", SIZE_TYPE, fork=True)


def test_a_memory_that_moved_on_lets_only_the_first_of_two_pass() -> None:
    """The race of the specification: both fit what was there; the second meets what the first left."""
    first, second = asking(5, 9), asking(5, 7)
    assert judge(first, knowing(5)) == at(9)
    assert judge(second, knowing(5)) == at(7)
    assert judge(second, knowing(9)) == Response(409, b"9\n", SIZE_TYPE)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_only_an_extension_of_what_was_seen_is_cosigned(seen: int, old: int, size: int, honest: bool) -> None:
    leaves = LEAVES if honest else [LEAVES[9], *LEAVES[1:]]
    answer = judge(asking(min(old, size), size, leaves), knowing(seen))
    extends = seen <= size and leaves[:seen] == LEAVES[:seen]
    assert isinstance(answer, Checkpoint) == (extends and min(old, size) == seen)


# Answering


def test_an_answer_is_read() -> None:
    line = witness.cosign(NOTE, ORIGIN, LOG.public, WITNESS, "reef.example/w", TIME)
    assert read_response(accepted(line)) == (line,)
    lines = read_response(accepted(line))
    assert isinstance(lines, tuple)
    merged = witness.with_cosignatures(NOTE, lines)
    assert witness.cosigned(merged, {"reef.example/w": WITNESS.public}) == (("reef.example/w", TIME),)


def test_a_conflict_says_where_to_go_on() -> None:
    response = judge(asking(3, 8), knowing(5))
    assert isinstance(response, Response)
    assert read_response(response) == 5


@pytest.mark.parametrize(
    "response",
    [
        Response(200, b""),
        Response(200, b"well done\n"),
        Response(409, b"5\n"),
        Response(409, b"05\n", SIZE_TYPE),
        Response(409, b"5", SIZE_TYPE),
        Response(409, b"fork", SIZE_TYPE),
        Response(404, b"5\n", SIZE_TYPE),
        Response(503, b"\xff" * 1000),
    ],
    ids=str,
)
def test_anything_else_is_an_error(response: Response) -> None:
    with pytest.raises(LogError, match="expected"):
        read_response(response)
