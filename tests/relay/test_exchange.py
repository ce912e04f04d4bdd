"""Bodies as an ASGI server hands them over."""

import asyncio
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.relay.exchange import Message, Pace, Request

MIB = 1024 * 1024


def request(parts: list[bytes]) -> Request:
    length = sum(map(len, parts))
    waiting = iter([*parts, b""])

    async def receive() -> Message:
        part = next(waiting)
        return {"type": "http.request", "body": part, "more_body": waiting.__length_hint__() > 0}

    scope = {"method": "PUT", "path": "/", "query_string": b"", "headers": [(b"content-length", b"%d" % length)]}
    return Request(scope, receive, Pace(10, 1))


@given(st.lists(st.integers(0, 9000), max_size=20))
def test_a_body_is_the_same_in_whatever_pieces_it_comes(sizes: list[int]) -> None:
    parts = [bytes([number]) * size for number, size in enumerate(sizes)]
    assert asyncio.run(request(parts).body(MIB)) == b"".join(parts)


@pytest.mark.parametrize("size", [0, 2])
def test_a_body_in_tiny_pieces_takes_no_more_memory_than_it_has_bytes(size: int) -> None:
    asked = request([bytes(size)] * 200_000 + [bytes(MIB)])
    tracemalloc.start()
    parts = asyncio.run(asked.parts(2 * MIB))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    whole = sum(map(len, parts))
    assert whole == MIB + 200_000 * size
    assert held < 1.2 * whole
