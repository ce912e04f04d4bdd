"""Checkpoints: the signed bytes as C2SP lays them out, and every other note refused."""

import base64
import hashlib
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import DarkLanternError, LogError, SignatureError
from darklantern.logs.checkpoint import MAX_NOTE, Checkpoint, sign, verify
from darklantern.logs.merkle import EMPTY_ROOT
from darklantern.sealing import LogKey

ORIGIN = "relay.example/evals"
TIME = 1_780_000_000
LOG, OTHER = LogKey.generate(), LogKey.generate()
CHECKPOINT = Checkpoint(ORIGIN, 20852163, bytes(range(32)))
NOTE = sign(CHECKPOINT, LOG, TIME)
COSIGNED = NOTE + "— relay.two.example/witness d2l0bmVzcyBzaWduZWQ=\n".encode()
"""With a line under a key that no reader knows."""


def lines_of(note: bytes) -> list[str]:
    return note.decode().split("\n\n")[1].splitlines()


def test_round_trip() -> None:
    assert verify(NOTE, ORIGIN, LOG.public) == (CHECKPOINT, TIME)
    assert verify(COSIGNED, ORIGIN, LOG.public) == (CHECKPOINT, TIME)
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert verify(sign(empty, LOG, TIME), ORIGIN, LOG.public) == (empty, TIME)


def test_the_note_is_laid_out_as_c2sp_specifies() -> None:
    """Taken apart with nothing but base64 and the specification, and verified with the bare keys."""
    text = b"relay.example/evals\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    assert NOTE.startswith(text + b"\n\xe2\x80\x94 relay.example/evals ")
    for line, algorithm, kind in zip(lines_of(NOTE), ("ed25519", "mldsa44"), (b"\x01", b"\x06"), strict=True):
        blob = base64.b64decode(line.split(" ")[2])
        raw = LOG.public.raw(algorithm)  # type: ignore[arg-type]
        assert blob[:4] == hashlib.sha256(ORIGIN.encode() + b"\n" + kind + raw).digest()[:4]
        if algorithm == "ed25519":
            LOG.public.verify("ed25519", blob[4:], text)
        else:
            message = b"subtree/v1\n\x00" + bytes([19]) + b"relay.example/evals" + struct.pack(">Q", TIME)
            message += bytes([19]) + b"relay.example/evals" + struct.pack(">QQ", 0, 20852163) + bytes(range(32))
            assert struct.unpack(">Q", blob[4:12]) == (TIME,)
            LOG.public.verify("mldsa44", blob[12:], message)


class PublishedKey:
    """The verifier key of Go's signed-note documentation: PeterNeumann+c74f20a3+ARpc2Qc…"""

    @property
    def public(self) -> "PublishedKey":
        return self

    def raw(self, algorithm: str) -> bytes:
        return base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]

    def sign(self, algorithm: str, message: bytes) -> bytes:
        return b"signature"

    def verify(self, algorithm: str, signature: bytes, message: bytes) -> None:
        raise SignatureError("not a key that verifies", hint="it only has a published id")


def test_key_id_of_a_published_key() -> None:
    note = sign(Checkpoint("PeterNeumann", 1, bytes(32)), PublishedKey(), TIME)
    assert base64.b64decode(lines_of(note)[0].split(" ")[2])[:4].hex() == "c74f20a3"


# Refusals


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(note: bytes) -> bytes:
        assert old in note
        return note.replace(old, new, 1)

    return change


def reorder(*order: int) -> Callable[[bytes], bytes]:
    def change(note: bytes) -> bytes:
        lines = lines_of(note)
        return note.split(b"\n\n")[0] + b"\n\n" + "".join(lines[i] + "\n" for i in order).encode()

    return change


def spare_bits(note: bytes) -> bytes:
    """The last root character with a bit set that base64 does not use: the same 32 bytes, spelled otherwise."""
    return swap(b"Hh8=\n", b"Hh9=\n")(note)


FORMAT = {
    "empty": lambda n: b"",
    "no signatures at all": lambda n: n.split(b"\n\n")[0] + b"\n",
    "no empty line": swap(b"\n\n", b"\n"),
    "leading zero": swap(b"\n20852163\n", b"\n020852163\n"),
    "signed size": swap(b"\n20852163\n", b"\n+20852163\n"),
    "size beyond 63 bits": swap(b"\n20852163\n", b"\n9999999999999999999\n"),
    "size in other digits": swap(b"\n20852163\n", "\n２\n".encode()),
    "an extension line": swap(b"Hh8=\n", b"Hh8=\nextension\n"),
    "a short root": swap(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", b"AAEC"),
    "root with spare bits": spare_bits,
    "root without padding": swap(b"Hh8=\n", b"Hh8\n"),
    "no origin": swap(b"relay.example/evals\n", b"\n"),
    "a space in the origin": swap(b"relay.example/evals\n", b"relay example\n"),
    "another dash": swap("— ".encode(), b"- "),
    "a space after a signature": lambda n: n[:-1] + b" \n",
    "no final line feed": lambda n: n[:-1],
    "an empty line at the end": lambda n: n + b"\n",
    "carriage returns": lambda n: n.replace(b"\n", b"\r\n"),
    "not UTF-8": lambda n: n + b"\xff",
    "a signature without a key id": lambda n: n + "— w.example AAAA\n".encode(),
    "a signature with spare bits": lambda n: n + "— w.example AAAAAAB=\n".encode(),
    "a signature of half a group": lambda n: n + "— w.example AAAAA\n".encode(),
    "a plus in a name": lambda n: n + "— w+1 AAAAAAAA\n".encode(),
    "a long name": lambda n: n + f"— {'w' * 256} AAAAAAAA\n".encode(),
    "a signature twice": reorder(0, 1, 1),
    "too long": lambda n: n + f"— w.example {'A' * MAX_NOTE}\n".encode(),
}


@pytest.mark.parametrize("name", FORMAT)
def test_other_bytes_are_no_checkpoint(name: str) -> None:
    with pytest.raises(LogError, match=r"^checkpoint: expected") as caught:
        verify(FORMAT[name](NOTE), ORIGIN, LOG.public)
    assert "fetch it again" in caught.value.hint


SIGNATURES = {
    "Ed25519 alone": reorder(0),
    "ML-DSA-44 alone": reorder(1),
    "in the other order": reorder(1, 0),
    "another size": swap(b"\n20852163\n", b"\n20852164\n"),
    "another root": swap(b"AAECAwQF", b"AAECAwQG"),
    "another time": lambda n: restamped(n, TIME + 1),
    "a witness before the log": lambda n: reorder(2, 0, 1)(COSIGNED),
    "a witness between the two": lambda n: reorder(0, 2, 1)(COSIGNED),
    "signed by another log under this origin": lambda n: sign(CHECKPOINT, OTHER, TIME),
}


def restamped(note: bytes, time: int, line: int = 1) -> bytes:
    name, text = lines_of(note)[line].split(" ")[1:]
    blob = base64.b64decode(text)
    changed = base64.b64encode(blob[:4] + struct.pack(">Q", time) + blob[12:]).decode()
    return note.replace(f"— {name} {text}".encode(), f"— {name} {changed}".encode())


@pytest.mark.parametrize("name", SIGNATURES)
def test_both_signatures_of_the_log_are_required(name: str) -> None:
    with pytest.raises(SignatureError) as caught:
        verify(SIGNATURES[name](NOTE), ORIGIN, LOG.public)
    assert caught.value.hint


def test_a_checkpoint_of_another_log_is_refused() -> None:
    with pytest.raises(LogError, match=r"a checkpoint of other\.example, got one of relay\.example/evals"):
        verify(NOTE, "other.example", LOG.public)


@pytest.mark.parametrize("time", [0, 1 << 63])
def test_a_time_that_says_nothing_is_refused(time: int) -> None:
    with pytest.raises(LogError, match="time"):
        sign(CHECKPOINT, LOG, time)
    with pytest.raises(LogError, match="time"):
        verify(restamped(NOTE, time), ORIGIN, LOG.public)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 1, bytes(32)),
        ("a b", 1, bytes(32)),
        ("a+b", 1, bytes(32)),
        ("a\nb", 1, bytes(32)),
        ("a\N{NO-BREAK SPACE}b", 1, bytes(32)),
        ("é" * 128, 1, bytes(32)),
        ("a", -1, bytes(32)),
        ("a", 1 << 63, bytes(32)),
        ("a", 1, bytes(31)),
    ],
)
def test_what_cannot_be_written_is_no_checkpoint(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(LogError, match=r"^checkpoint: expected"):
        Checkpoint(origin, size, root)


@given(st.integers(0, len(NOTE) * 8 - 1))
@settings(deadline=None)
def test_any_flipped_bit_is_refused(bit: int) -> None:
    damaged = bytearray(NOTE)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DarkLanternError):
        verify(bytes(damaged), ORIGIN, LOG.public)
