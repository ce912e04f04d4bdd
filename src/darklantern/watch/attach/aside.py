"""A guard that is put up once: a look holds it, and each pass within the look asks for it again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


class Aside:
    """`guard`, which is entered by the outermost that asks for it."""

    def __init__(self, guard: Callable[[], AbstractContextManager[None]]) -> None:
        self._guard = guard
        self._held = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        if self._held:
            yield
            return
        try:
            self._held = True
            with self._guard():
                yield
        finally:
            self._held = False
