"""What is exported opens without this program, by an independent one, for the keys that were named and no other."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from darklantern.errors import SealError, StoreError
from darklantern.library.exporting import ExportedFinding
from darklantern.network.items import PIECE
from darklantern.records.exact import decode, encode
from darklantern.sealing import Identity, age
from library.orgs import ARTIFACT, Orgs, artifacts, assessment, finding, founded

INTEROP = Path(__file__).parents[1] / "interop"
SHA256 = hashlib.sha256(ARTIFACT).hexdigest()
Client = Callable[..., bytes]


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


@pytest.fixture(scope="module")
def client() -> Client:
    """The npm package `age-encryption`."""
    node = shutil.which("node")
    if not node or not (INTEROP / "node_modules" / "age-encryption").is_dir():
        pytest.skip("needs Node.js and `npm install` in tests/interop (make test does it where npm exists)")

    def run(*arguments: str, data: bytes = b"") -> bytes:
        command = [node, str(INTEROP / "age.mjs"), *arguments]
        return subprocess.run(command, input=data, capture_output=True, check=True, timeout=60).stdout

    return run


def share(orgs: Orgs, data: bytes = ARTIFACT) -> str:
    what = finding(data)
    return orgs.aurora.findings.share(
        what, artifacts(data), circle="evals", assessment=assessment(what), tags=("exported",)
    )


def test_p19_another_program_opens_a_finding_and_we_open_what_it_seals_again(orgs: Orgs, client: Client) -> None:
    item, path = share(orgs), orgs.folder / "finding.age"
    theirs, ours = client("generate").decode(), Identity.generate()
    orgs.aurora.findings.export_age(
        path, item, [client("recipient", theirs).decode(), str(Identity.generate().recipient)]
    )
    plaintext = client("decrypt", theirs, data=path.read_bytes())
    exported = decode(ExportedFinding, plaintext)
    assert encode(exported) == plaintext
    assert (exported.item, exported.level, exported.markings) == (item, "V2", ("use:safety-only",))
    assert exported.finding == finding() and exported.assessment == assessment(finding())
    assert (exported.author.person, exported.tags) == ("ada", ("exported",))
    again = client("encrypt", str(ours.recipient), data=plaintext)
    assert decode(ExportedFinding, age.open(again, [ours])) == exported


def test_another_program_opens_an_artifact_byte_for_byte(orgs: Orgs, client: Client) -> None:
    data = bytes(range(256)) * (PIECE // 256) + b"end"
    item, path = share(orgs, data), orgs.folder / "artifact.age"
    theirs = client("generate").decode()
    sha256 = hashlib.sha256(data).hexdigest()
    orgs.aurora.findings.export_age(path, item, [client("recipient", theirs).decode()], artifact=sha256)
    assert client("decrypt", theirs, data=path.read_bytes()) == data


def test_no_key_of_ours_and_no_other_key_opens_an_export(orgs: Orgs) -> None:
    item, path, reader = share(orgs), orgs.folder / "artifact.age", Identity.generate()
    orgs.aurora.findings.export_age(path, item, [str(reader.recipient)], artifact=SHA256)
    assert age.open(path.read_bytes(), [reader]) == ARTIFACT
    assert path.stat().st_mode & 0o077 == 0
    seeds = orgs.aurora._desk.state.keyring.seeds.values()
    for other in (orgs.aurora._desk.state.device.receiving, *(Identity(seed) for seed in seeds)):
        with pytest.raises(SealError):
            age.open(path.read_bytes(), [other])


@pytest.mark.parametrize(
    ("recipients", "match"),
    [
        ([], "at least one recipient"),
        (["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"], "begins with age1pq1"),
        (["age1pq1qqqq"], "."),
        (["ssh-ed25519 AAAA"], "begins with age1pq1"),
    ],
)
def test_p18_only_post_quantum_recipients(orgs: Orgs, recipients: list[str], match: str) -> None:
    item, path = share(orgs), orgs.folder / "x.age"
    for mixed in (recipients, [str(Identity.generate().recipient), *recipients] if recipients else recipients):
        with pytest.raises(SealError, match=match) as caught:
            orgs.aurora.findings.export_age(path, item, mixed)
        assert "age-keygen -pq" in caught.value.hint or match != "begins with age1pq1"
    assert not path.exists()


def test_what_does_not_verify_to_its_end_leaves_no_file(orgs: Orgs) -> None:
    data = bytes(3 * PIECE)
    item, path = share(orgs, data), orgs.folder / "artifact.age"
    last = orgs.aurora.view.circle(orgs.circle).entries[item].body.attached[-1]
    piece = orgs.folder / "aurora" / "blobs" / last[:2] / last
    piece.write_bytes(piece.read_bytes()[:-1])
    before = set(orgs.folder.iterdir())
    with pytest.raises(SealError, match="is altered"):
        orgs.aurora.findings.export_age(
            path, item, [str(Identity.generate().recipient)], artifact=hashlib.sha256(data).hexdigest()
        )
    assert set(orgs.folder.iterdir()) == before
    path.touch()
    with pytest.raises(StoreError, match="nothing is overwritten"):
        orgs.aurora.findings.export_age(path, item, [str(Identity.generate().recipient)])


@pytest.mark.parametrize("sizes", [[], [0], [1], [65536], [65535, 2], [100_000, 0, 31_072], [3] * 50_000])
def test_a_stream_in_chunks_of_any_size_is_one_age_file(sizes: list[int]) -> None:
    identity = Identity.generate()
    chunks = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    sealed = b"".join(age.seal_stream(iter(chunks), [identity.recipient]))
    assert age.open(sealed, [identity]) == b"".join(chunks)
    assert len(sealed) == len(age.seal(b"".join(chunks), [identity.recipient]))
