"""The processes that train together, which must see and decide alike.

A decision of one rank alone leaves the others waiting in a collective, or averages a rolled-back model with ones that
went on. So each look gathers what every rank read, and each rank decides on all of it.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from typing import Any, Protocol

from darklantern.errors import WatchError


class Ranks(Protocol):
    """Which of how many this process is, and a way to hear from all."""

    @property
    def rank(self) -> int: ...

    @property
    def count(self) -> int: ...

    def gather(self, value: Any) -> list[Any]:
        """What each rank gave, in their order. Every rank must call it, as often as every other.

        Raises WatchError where one of them is gone.
        """
        ...


class Alone:
    """One process."""

    rank, count = 0, 1

    def gather(self, value: Any) -> list[Any]:
        return [value]


class Late:
    """The ranks that there are when one is first asked: a trainer may start the other processes only as it begins."""

    def __init__(self, find: Callable[[], Ranks]) -> None:
        self._find = find

    @cached_property
    def _found(self) -> Ranks:
        return self._find()

    @property
    def rank(self) -> int:
        return self._found.rank

    @property
    def count(self) -> int:
        return self._found.count

    def gather(self, value: Any) -> list[Any]:
        return self._found.gather(value)


class TorchRanks:
    """The ranks of `torch.distributed`'s default group, asked over a gloo group of their own.

    Of their own, so that a look's words never stand in a queue between the loop's collectives.
    """

    def __init__(self, distributed: Any) -> None:
        self._distributed = distributed
        # As long as a person may think over a pause; a rank that ends closes its connections, which ends the wait.
        self._group = distributed.new_group(backend="gloo", timeout=timedelta(days=30))
        self.rank, self.count = int(distributed.get_rank()), int(distributed.get_world_size())

    def gather(self, value: Any) -> list[Any]:
        held: list[Any] = [None] * self.count
        try:
            self._distributed.all_gather_object(held, value, group=self._group)
        except RuntimeError as error:  # gloo's word for a connection that another rank's end closed
            raise WatchError(
                f"the {self.count} ranks no longer hear each other, says rank {self.rank}: {error}",
                hint="one of them ended, or its machine did: look at its output, and start all of them again",
            ) from error
        return held


class JaxRanks:
    """The processes of `jax.distributed`. Values go as JSON through an all-gather of bytes."""

    def __init__(self, jax: Any) -> None:
        self.rank, self.count = int(jax.process_index()), int(jax.process_count())

    def gather(self, value: Any) -> list[Any]:
        import json

        import numpy as np

        multihost_utils: Any = import_module("jax.experimental.multihost_utils")

        said = np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)
        widest = int(multihost_utils.process_allgather(np.array([len(said)])).max())
        rows = multihost_utils.process_allgather(np.pad(said, (0, widest - len(said)), constant_values=32))
        return [json.loads(bytes(np.asarray(row))) for row in rows.reshape(self.count, widest)]


def of_torch() -> Ranks:
    """This process's place among those of torch.distributed, if that is initialised."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return Alone()
    return TorchRanks(distributed) if distributed.get_world_size() > 1 else Alone()


def of_jax() -> Ranks:
    """This process's place among those of jax.distributed."""
    jax: Any = sys.modules["jax"]
    return JaxRanks(jax) if jax.process_count() > 1 else Alone()
