"""A relay's secret keys as a file, for its owner alone."""

import os
import stat
from pathlib import Path

from darklantern.errors import StoreError
from darklantern.relay.config import KEYS
from darklantern.sealing import RelayKey


def read_keys(folder: Path) -> RelayKey:
    """The keys. Raises StoreError where others may read them, RecordError for other bytes."""
    path = folder / KEYS
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(4096)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", hint="was this relay made here?") from error
    if mode & 0o077:
        raise StoreError(
            f"expected {path} to be readable by its owner alone, got mode {mode:04o}",
            hint="chmod 600; if others were able to read it, make new keys",
        )
    return RelayKey.from_bytes(data)
