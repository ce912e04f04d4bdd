"""Bundles as bytes, for tests that cut, alter and make them; libraries know them as files."""

import io
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from darklantern.library import Exported, Holdings, Imported, Library
from darklantern.library.bundles import read_bundle, write_bundle
from darklantern.library.importing import Parts
from darklantern.network.merging import LogCopy
from darklantern.sealing import Device


def exported(library: Library, since: Holdings | None = None) -> bytes:
    return exported_and_told(library, since)[0]


def exported_and_told(library: Library, since: Holdings | None = None) -> tuple[bytes, Exported]:
    with tempfile.TemporaryDirectory() as folder:
        told = library.bundles.export_to(Path(folder) / "bundle", since=since)
        return (Path(folder) / "bundle").read_bytes(), told


def imported(library: Library, data: bytes, **options: bool) -> Imported:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return library.bundles.import_from(Path(file.name), **options)


def carried(giver: Library, taker: Library, **options: bool) -> Imported:
    """What came of carrying everything from one library to the other."""
    return imported(taker, exported(giver), **options)


def written(
    net: str, maker: Device, logs: Sequence[LogCopy], waiting: Sequence[bytes], pieces: Iterable[bytes]
) -> bytes:
    sink = io.BytesIO()
    write_bundle(sink, net, maker, logs, waiting, pieces)
    return sink.getvalue()


def taken_apart(data: bytes, net: str) -> tuple[Parts, dict[str, bytes]]:
    """The parts of a bundle, and its pieces by name."""
    pieces: dict[str, bytes] = {}
    return read_bundle(io.BytesIO(data), net, pieces.__setitem__), pieces
