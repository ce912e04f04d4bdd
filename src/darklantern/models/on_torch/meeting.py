"""The ranks that hold one model, in step: they agree on a run before it, and all end with an error when one fails.

They meet at the key-value store through which torch.distributed started, not by collectives: a rank that failed can
say so there and leave, and one that waits there sees it. A collective under way cannot be broken off, so they meet
before each module that starts one. What is not covered: a failure inside such a module or in a backward pass. The
other ranks then wait in their collective until the failed process ends or their backend's timeout is over.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

from darklantern.errors import SiteError

_PATIENCE = 1800.0
"""seconds until a rank that never comes is an error: torch's own limit for a collective"""
_NUMBERS: dict[tuple[int, ...], "count[int]"] = {}
"""how many runs each set of ranks began: all of them begin the same ones, in the same order"""


class OtherRankError(SiteError):
    """Another rank failed in this run."""


class Together:
    """One run on several ranks."""

    def __init__(self, ranks: tuple[int, ...]) -> None:
        self.ranks = ranks
        self.rank = dist.get_rank()
        number = next(_NUMBERS.setdefault(ranks, count()))
        named = "-".join(map(str, ranks))
        self._store = PrefixStore(f"darklantern/{named}/{number}", _get_default_store())
        self._steps = 0

    def exchange(self, mine: Any) -> dict[int, Any]:
        """What each rank gives, as JSON has it, by rank. Raises OtherRankError when one failed instead."""
        step, self._steps = self._steps, self._steps + 1
        self._store.set(f"{step}/{self.rank}", json.dumps(mine))
        if step > 1:  # everybody came to the step before, so all have read the one before that
            self._store.delete_key(f"{step - 2}/{self.rank}")
        keys = {rank: f"{step}/{rank}" for rank in self.ranks if rank != self.rank}
        self._wait(
            lambda: self._store.check(list(keys.values())),
            lambda: ", ".join(f"rank {rank}" for rank, key in keys.items() if not self._store.check([key])),
        )
        return {rank: mine if rank == self.rank else json.loads(self._store.get(keys[rank])) for rank in self.ranks}

    def meet(self) -> None:
        """Go on when all ranks came here. Raises OtherRankError when one failed instead."""
        step, self._steps = self._steps, self._steps + 1
        key, count = f"met/{step}", len(self.ranks)
        if self._store.add(key, 1) < count:
            self._wait(lambda: self._store.add(key, 0) == count, lambda: "another rank")
        elif step > 1:
            self._store.delete_key(f"met/{step - 2}")

    def failed(self) -> OtherRankError | None:
        """The first failure, if it was another rank's."""
        if not self._store.check(["failed"]):
            return None
        rank, message = json.loads(self._store.get("failed"))
        if rank == self.rank:
            return None
        return OtherRankError(f"rank {rank} failed in this run: {message}", hint=f"see the error of rank {rank}")

    def fail(self, error: BaseException) -> None:
        """Tell the others."""
        self._store.compare_set("failed", "", json.dumps([self.rank, f"{type(error).__name__}: {error}"]))

    def _wait(self, done: Callable[[], bool], missing: Callable[[], str]) -> None:
        end, pause = time.monotonic() + _PATIENCE, 1e-5
        while not done():
            error = self.failed()
            if error is not None:
                raise error
            if time.monotonic() > end:
                raise SiteError(
                    f"{missing()} did not come to this run of a sharded model within {_PATIENCE:g} s",
                    hint="every rank that holds a piece of the model makes the same calls in the same order",
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.01)


@contextmanager
def together(ranks: tuple[int, ...], plan: str) -> Iterator[Together]:
    """A run that all `ranks` make alike. Raises SiteError on all of them when their plans differ or one fails."""
    run = Together(ranks)
    try:
        _agree(run.exchange(plan))
        yield run
        run.exchange("done")
    except BaseException as error:
        run.fail(error)
        first = run.failed()
        # A collective that broke because another rank left says less than that rank does.
        if first is not None and isinstance(error, RuntimeError):
            raise first from error
        raise


def _agree(plans: dict[int, str]) -> None:
    first, mine = next(iter(plans.items()))  # the same on every rank, and so is the error
    for rank, plan in plans.items():
        if plan != mine:
            pairs = zip([*mine.splitlines(), "nothing more"], [*plan.splitlines(), "nothing more"], strict=False)
            here, there = next(((a, b) for a, b in pairs if a != b), (mine, plan))
            raise SiteError(
                f"the ranks differ: rank {first} asks for «{here.strip()}», rank {rank} for «{there.strip()}»",
                hint="a run of a sharded model is one run: the same sites, edits and options on every rank",
            )
