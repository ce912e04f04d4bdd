"""Large artifacts: sealed from a file, opened to a file, in pieces, and never in part."""

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from darklantern.errors import DarkLanternError, SealError, StoreError
from darklantern.library.artifact_reading import ArtifactReader
from darklantern.library.artifact_sealing import forget_named, give_up, seal_file
from darklantern.network.items import PIECE, SealedArtifact, bucket, open_artifact, seal_artifact
from darklantern.sealing import Identity
from darklantern.sealing.payload import CHUNK, SEALED_CHUNK
from darklantern.stores import Blobs

DEVICE = Identity(bytes(range(32)))
START = 1670  # about what the header and the nonce take of the first piece


class Place:
    """A folder with what a sealing needs, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.blobs = Blobs(folder / "blobs")
        self.journals = folder / "unfinished"
        self.journals.parent.mkdir(exist_ok=True)

    def write(self, data: bytes) -> str:
        self.source.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def seal(self, sha256: str, device: Identity = DEVICE, stop_after: int | None = None) -> SealedArtifact:
        """`stop_after` pieces it is interrupted, as Ctrl-C would."""
        seen: list[int] = []

        def progress(done: int, size: int) -> None:
            seen.append(done)
            assert 0 <= done <= size == self.source.stat().st_size and seen == sorted(seen)
            if len(seen) == stop_after:
                raise KeyboardInterrupt

        artifact = seal_file(
            self.source, sha256, blobs=self.blobs, journals=self.journals, device=device, progress=progress
        )
        assert seen[-1] == artifact.size and len(seen) == len(artifact.pieces)
        return artifact

    def reader(self, artifact: SealedArtifact) -> ArtifactReader:
        return ArtifactReader(artifact, self.blobs.get)

    def file_of(self, name: str) -> Path:
        return self.journals.parent / "blobs" / name[:2] / name


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


def content(size: int, seed: int = 5) -> bytes:
    return random.Random(seed).randbytes(size)


def near_borders() -> st.SearchStrategy[int]:
    """Sizes around chunks, around what fills one or two pieces of ciphertext, and small ones."""
    chunks = st.builds(lambda n, d: n * CHUNK + d, st.integers(0, 4), st.integers(-2, 2))
    full = (PIECE - START) * CHUNK // SEALED_CHUNK
    pieces = st.builds(lambda n, d: n * PIECE + d, st.integers(1, 2), st.integers(-2, 2))
    cipher = st.builds(lambda n, d: n * full + d, st.integers(1, 2), st.integers(-CHUNK, CHUNK))
    return st.builds(lambda size: max(0, size), chunks | pieces | cipher | st.integers(0, 3000))


@given(size=near_borders(), data=st.data())
@settings(deadline=None, max_examples=25)
def test_a_file_comes_back_whole_and_in_ranges(
    size: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    plaintext = content(size)
    artifact = place.seal(place.write(plaintext))
    assert artifact.size == size
    pieces = {name: place.file_of(name).read_bytes() for name in artifact.pieces}
    assert open_artifact(artifact, pieces) == plaintext  # as the plain code reads it: one age file
    reader = place.reader(artifact)
    assert b"".join(reader.stream()) == plaintext
    start, length = data.draw(st.integers(0, size + 10)), data.draw(st.integers(0, size + 10))
    assert reader.read(start, length) == plaintext[start : start + length]
    assert reader.problems() == ()


@given(size=near_borders())
@settings(deadline=None, max_examples=10)
def test_what_was_sealed_in_memory_is_read_in_pieces(size: int) -> None:
    plaintext = content(size)
    artifact, pieces = seal_artifact(plaintext)
    assert b"".join(ArtifactReader(artifact, pieces.get).stream()) == plaintext


@given(stops=st.lists(st.integers(1, 3), max_size=3), lost=st.integers(0, 3))
@settings(deadline=None, max_examples=10)
def test_an_interrupted_sealing_goes_on_to_the_same_pieces(
    stops: list[int], lost: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    sha256 = place.write(content(3 * PIECE + 5))
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            place.seal(sha256, stop_after=stop)
    before = {name: place.file_of(name).stat().st_mtime_ns for name in place.blobs}
    for name in list(before)[:lost]:  # a lost piece is sealed again, to the same bytes
        place.file_of(name).unlink()
    artifact = place.seal(sha256)
    assert set(before) <= set(artifact.pieces) == set(place.blobs)
    kept = list(before)[lost:]
    assert {name: before[name] for name in kept} == {name: place.file_of(name).stat().st_mtime_ns for name in kept}
    assert b"".join(place.reader(artifact).stream()) == place.source.read_bytes()
    assert place.seal(sha256) == artifact


def test_once_a_record_names_it_a_file_is_sealed_under_a_fresh_key(place: Place) -> None:
    sha256 = place.write(b"weights")
    artifact = place.seal(sha256)
    forget_named({"0" * 64}, journals=place.journals)
    assert place.seal(sha256) == artifact
    forget_named(set(artifact.pieces), journals=place.journals)
    again = place.seal(sha256)
    assert again.seed != artifact.seed and not set(again.pieces) & set(artifact.pieces)


def test_p24_a_piece_is_sealed_only_once_its_mark_is_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, other bytes could come in its place, under the same key and nonce."""
    plaintext = bytearray(content(2 * PIECE))
    sha256, add = place.write(plaintext), Blobs.add

    def add_and_die(blobs: Blobs, name: str, data: bytes) -> None:
        add(blobs, name, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(Blobs, "add", add_and_die)
    with pytest.raises(KeyboardInterrupt):
        place.seal(sha256)
    monkeypatch.undo()
    plaintext[100] ^= 1
    place.source.write_bytes(plaintext)
    before = set(place.blobs)
    with pytest.raises(SealError, match="changed while it was being sealed"):
        place.seal(sha256)
    assert set(place.blobs) == before


@pytest.mark.parametrize("at", [0, PIECE - 70_000, PIECE + 5, 2 * PIECE])
def test_a_source_that_changed_is_refused_before_anything_of_the_change_is_sealed(place: Place, at: int) -> None:
    """Otherwise two plaintexts would be under one nonce. In the part that was marked, and in the part that was not."""
    plaintext = bytearray(content(3 * PIECE))
    sha256 = place.write(plaintext)
    with pytest.raises(KeyboardInterrupt):
        place.seal(sha256, stop_after=2)
    plaintext[at] ^= 1
    place.source.write_bytes(plaintext)
    before = set(place.blobs)
    with pytest.raises(SealError, match="changed while it was being sealed" if at < 2 * PIECE - START else "SHA-256"):
        place.seal(sha256)
    assert set(place.blobs) <= before
    plaintext[at] ^= 1
    place.source.write_bytes(plaintext)
    assert b"".join(place.reader(place.seal(sha256)).stream()) == plaintext


@pytest.mark.parametrize("size", [0, 3 * PIECE - 1, 3 * PIECE + 1])
def test_a_source_of_another_size_is_refused(place: Place, size: int) -> None:
    sha256 = place.write(content(3 * PIECE))
    with pytest.raises(KeyboardInterrupt):
        place.seal(sha256, stop_after=1)
    place.source.write_bytes(content(size))
    with pytest.raises(SealError, match=f"expected {3 * PIECE} bytes, got {size}"):
        place.seal(sha256)


def test_a_sealing_that_is_given_up_leaves_nothing(place: Place) -> None:
    sha256 = place.write(content(2 * PIECE))
    with pytest.raises(KeyboardInterrupt):
        place.seal(sha256, stop_after=2)
    give_up(sha256, blobs=place.blobs, journals=place.journals, device=DEVICE)
    assert not list(place.blobs) and not list(place.journals.iterdir())


def test_a_file_of_another_hash_leaves_nothing(place: Place) -> None:
    place.write(b"one")
    with pytest.raises(SealError, match="the finding names"):
        place.seal("0" * 64)
    assert not list(place.blobs) and not list(place.journals.iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda d: d.replace(b"begin ", b"begin A"), id="first line"),
        pytest.param(lambda d: d + b"mark 0 " + b"0" * 64 + b"\n", id="two marks of one piece"),
        pytest.param(lambda d: d + b"what 0\n", id="another line"),
        pytest.param(lambda d: b"", id="empty"),
    ],
)
def test_a_damaged_journal_is_refused(place: Place, damage: object) -> None:
    sha256 = place.write(content(10))
    place.seal(sha256)
    (journal,) = place.journals.iterdir()
    journal.write_bytes(damage(journal.read_bytes()))  # type: ignore[operator]
    with pytest.raises(StoreError, match="journal"):
        place.seal(sha256)
    forget_named({"0" * 64}, journals=place.journals)  # it blocks no other
    give_up(sha256, blobs=place.blobs, journals=place.journals, device=DEVICE)
    assert b"".join(place.reader(place.seal(sha256)).stream()) == content(10)


def test_the_journal_shows_neither_key_nor_hash_and_a_torn_line_is_dropped(place: Place) -> None:
    sha256 = place.write(content(10))
    artifact = place.seal(sha256)
    (journal,) = place.journals.iterdir()
    data = journal.read_bytes()
    for secret in (artifact.seed, artifact.seed.hex().encode(), sha256.encode(), bytes.fromhex(sha256)):
        assert secret not in data and secret not in journal.name.encode()
    for cut in range(data.index(b"\n") + 1, len(data)):
        journal.write_bytes(data[:cut])
        assert place.seal(sha256) == artifact


@given(data=st.data())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flip_or_a_cut_in_any_piece_is_refused_and_names_it(place: Place, data: st.DataObject) -> None:
    """The piece bears its true name, as a wrong one from an author would: so the seal itself must notice."""
    plaintext = content(2 * PIECE + 100)
    artifact, stored = seal_artifact(plaintext)
    number = data.draw(st.integers(0, len(artifact.pieces) - 1))
    name = artifact.pieces[number]
    piece = bytearray(stored[name])
    at = data.draw(st.integers(0, len(piece) - 1) | st.integers(0, 2000).map(lambda n: n % len(piece)))
    if data.draw(st.booleans()):
        piece[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del piece[at:]
    output = place.source.parent / "out"
    with pytest.raises(SealError):
        ArtifactReader(artifact, (stored | {name: bytes(piece)}).get).write(output)
    assert not list(place.source.parent.iterdir())


def test_a_missing_and_an_altered_piece_are_named_with_their_place(place: Place) -> None:
    artifact = place.seal(place.write(content(3 * PIECE)))
    first, second, third, *_ = artifact.pieces
    place.file_of(second).write_bytes(b"other")
    place.file_of(third).unlink()
    reader = place.reader(artifact)
    altered, missing = reader.problems()
    assert "piece 2 of 4" in altered and "is altered" in altered and second in altered
    assert "piece 3 of 4" in missing and "is missing" in missing and third in missing
    assert reader.read(10, 10) == content(3 * PIECE)[10:20]  # a range needs only its own pieces
    with pytest.raises(SealError, match="piece 2 of 4"):
        reader.write(place.source.parent / "out")
    assert not (place.source.parent / "out").exists()
    place.file_of(first).unlink()
    with pytest.raises(SealError, match=r"piece 1 of 4 .* is missing"):
        place.reader(artifact)


@pytest.mark.parametrize("unnamed", [True, False], ids=["O_TMPFILE", "verified first"])
def test_p25_no_output_name_before_the_end_verifies(
    place: Place, unnamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE")
    plaintext = content(2 * PIECE)
    artifact = place.seal(place.write(plaintext))
    folder = place.source.parent
    output, names = folder / "out", {path.name for path in folder.iterdir()}
    seen: list[set[str]] = []

    def get(name: str) -> bytes | None:
        seen.append({path.name for path in folder.iterdir()} - names)
        return place.blobs.get(name)

    ArtifactReader(artifact, get).write(output)
    assert output.read_bytes() == plaintext and output.stat().st_mode & 0o777 == 0o600
    assert not any("out" in each for each in seen)
    assert {path.name for path in folder.iterdir()} == names | {"out"}
    with pytest.raises(StoreError, match="nothing is overwritten"):
        ArtifactReader(artifact, get).write(output)
    ArtifactReader(artifact, get).write(stream := io.BytesIO())
    assert stream.getvalue() == plaintext
    last = place.file_of(artifact.pieces[-1])
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(DarkLanternError):
        ArtifactReader(artifact, get).write(stream := io.BytesIO())
    assert stream.getvalue() == b""
    seen.clear()
    with pytest.raises(DarkLanternError):
        ArtifactReader(artifact, get).write(folder / "other")
    assert seen and all(each == {"out"} for each in seen)  # not even a partial one: a crash would leave it
    assert {path.name for path in folder.iterdir()} == names | {"out"}


CHILD = """
import sys, resource, hashlib
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from library.test_artifact_files import Place, DEVICE
from darklantern.library.artifact_sealing import seal_file
place = Place(Path(sys.argv[1]))
print("ready", flush=True)
artifact = seal_file(place.source, sys.argv[2], blobs=place.blobs, journals=place.journals, device=DEVICE)
place.reader(artifact).write(Path(sys.argv[1]) / "out")
print("done", flush=True)
"""

LEAN = """
import sys
from pathlib import Path
from darklantern.library.artifact_sealing import seal_file
from darklantern.library.artifact_reading import ArtifactReader
from darklantern.sealing import Identity
from darklantern.stores import Blobs
folder = Path(sys.argv[1])
def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) * 1024
blobs = Blobs(folder / "blobs")
artifact = seal_file(folder / "source", sys.argv[2], blobs=blobs, journals=folder / "unfinished",
                     device=Identity(bytes(range(32))))
sealed = peak()
assert sum(map(len, ArtifactReader(artifact, blobs.get).stream())) == artifact.size
print(sealed, peak(), len(artifact.pieces))
"""


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.slow
def test_p24_kill_minus_nine_at_any_moment_leaves_no_plaintext_and_the_sealing_goes_on(place: Place) -> None:
    canary = b"CANARY" * 11_000
    plaintext = canary + content(8 * PIECE)
    sha256 = place.write(plaintext)
    chance, folder, before = random.Random(24), place.source.parent, set[str]()
    for _ in range(8):
        process = child(CHILD, folder, sha256, Path(__file__).parent.parent)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        try:
            process.wait(chance.uniform(0.005, 0.12))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        if (folder / "out").exists():
            assert (folder / "out").read_bytes() == plaintext
            (folder / "out").unlink()
        place.blobs.sweep()
        assert place.blobs.damaged() == () and before <= set(place.blobs)
        before = set(place.blobs)
        others = [path for path in folder.rglob("*") if path.is_file() and path != place.source]
        assert not any(b"CANARYCANARY" in path.read_bytes() for path in others)
    artifact = place.seal(sha256)
    # One piece may be there twice in meaning but not in name: the same plaintext gives the same bytes.
    assert before <= set(artifact.pieces) == set(place.blobs)
    assert b"".join(place.reader(artifact).stream()) == plaintext


@pytest.mark.slow
def test_p33_memory_is_flat_for_a_large_file(place: Place) -> None:
    """At most 64 MiB, and no more for 2 GiB than for 64 MiB but for the names of the pieces."""
    peaks = []
    for size in (2**26, 2**31):
        with place.source.open("wb") as file:
            file.truncate(size)  # sparse
        whole = hashlib.sha256()
        for _ in range(size // 2**20):
            whole.update(bytes(2**20))
        said, _ = child(LEAN, place.source.parent, whole.hexdigest()).communicate(timeout=300)
        sealed, opened, pieces = map(int, said.split())
        assert pieces == -(-(bucket(size) + 2000) // PIECE)
        peaks.append(max(sealed, opened))
    assert max(peaks) <= 64 * 2**20
    assert peaks[1] - peaks[0] <= 8 * 2**20
