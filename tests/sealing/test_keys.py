"""Device, root, log and witness keys: roles, exact bytes, and secrets that do not show."""

import base64
import copy
import pickle
import re

import msgspec
import pytest

from darklantern.errors import DarkLanternError, RecordError, SealError, SignatureError
from darklantern.records import decode, encode
from darklantern.sealing import (
    Device,
    DevicePublic,
    Identity,
    LogKey,
    LogVerifyKey,
    SigningKey,
    VerifyKey,
    WitnessKey,
    age,
)
from darklantern.sealing.fingerprints import brief, fingerprint_of
from darklantern.sealing.secret import Secret

DEVICE = Device.generate()
SIGNING = SigningKey.generate()
LOG = LogKey.generate()
WITNESS = WitnessKey.generate()
Key = Device | SigningKey | LogKey | WitnessKey
SECRETS: list[Key] = [DEVICE, SIGNING, LOG, WITNESS]
by_type = pytest.mark.parametrize("secret", SECRETS, ids=lambda s: type(s).__name__)


def seeds(secret: Key) -> list[bytes]:
    data = secret.to_bytes().split(b"\n", 1)[1]
    return [data[at : at + 32] for at in range(0, len(data), 32)]


@by_type
def test_bytes_round_trip(secret: Key) -> None:
    again = type(secret).from_bytes(secret.to_bytes())
    assert again.to_bytes() == secret.to_bytes()
    assert again.public == secret.public


@by_type
def test_public_halves_have_exact_bytes_and_computed_names(secret: Key) -> None:
    public = secret.public
    assert decode(type(public), encode(public)) == public
    assert re.fullmatch("[0-9a-f]{64}", public.id)
    assert re.fullmatch("([A-Z2-7]{4}-){7}[A-Z2-7]{4}", public.fingerprint)
    assert base64.b32decode(public.fingerprint.replace("-", "")).hex() == public.id[:40]
    assert secret.fingerprint == public.fingerprint == fingerprint_of(public.id)
    assert brief(public.id) == f"{public.fingerprint[:9]}…"
    assert type(secret).generate().public.id != public.id


@by_type
def test_secrets_do_not_show(secret: Key) -> None:
    shown = f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    assert secret.fingerprint in shown
    for seed in seeds(secret):
        for form in (seed.hex(), repr(seed), base64.b64encode(seed).decode()):
            assert form not in shown


@by_type
def test_secrets_do_not_leave_by_accident(secret: Secret) -> None:
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            leave(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


@by_type
def test_other_bytes_are_refused_and_not_quoted(secret: Key) -> None:
    data = secret.to_bytes()
    others = [b"", data[:-1], data + b"\x00", b"D" + data[1:], *(s.to_bytes() for s in SECRETS if s is not secret)]
    for other in others:
        with pytest.raises(RecordError, match="begin with 'darklantern") as caught:
            type(secret).from_bytes(other)
        assert seeds(secret)[0].hex() not in str(caught.value)


def test_a_device_has_four_different_keys() -> None:
    assert len(set(seeds(DEVICE))) == 4
    label, body = DEVICE.to_bytes().split(b"\n", 1)
    for role in range(4):
        for other in range(role):
            shared = bytearray(body)
            shared[role * 32 : role * 32 + 32] = body[other * 32 : other * 32 + 32]
            with pytest.raises(RecordError, match="one key in two roles"):
                Device.from_bytes(label + b"\n" + bytes(shared))


def test_a_device_signs_and_receives() -> None:
    public = decode(DevicePublic, encode(DEVICE.public))
    for algorithm in VerifyKey.algorithms():
        public.signing.verify(algorithm, DEVICE.signing.sign(algorithm, b"record"), b"record")
    assert age.open(age.seal(b"finding", [public.receiver()]), [DEVICE.receiving]) == b"finding"


def test_a_witness_has_one_algorithm() -> None:
    assert WITNESS.public.algorithms() == ("mldsa44",)
    WITNESS.public.verify("mldsa44", WITNESS.sign("mldsa44", b"message"), b"message")
    with pytest.raises(SignatureError, match="expected one of mldsa44"):
        WITNESS.sign("ed25519", b"message")


@pytest.mark.parametrize("key", [SIGNING, LOG], ids=["signing", "log"])
def test_signatures_verify_only_as_made(key: SigningKey | LogKey) -> None:
    first, second = key.public.algorithms()
    for algorithm, other in ((first, second), (second, first)):
        signature = key.sign(algorithm, b"message")
        key.public.verify(algorithm, signature, b"message")
        flipped = bytes([signature[0] ^ 1]) + signature[1:]
        for bad_algorithm, bad_signature, bad_message in [
            (algorithm, flipped, b"message"),
            (algorithm, signature, b"massage"),
            (algorithm, signature[:-1], b"message"),
            (algorithm, signature + b"\x00", b"message"),
            (algorithm, b"", b"message"),
            (other, signature, b"message"),
        ]:
            with pytest.raises(SignatureError, match=f"valid {bad_algorithm} signature by {key.fingerprint}"):
                key.public.verify(bad_algorithm, bad_signature, bad_message)


def test_each_key_knows_its_two_algorithms_only() -> None:
    assert SIGNING.public.algorithms() == ("ed25519", "mldsa65")
    assert LOG.public.algorithms() == ("ed25519", "mldsa44")
    for call in (
        lambda: SIGNING.sign("mldsa44", b""),
        lambda: LOG.sign("mldsa65", b""),
        lambda: SIGNING.public.raw("mldsa44"),
        lambda: LOG.public.verify("mldsa65", b"", b""),
        lambda: SIGNING.public.raw("__init__"),  # type: ignore[arg-type]
    ):
        with pytest.raises(SignatureError, match="expected one of ed25519, mldsa"):
            call()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"recipient": "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"}, RecordError),
        ({"recipient": str(Identity.generate().recipient)[:-1] + "b"}, SealError),  # b is outside the alphabet
        ({"auth": bytes(31)}, RecordError),
        ({"v": 2}, RecordError),
        ({"signing": msgspec.structs.replace(SIGNING.public, mldsa65=bytes(1951))}, RecordError),
    ],
    ids=["classical recipient", "checksum", "short auth key", "version", "short ML-DSA key"],
)
def test_a_bad_public_record_is_refused(change: dict[str, object], error: type[DarkLanternError]) -> None:
    data = msgspec.json.encode(msgspec.structs.replace(DEVICE.public, **change), order="deterministic")
    with pytest.raises(error):
        decode(DevicePublic, data).receiver()


def test_public_keys_that_are_no_keys_verify_nothing() -> None:
    broken = LogVerifyKey(ed25519=b"\xff" * 32, mldsa44=bytes(1312))
    for algorithm in broken.algorithms():
        with pytest.raises(SignatureError):
            broken.verify(algorithm, LOG.sign(algorithm, b"m"), b"m")
