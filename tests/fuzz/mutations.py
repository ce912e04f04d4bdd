"""Small damage, made on purpose: to bytes, and to JSON with its shape kept.

In: bytes and a random source. Out: other bytes. JSON stays JSON, in its exact spelling, so that what is hit is the
meaning and not the grammar; base64 that holds JSON is damaged inside.
"""

import base64
import binascii
import json
import re
from random import Random
from typing import Any

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 0.1, -0.0, 1e308),
    *("", " ", "\n", "\0", "é", "\u2028", "\U0001f56f", "..", "0" * 64, "f" * 64, "A" * 5000, "=", "AAAA"),
    *("9999-99-99T99:99:99Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:60Z", [], {}, [[[]]], {"": {}}),
]
TOKENS = [b"", b"\n", b"\n\n", b"\r\n", b"\0", b"\xff", b"-> ", b"--- ", b"=", b'"', b"[" * 64, b"0", b"\xe2\x80\x94 "]
TOKENS += [
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\0" * 8,
    b"A" * 64,
    b"darklantern stream v1\n",
    b"age-encryption.org/v1\n",
]

_HEAD = re.compile(rb"[\w.]*\n")


def mutated(data: bytes, random: Random) -> bytes:
    """`data` with one to four things changed."""
    for _ in range(random.randint(1, 4)):
        data = _once(data, random)
    return data


def _once(data: bytes, random: Random) -> bytes:
    named = _HEAD.match(data)
    head = named[0] if named else b""
    if random.random() < 0.8 and data[len(head) : len(head) + 1] in (b"{", b"["):
        try:
            return head + _dumped(_node(json.loads(data[len(head) :]), random))
        except (ValueError, RecursionError):
            pass  # not JSON any more: damage its bytes instead
    return _bytes(data, random)


def _node(node: Any, random: Random) -> Any:
    """`node` with something in it changed, somewhere: the deeper, the more often."""
    if isinstance(node, dict) and node and random.random() < 0.85:
        name = random.choice(list(node))
        match random.randrange(8):
            case 0:
                return {key: value for key, value in node.items() if key != name}
            case 1:
                return {**node, str(random.choice(ODD)): random.choice(ODD)}
            case _:
                return {**node, name: _node(node[name], random)}
    if isinstance(node, list) and node and random.random() < 0.85:
        at = random.randrange(len(node))
        match random.randrange(6):
            case 0:
                return node[:at] + node[at + 1 :]
            case 1:
                return [*node[:at], *[node[at]] * random.choice((2, 2, 9)), *node[at + 1 :]]
            case 2:
                return random.sample(node, len(node))
            case _:
                return [*node[:at], _node(node[at], random), *node[at + 1 :]]
    return _leaf(node, random)


def _leaf(leaf: Any, random: Random) -> Any:
    if isinstance(leaf, str) and len(leaf) > 3 and random.random() < 0.7:
        inside = _inside(leaf)
        if inside is not None:
            return base64.b64encode(_once(inside, random)).decode()
        return _bytes(leaf.encode("utf-8", "surrogatepass"), random).decode("utf-8", "replace")
    if isinstance(leaf, int) and random.random() < 0.5:
        return leaf + random.choice((-1, 1))
    return random.choice(ODD)


def _inside(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _dumped(node: Any) -> bytes:
    return json.dumps(node, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _bytes(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    to = min(len(data), at + random.choice((1, 1, 2, 4, 16, 64, 1024)))
    match random.randrange(8):
        case 0 | 1 if at < len(data):
            return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        case 2:
            return data[:at] + data[to:]
        case 3:
            return data[:at] + data[at:to] * 2 + data[to:]
        case 4:
            return data[:at]
        case 5:
            return data[:at] + random.randbytes(to - at) + data[to:]
        case _:
            return data[:at] + random.choice(TOKENS) + data[random.choice((at, to)) :]
