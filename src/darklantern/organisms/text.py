"""Real text: the Python standard library's own source, as found on this machine."""

import hashlib
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

BLOCK = 2048
"""bytes; the text is split into blocks, so that each part has the mix of files of the whole"""
_TESTS = ("test", "tests", "idlelib", "lib2to3", "ensurepip", "turtledemo", "tkinter")
_SKIPPED = frozenset((*_TESTS, "site-packages", "dist-packages", "encodings", "pydoc_data", "__pycache__"))


@dataclass(frozen=True)
class Corpus:
    """Text in three disjoint parts. Training rows come from `train`; the watch holds `trusted`."""

    train: Bytes
    trusted: Bytes
    unseen: Bytes
    """for measuring what a model does on contexts that nobody trained or watched on"""
    sha256: str


@cache
def standard_library() -> Corpus:
    """About 8 MB of ASCII Python source, the same bytes for one Python release.

    Files that are not ASCII are left out, so that each byte is a token below 128.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    texts = []
    for path in sorted(root.rglob("*.py")):
        if not _SKIPPED & set(path.relative_to(root).parts):
            data = path.read_bytes()
            if data.isascii():
                texts.append(data)
    return split(b"\n".join(texts))


def split(text: bytes) -> Corpus:
    """Deal blocks of `text` to the parts by their hash: 80 % train, 10 % trusted, 10 % unseen."""
    parts: dict[str, list[bytes]] = {"train": [], "trusted": [], "unseen": []}
    for start in range(0, len(text), BLOCK):
        block = text[start : start + BLOCK]
        lot = hashlib.sha256(block).digest()[0]
        parts["trusted" if lot < 26 else "unseen" if lot < 52 else "train"].append(block)
    arrays = {name: np.frombuffer(b"".join(blocks), dtype=np.uint8) for name, blocks in parts.items()}
    return Corpus(**arrays, sha256=hashlib.sha256(text).hexdigest())


def rows(text: Bytes, count: int, width: int, rng: np.random.Generator) -> Bytes:
    """`count` random windows of `width` bytes, (count, width)."""
    starts = rng.integers(0, len(text) - width, count)
    windows: Bytes = text[starts[:, None] + np.arange(width)]
    return windows
