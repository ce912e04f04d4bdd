"""Sealing and opening one long file: ours, the age command, and the bare cipher in memory.

The age that Debian has seals to X25519, ours to X-Wing: some 80 µs that do not show here. The library's own way adds
SHA-256, BLAKE3, the marks of its journal and the store.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from darklantern.library.artifact_sealing import seal_file
from darklantern.sealing import Identity, age, payload
from darklantern.stores.blobs import Blobs
from sharing.measuring import Case, Line, Took, command, in_turns, line, middle, own, times_faster
from sharing.scratch import random_file, scratch
from sharing.sizes import Sizes

SEAL, OPEN, RAW = 1.0, 1.2, 0.45


def lines(sizes: Sizes) -> list[Line]:
    """`seal` and `open` beside age, `seal` beside the bare cipher, and a whole artifact beside `seal`."""
    with scratch(6 * sizes.stream) as folder:
        plain = random_file(folder / "plain", sizes.stream)
        took = in_turns(_cases(plain, folder), sizes.repeats)
    rate = {name: round(sizes.stream / 1e6 / middle(each).cpu) for name, each in took.items()}
    age_cli = ("age", _version())
    return [
        _beside("seal", "seal", "age seal", SEAL, "age", age_cli, took, rate),
        _beside("open", "open", "age open", OPEN, "age", age_cli, took, rate),
        _beside("seal_over_raw", "seal over", "raw", RAW, "raw", ("ChaCha20-Poly1305, 64 KiB", ""), took, rate),
        _beside("seal_artifact", "artifact", "seal", None, "seal", ("seal", ""), took, rate),
    ]


def _cases(plain: Path, folder: Path) -> dict[str, Case]:
    me, key = Identity.generate(), _age_key(folder)
    sealed, peer_sealed = folder / "sealed", folder / "sealed.age"
    opened, peer_opened = folder / "opened", folder / "opened.age"
    over = random_file(folder / "over", plain.stat().st_size)
    with plain.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "seal": own(lambda: _seal(plain, sealed, me, "wb")),
        "age seal": command("age", "-R", str(key.with_suffix(".public")), "-o", str(peer_sealed), str(plain)),
        "open": own(lambda: _open(sealed, opened, me)),
        "age open": command("age", "-d", "-i", str(key), "-o", str(peer_opened), str(peer_sealed)),
        # A new file's pages are cleared by the kernel, at the price of half the cipher; the bare cipher writes nothing.
        "seal over": own(lambda: _seal(plain, over, me, "r+b")),
        "raw": own(lambda: _raw(plain.stat().st_size)),
        "artifact": _artifact(plain, folder / "store", sha256, me),
    }


def _beside(
    name: str,
    ours: str,
    theirs: str,
    least: float | None,
    unit: str,
    peer: tuple[str, str],
    took: dict[str, list[Took]],
    rate: dict[str, int],
) -> Line:
    ratio, wall = times_faster(took[ours], took[theirs])
    rates = {ours: rate[ours], theirs: rate[theirs]}
    bar, ok = ("–", None) if least is None else (f"≥ {least}", ratio >= least)
    return line(name, ratio, f"× {unit}", bar, ok, peer, by_the_wall=wall, megabytes_per_second=rates)


def _seal(plain: Path, sealed: Path, me: Identity, mode: Literal["wb", "r+b"]) -> None:
    file_key = age.new_file_key()
    with plain.open("rb", buffering=0) as source, sealed.open(mode, buffering=0) as sink:
        sink.write(age.head([me.recipient], file_key))
        for piece in payload.encrypt(source, file_key):
            sink.write(piece)


def _open(sealed: Path, opened: Path, me: Identity) -> None:
    with sealed.open("rb") as source, opened.open("wb", buffering=0) as sink:
        for chunk in payload.decrypt(source, age.read_file_key(source, [me])):
            sink.write(chunk)


def _raw(size: int) -> None:
    cipher, chunk = ChaCha20Poly1305(bytes(32)), bytes(payload.CHUNK)
    for index in range(size // payload.CHUNK):
        cipher.encrypt(index.to_bytes(12, "big"), chunk, None)


def _artifact(plain: Path, store: Path, sha256: str, me: Identity) -> Case:
    """Into a store that is empty again each time, which is not counted."""
    sealed = own(lambda: seal_file(plain, sha256, blobs=Blobs(store / "blobs"), journals=store / "journals", device=me))

    def case() -> Took:
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()
        return sealed()

    return case


def _age_key(folder: Path) -> Path:
    key = folder / "age.key"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True).stdout
    key.with_suffix(".public").write_text(public)
    return key


def _version() -> str:
    return subprocess.run(["age", "--version"], check=True, capture_output=True, text=True).stdout.strip()
