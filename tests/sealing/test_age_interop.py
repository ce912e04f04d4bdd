"""Both ways with an independent implementation of age, the npm package `age-encryption`."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from darklantern.sealing import Identity, Recipient, age

INTEROP = Path(__file__).parents[1] / "interop"
SIZES = [0, 1, 65536, 65537, 200_000]

Client = Callable[..., bytes]


@pytest.fixture(scope="module")
def client() -> Client:
    node = shutil.which("node")
    if not node or not (INTEROP / "node_modules" / "age-encryption").is_dir():
        pytest.skip("needs Node.js and `npm install` in tests/interop (make test does it where npm exists)")

    def run(*arguments: str, data: bytes = b"") -> bytes:
        command = [node, str(INTEROP / "age.mjs"), *arguments]
        return subprocess.run(command, input=data, capture_output=True, check=True, timeout=60).stdout

    return run


def test_it_derives_the_same_recipient(client: Client) -> None:
    theirs = client("generate").decode()
    assert client("recipient", theirs).decode() == str(Identity.parse(theirs).recipient)
    ours = Identity.generate()
    assert client("recipient", ours.reveal()).decode() == str(ours.recipient)


@pytest.mark.parametrize("size", SIZES)
def test_it_opens_what_we_seal(client: Client, size: int) -> None:
    plaintext = bytes(i % 251 for i in range(size))
    identity = Identity.generate()
    sealed = age.seal(plaintext, [Identity.generate().recipient, identity.recipient])
    assert client("decrypt", identity.reveal(), data=sealed) == plaintext


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_it_seals(client: Client, size: int) -> None:
    plaintext = bytes(i % 251 for i in range(size))
    identity = Identity.generate()
    sealed = client("encrypt", str(Identity.generate().recipient), str(identity.recipient), data=plaintext)
    assert age.open(sealed, [identity]) == plaintext


def test_it_reads_our_recipients_as_we_read_its(client: Client) -> None:
    text = client("recipient", client("generate").decode()).decode()
    assert str(Recipient.parse(text)) == text
