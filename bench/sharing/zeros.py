"""One artifact of zeros, sealed by the library's own code and opened again; how much memory each took, as JSON.

python -m sharing.zeros 17179869184
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

from darklantern.library.artifact_reading import ArtifactReader, Get
from darklantern.library.artifact_sealing import seal_file
from darklantern.network.cutting import opened_cutting
from darklantern.network.items import PIECE, SealedArtifact
from darklantern.sealing import Identity
from darklantern.sealing.payload import CHUNK
from darklantern.stores.blobs import Blobs
from sharing.memory import forget_peak, now_mib, peak_mib
from sharing.sizes import MIB


class Discarding(Blobs):
    """Keeps the first piece, and knows how to make the others again: the same key, nonce and zeros."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.first = b""

    def add(self, name: str, data: bytes | memoryview) -> None:
        """Nothing is kept."""
        self.first = self.first or bytes(data)

    def is_whole(self, name: str) -> bool:
        return False

    def getter(self, artifact: SealedArtifact) -> Get:
        """A way to get pieces."""
        cutting, cipher = opened_cutting(artifact, self.first)
        layout, zeros = cutting.layout, bytes(CHUNK)
        places = {name: at for at, name in enumerate(artifact.pieces)}

        def get(name: str) -> bytes:
            piece = places[name]
            if not piece:
                return self.first
            begin, end = piece * PIECE, min((piece + 1) * PIECE, layout.ciphertext)
            index = (begin - layout.start) // (layout.sealed_range(0).stop - layout.start)
            skip, made = begin - layout.sealed_range(index).start, bytearray()
            while len(made) < skip + end - begin:
                chunk = zeros[: min(CHUNK, layout.plaintext - index * CHUNK)]
                made += cipher.seal(index, chunk)
                index += 1
            return bytes(memoryview(made)[skip : skip + end - begin])

        return get


def main() -> None:
    """Seal, open, print."""
    size = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        source, store = folder / "zeros", Discarding(folder)
        with source.open("wb") as file:
            file.truncate(size)
        me, sha256 = Identity.generate(), _sha256(size)
        idle = now_mib()
        forget_peak()
        artifact = seal_file(source, sha256, blobs=store, journals=folder / "journals", device=me)
        sealed = peak_mib() - idle
        forget_peak()
        read = sum(map(len, ArtifactReader(artifact, store.getter(artifact)).stream()))
        opened = peak_mib() - idle
    if read != size:
        raise ValueError(f"expected {size} bytes back, got {read}")
    print(json.dumps({"seal_mib": round(sealed, 1), "open_mib": round(opened, 1), "idle_mib": round(idle, 1)}))


def _sha256(size: int) -> str:
    whole, zeros = hashlib.sha256(), bytes(MIB)
    for at in range(0, size, MIB):
        whole.update(zeros[: min(MIB, size - at)])
    return whole.hexdigest()


if __name__ == "__main__":
    main()
