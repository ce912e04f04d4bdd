"""Sealing and opening: round trips, and everything that must be refused."""

import copy
import io
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import RecordError, SealError
from darklantern.sealing import Identity, Recipient, age, bech32, header, payload, recipient_of
from darklantern.sealing.header import Stanza
from darklantern.sealing.hybrid import sealed_key

CHUNK = payload.CHUNK
SPEC = Path(__file__).parent / "spec"
SPEC_IDENTITY = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR"

ALICE = Identity(bytes(range(32)))
BOB = Identity(bytes(range(32, 64)))
EVE = Identity(bytes(range(64, 96)))
PLAINTEXT = b"the head at 9.9 copies the name"
SEALED = age.seal(PLAINTEXT, [ALICE.recipient, BOB.recipient])
HEADER = SEALED.index(b"\n--- ") + len(b"\n--- ") + 43 + 1
SMALL_ORDER = bytes(32)


class Trickle(io.BytesIO):
    """A source that returns a few bytes at a time, as a pipe may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 1000))


def near_chunks() -> st.SearchStrategy[int]:
    """Sizes around multiples of a chunk, where the rules on the last chunk bite."""
    return st.builds(lambda n, d: max(0, n * CHUNK + d), st.integers(0, 3), st.integers(-2, 2))


@given(near_chunks() | st.integers(0, 3 * CHUNK))
@settings(deadline=None, max_examples=30)
def test_round_trip(size: int) -> None:
    plaintext = os.urandom(size)
    sealed = age.seal(plaintext, [ALICE.recipient, BOB.recipient])
    assert age.open(sealed, [EVE, BOB]) == plaintext
    assert age.open(sealed, [ALICE]) == plaintext


@given(near_chunks())
@settings(deadline=None, max_examples=10)
def test_short_reads_make_the_same_chunks(size: int) -> None:
    plaintext, key = os.urandom(size), bytes(16)
    sealed = b"".join(payload.encrypt(Trickle(plaintext), key))
    assert b"".join(payload.decrypt(Trickle(sealed), key)) == plaintext


def test_each_seal_is_fresh() -> None:
    again = age.seal(PLAINTEXT, [ALICE.recipient, BOB.recipient])
    assert len(again) == len(SEALED)
    assert again[HEADER : HEADER + 16] != SEALED[HEADER : HEADER + 16]
    assert header.read(io.BytesIO(again)).stanzas[0].body != header.read(io.BytesIO(SEALED)).stanzas[0].body


def test_p18_only_hybrid_stanzas_are_written_in_the_order_given() -> None:
    stanzas = header.read(io.BytesIO(SEALED)).stanzas
    assert [stanza.arguments[0] for stanza in stanzas] == ["mlkem768x25519"] * 2
    assert ALICE.unwrap(sealed_key(stanzas[0])) == BOB.unwrap(sealed_key(stanzas[1]))
    assert ALICE.unwrap(sealed_key(stanzas[1])) is None


@pytest.mark.parametrize("prefix", ["age", "age1tagpq", "AGE1PQ", "age1pq1"])
def test_p18_a_key_under_another_name_is_no_recipient(prefix: str) -> None:
    """Whatever bytes it holds, its owner meant another kind of key."""
    with pytest.raises(SealError, match="begins with age1pq1"):
        Recipient.parse(bech32.encode(prefix, ALICE.recipient.raw))


# What the specification prints


def test_spec_recipient() -> None:
    text = (SPEC / "recipient.txt").read_text().strip()
    assert str(Identity.parse(SPEC_IDENTITY).recipient) == text
    assert Recipient.parse(text) == Identity.parse(SPEC_IDENTITY).recipient
    assert Identity.parse(SPEC_IDENTITY).reveal() == SPEC_IDENTITY


def test_spec_stanza() -> None:
    head, body = (SPEC / "stanza.txt").read_text().splitlines()
    stanza = Stanza(tuple(head.removeprefix("-> ").split(" ")), header.decode64(body.encode()))
    file_key = Identity.parse(SPEC_IDENTITY).unwrap(sealed_key(stanza))
    assert file_key is not None and len(file_key) == 16
    assert ALICE.unwrap(sealed_key(stanza)) is None


# Damage


def test_every_truncation_of_the_header_is_refused() -> None:
    for size in range(HEADER + 16):
        with pytest.raises(SealError, match=r"^age header:"):
            age.open(SEALED[:size], [ALICE])


def test_every_truncation_of_the_payload_is_refused() -> None:
    for size in range(HEADER + 16, len(SEALED)):
        with pytest.raises(SealError, match=r"^age payload:"):
            age.open(SEALED[:size], [ALICE])


def test_every_flipped_header_byte_is_refused() -> None:
    for at in range(0, HEADER, 3):
        damaged = bytearray(SEALED)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(SealError):
            age.open(bytes(damaged), [ALICE])


@given(st.integers(0, (len(SEALED) - HEADER) * 8 - 1))
@settings(deadline=None)
def test_any_flipped_payload_bit_is_refused(bit: int) -> None:
    damaged = bytearray(SEALED)
    damaged[HEADER + bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError, match=r"^age payload:"):
        age.open(bytes(damaged), [ALICE])


LONG = age.seal(bytes(3 * CHUNK), [ALICE.recipient])
LONG_BODY = LONG.index(b"\n--- ") + len(b"\n--- ") + 43 + 1 + 16
SEALED_CHUNK = CHUNK + 16


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda body: body[:SEALED_CHUNK] + body[2 * SEALED_CHUNK :], id="a chunk is missing"),
        pytest.param(lambda body: body[: 2 * SEALED_CHUNK], id="the last chunk is missing"),
        pytest.param(
            lambda body: body[SEALED_CHUNK : 2 * SEALED_CHUNK] + body[:SEALED_CHUNK] + body[2 * SEALED_CHUNK :],
            id="two chunks are swapped",
        ),
        pytest.param(lambda body: body + body[-SEALED_CHUNK:], id="a chunk is doubled"),
        pytest.param(lambda body: body + b"\x00", id="data follows the end"),
    ],
)
def test_chunks_out_of_place_are_refused(damage: Callable[[bytes], bytes]) -> None:
    assert age.open(LONG, [ALICE]) == bytes(3 * CHUNK)
    with pytest.raises(SealError, match=r"^age payload:"):
        age.open(LONG[:LONG_BODY] + damage(LONG[LONG_BODY:]), [ALICE])


# Who may open


def resealed(*extra: Stanza) -> bytes:
    """A valid file of Alice's with `extra` stanzas, MAC and all, as a sender with the file key could make."""
    file_key = bytes(16)
    head = header.write([*extra, ALICE.recipient.wrap(file_key)], file_key)
    return head + b"".join(payload.encrypt(io.BytesIO(PLAINTEXT), file_key))


def test_grease_is_ignored() -> None:
    grease = Stanza(("x-grease", "!~"), b"\x00" * 48)
    assert age.open(resealed(grease, Stanza(("grease",), b"")), [ALICE]) == PLAINTEXT


@pytest.mark.parametrize(
    "kind", ["X25519", "scrypt", "ssh-rsa", "yubikey", "MLKEM768X25519", "greased", "-grease", "x-grease!"]
)
def test_p18_a_stanza_of_any_other_type_is_refused(kind: str) -> None:
    """A plugin's classical recipient may bear any name."""
    with pytest.raises(SealError, match=f"mlkem768x25519 stanzas only, .* the first is {re.escape(kind)}\n") as caught:
        age.open(resealed(Stanza((kind, "AAAA"), bytes(32))), [ALICE])
    assert "seal again" in caught.value.hint


HEADER_ENC = header.encode64(bytes(1088) + ALICE.recipient.raw[-32:]).decode()


@pytest.mark.parametrize(
    "stanza",
    [
        pytest.param(Stanza(("mlkem768x25519",), bytes(32)), id="no argument"),
        pytest.param(Stanza(("mlkem768x25519", HEADER_ENC, "x"), bytes(32)), id="two arguments"),
        pytest.param(Stanza(("mlkem768x25519", HEADER_ENC), bytes(31)), id="short body"),
        pytest.param(Stanza(("mlkem768x25519", HEADER_ENC), bytes(40)), id="body for a longer file key"),
        pytest.param(Stanza(("mlkem768x25519", HEADER_ENC[:-2]), bytes(32)), id="short encapsulated key"),
        pytest.param(Stanza(("mlkem768x25519", HEADER_ENC + "="), bytes(32)), id="padded base64"),
        pytest.param(Stanza(("mlkem768x25519", header.encode64(bytes(1120)).decode()), bytes(32)), id="low order"),
    ],
)
def test_a_malformed_hybrid_stanza_is_refused_even_beside_a_good_one(stanza: Stanza) -> None:
    with pytest.raises(SealError, match=r"^age header:"):
        age.open(resealed(stanza), [ALICE])


@pytest.mark.parametrize("identities", [[EVE], []], ids=["wrong key", "no key"])
def test_wrong_keys_are_refused_with_a_hint(identities: list[Identity]) -> None:
    with pytest.raises(SealError, match=f"none of the {len(identities)} given identities") as caught:
        age.open(SEALED, identities)
    assert "ask the sender" in caught.value.hint


@pytest.mark.parametrize(
    ("recipients", "message"),
    [([], "at least one recipient, got none"), ([ALICE.recipient, BOB.recipient, ALICE.recipient], "twice")],
    ids=["nobody", "one twice"],
)
def test_recipient_lists_are_checked(recipients: list[Recipient], message: str) -> None:
    with pytest.raises(SealError, match=message):
        age.seal(PLAINTEXT, recipients)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "armoured"),
        (b"age-encryption.org/v2\n", "newer version"),
        (b"PK\x03\x04\n", "not an age file"),
    ],
)
def test_other_files_get_a_fitting_hint(data: bytes, hint: str) -> None:
    with pytest.raises(SealError, match=r"^age header:") as caught:
        age.open(data, [ALICE])
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "stanzas",
    [
        pytest.param(b"", id="no stanza"),
        pytest.param(b"-> grease\n" + b"A" * 68 + b"\n", id="a line over 64 characters"),
        pytest.param(b"-> grease\nA\n", id="half a base64 group"),
        pytest.param(b"-> grease\nAA=\n", id="padding"),
        pytest.param(b"-> grease\nAB\n", id="spare bits"),
        pytest.param(b"-> grease\nA-AA\n", id="another base64 alphabet"),
        pytest.param(b"-> grease \n\n", id="space after the arguments"),
        pytest.param("-> grease é\n\n".encode(), id="argument that is not ASCII"),
    ],
)
def test_p32_the_grammar_is_exact(stanzas: bytes) -> None:
    """Of stanzas that would be passed over if they were spelled right: nothing later refuses them as a header."""
    with pytest.raises(SealError, match=r"^age header:"):
        age.open(b"age-encryption.org/v1\n" + stanzas + b"--- " + b"A" * 43 + b"\n", [ALICE])


def test_the_header_is_bounded() -> None:
    at_the_limit = header.MAX_HEADER // 65 * 48  # a full line is 64 characters and a line feed, for 48 bytes
    for size in (at_the_limit, at_the_limit + 48, 2 * header.MAX_HEADER):
        with pytest.raises(SealError, match=f"at most {header.MAX_HEADER} bytes"):
            age.open(resealed(Stanza(("grease",), bytes(size))), [ALICE])
    fits = at_the_limit - len(header.write([ALICE.recipient.wrap(bytes(16))], bytes(16)))
    assert age.open(resealed(Stanza(("grease",), bytes(fits))), [ALICE]) == PLAINTEXT


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_arbitrary_bytes_after_the_version_line_never_crash(data: bytes) -> None:
    with pytest.raises(SealError):
        age.open(b"age-encryption.org/v1\n" + data, [ALICE])


# Keys as text, and secrets that stay secret


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_bech32_round_trips_in_either_case(data: bytes) -> None:
    text = bech32.encode("age1pq", data)
    assert bech32.decode("age1pq", text) == data
    assert bech32.decode("age1pq", text.upper()) == data


def test_bech32_vectors_of_bip_173() -> None:
    assert bech32.encode("a", b"") == "a12uel5l"
    assert bech32.decode("abcdef", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw") == bytes.fromhex(
        "00443214c74254b635cf84653a56d7c675be77df"
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t[:-1], id="cut"),
        pytest.param(lambda t: t[:-1] + ("Q" if t[-1] != "Q" else "P"), id="checksum"),
        pytest.param(lambda t: t.replace("PQ-1", "PQ-1Q"), id="longer"),
        pytest.param(lambda t: t[:30] + t[30:].lower(), id="mixed case"),
        pytest.param(lambda t: t.replace("AGE-SECRET-KEY-PQ", "AGE-SECRET-KEY"), id="classical prefix"),
        pytest.param(lambda t: t[:30] + "B" + t[31:], id="character outside the alphabet"),
        pytest.param(lambda t: t.replace("K", "\N{KELVIN SIGN}"), id="look-alike character"),
        pytest.param(lambda t: t + "\n", id="line feed"),
        pytest.param(lambda t: "", id="empty"),
        pytest.param(lambda t: bech32.encode("age-secret-key-pq-", bytes(31)).upper(), id="31 bytes"),
        pytest.param(lambda t: "AGE-SECRET-KEY-PQ-1", id="nothing after the prefix"),
    ],
)
def test_damaged_identities_are_refused_and_not_quoted(change: Callable[[str], str]) -> None:
    text = change(SPEC_IDENTITY)
    with pytest.raises(SealError) as caught:
        Identity.parse(text)
    assert SPEC_IDENTITY[25:40] not in str(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None


def test_spare_bits_in_bech32_are_refused() -> None:
    """BIP 173: the bits after the last byte must be zero, or one key would have several spellings."""

    def text(body: str) -> str:  # one byte is two symbols, of which the second has two spare bits
        return f"age1{body}{checksum('age', body)}"

    assert bech32.decode("age", text("qq")) == b"\x00"
    for body in ("qp", "qz", "qr"):
        with pytest.raises(SealError):
            bech32.decode("age", text(body))


def checksum(prefix: str, body: str) -> str:
    """By BIP 173's own definition, apart from the code under test."""
    symbols = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    values += [symbols.index(c) for c in body] + [0] * 6
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> i & 1 else 0
    return "".join(symbols[(check ^ 1) >> 5 * (5 - i) & 31] for i in range(6))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "got 0 bytes"),
        (ALICE.recipient.raw + b"\x00", "got 1217 bytes"),
        (b"\xff" * 1184 + ALICE.recipient.raw[1184:], "out of range"),
        (ALICE.recipient.raw[:1184] + SMALL_ORDER, "low order"),
    ],
)
def test_bad_recipients_are_refused_where_they_enter(raw: bytes, message: str) -> None:
    with pytest.raises(SealError, match=message):
        Recipient(raw)


def test_an_epoch_seed_names_its_recipient() -> None:
    seed = os.urandom(32)
    assert recipient_of(seed) == Identity(seed).recipient
    assert age.open(age.seal(PLAINTEXT, [recipient_of(seed)]), [Identity(seed)]) == PLAINTEXT
    with pytest.raises(RecordError, match="32 bytes, got 31"):
        recipient_of(seed[:31])


def test_an_identity_neither_shows_nor_leaves_by_accident() -> None:
    identity = Identity.generate()
    shown = f"{identity} {identity!r} {identity:} {[identity]}"
    assert identity.fingerprint in shown
    for secret in (identity.seed.hex(), repr(identity.seed), identity.reveal(), identity.reveal().lower()):
        assert secret not in shown
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            leave(identity)


def test_more_recipients_than_readers_take_are_refused_with_how_many_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    recipients = [Identity.generate().recipient for _ in range(9)]
    monkeypatch.setattr(header, "MAX_HEADER", len(age.head(recipients[:8], age.new_file_key())) + 100)
    assert age.seal(b"text", recipients[:8])
    with pytest.raises(SealError, match="at most 8 recipients, got 9"):
        age.seal(b"text", recipients)
