"""What went into a method, as a hash: the same inputs give the same, whichever framework's arrays hold them."""

import hashlib
from collections.abc import Mapping

import numpy as np

from darklantern.errors import MethodError
from darklantern.models.calling import Inputs
from darklantern.models.shim import is_array, numbers
from darklantern.models.tokens import Batch


class Digest:
    """SHA-256 over inputs, in the order in which they were added."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._strange: str | None = None

    def add(self, given: object) -> None:
        """An array, a text, a number, None, or lists, tuples and dicts of them, and batches of prompts."""
        match given:
            case None | bool() | int() | float() | complex() | str() | bytes():
                self._note(type(given).__name__, repr(given).encode())
            case Inputs():
                self.add(given.args)
                self.add(given.kwargs)
            case Batch():
                self.add(given.arguments)
            case _ if is_array(given):
                array = np.ascontiguousarray(numbers(given))
                self._note(f"array {array.dtype.str} {array.shape}", array.tobytes())
            case Mapping():
                self._note("map", str(len(given)).encode())
                for key in sorted(given, key=str):
                    self.add(str(key))
                    self.add(given[key])
            case list() | tuple():
                self._note("list", str(len(given)).encode())
                for each in given:
                    self.add(each)
            case _:
                self._strange = self._strange or type(given).__name__

    def _note(self, kind: str, data: bytes) -> None:
        self._digest.update(f"{kind}\0{len(data)}\0".encode())
        self._digest.update(data)

    def hex(self) -> str:
        """Raises MethodError where something went in that has no bytes of its own."""
        if self._strange is not None:
            raise MethodError(
                f"inputs of type {self._strange} have no bytes to hash, so no evidence can name them",
                hint="arrays, texts, numbers, and lists, tuples and dicts of them do",
            )
        return self._digest.hexdigest()
