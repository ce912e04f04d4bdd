"""A folder that takes the place of an earlier demo's only once it is whole."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from darklantern.errors import StoreError
from darklantern.files import partial_of

_MARK = ".darklantern-demo"
"""marks a folder that a demo made and a later one may replace"""


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, renamed to it when the body ends well.

    An earlier demo stays where it is until then, and for good when the body raises. Raises StoreError for a
    `folder` that no demo made, before anything is done.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file", hint="choose another folder with --out")
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise StoreError(
            f"{folder} is not empty and was not made by a demo, so nothing in it is touched",
            hint="choose another folder with --out, or empty that one yourself",
        )
    place, old = partial_of(folder), partial_of(folder)
    try:
        place.mkdir(parents=True)
        (place / _MARK).touch()
    except OSError as error:
        raise _cannot(folder, error) from error
    try:
        yield place
        try:
            if folder.exists():
                folder.rename(old)
            place.rename(folder)
        except OSError as error:
            raise _cannot(folder, error) from error
    finally:
        for left in (place, old):
            shutil.rmtree(left, ignore_errors=True)


def _cannot(folder: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot make {folder}: {error.strerror}", hint="choose a folder you may write to, with --out")
