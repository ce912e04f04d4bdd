"""How often models ran: counted where the engines run them, so that nothing that a method does goes uncounted."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Passes:
    """Runs of models, each over all the examples that it was given."""

    forward: int = 0
    """runs, those of `backward` and `partial` among them"""
    partial: int = 0
    """of them, those that began at a later block or stopped at an earlier one"""
    backward: int = 0
    """backward passes, each after a run of its own"""
    sampled: int = 0
    """tokens that a model was let generate"""


_under_way: ContextVar[tuple[Passes, ...]] = ContextVar("passes", default=())


@contextmanager
def counted() -> Iterator[Passes]:
    """What runs in here, in this thread, is counted in what this gives; in those around it too."""
    own = Passes()
    token = _under_way.set((*_under_way.get(), own))
    try:
        yield own
    finally:
        _under_way.reset(token)


def note(forward: int = 0, partial: int = 0, backward: int = 0, sampled: int = 0) -> None:
    """For engines: so many passes are about to be made, and so many tokens drawn."""
    for each in _under_way.get():
        each.forward += forward
        each.partial += partial
        each.backward += backward
        each.sampled += sampled
