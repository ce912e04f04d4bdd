"""What a sync, an import and an export may touch of the library that they work for."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from darklantern.library.opening import Fetch
from darklantern.library.state import State
from darklantern.stores.blobs import Blobs
from darklantern.stores.incoming import Incoming


class Write(Protocol):
    """Write what is new in a state, and then hold it. Raises StoreError, and then nothing has changed."""

    def __call__(
        self,
        state: State,
        pieces: Mapping[str, bytes],
        came: Collection[str] = (),
        beside: AbstractContextManager[None] | None = None,
        /,
    ) -> None: ...


@dataclass(frozen=True)
class Hands:
    """The state that a library holds, and how to change it."""

    state: Callable[[], State]
    step: Write
    """`pieces` are written with it; those that `came` are stored already, or by `beside`, which is undone with it"""
    fetch: Fetch
    blobs: Blobs
    incoming: Incoming
    clock: Callable[[], int]
