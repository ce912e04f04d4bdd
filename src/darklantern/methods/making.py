"""How a result came about: by which method, from what, with which seed, at what cost."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np

from darklantern.counted import counted
from darklantern.errors import MethodError
from darklantern.methods.digests import Digest
from darklantern.models.memory import Peak, peak
from darklantern.models.opened import Model
from darklantern.models.passes import Passes
from darklantern.models.passes import counted as counting
from darklantern.records.findings import Provenance

MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """What it took."""

    forward: int
    """runs of the model, each over the batch that it was given; those behind `backward` and `partial` among them"""
    partial: int
    """of them, those that began at a later block or stopped at an earlier one"""
    backward: int
    peak_bytes: int | None
    """memory above what was taken before; None where the machine does not tell"""
    seconds: float
    """of wall time"""

    def __str__(self) -> str:
        parts = f", {self.partial:,} of them partial" if self.partial else ""
        memory = "" if self.peak_bytes is None else f", {self.peak_bytes / MIB:,.0f} MiB"
        passes = counted(self.forward, "forward run")
        return f"{passes}{parts}, {counted(self.backward, 'backward pass')}{memory}, {self.seconds:.2g} s"


@dataclass(frozen=True)
class Made:
    """With what a result was made."""

    method: str
    framework: str
    seed: int | None
    """of what was drawn at random; None where nothing was"""
    cost: Cost
    standing: tuple[str, ...]
    """edits that stood in the model"""
    data: Callable[[], str] = field(repr=False)
    model: Callable[[], str] = field(repr=False)

    def provenance(self) -> Provenance:
        """Hashes of model and data, versions, machine. Raises as `Result.evidence` does."""
        software = {name: version(name) for name in ("numpy", self.framework)}
        return Provenance(
            model=self.model(),
            data=self.data(),
            seed=self.seed or 0,
            code=version("darklantern"),
            versions={"python": platform.python_version(), **software},
            machine=f"{platform.system()} {platform.machine()}",
        )


class Making:
    """A result that is being made."""

    def __init__(self, method: str, model: Model, seed: int | None, passes: Passes) -> None:
        self._method, self._framework, self._seed, self._passes = method, model.framework, seed, passes
        self._standing, self._model = model.standing, model.hash_later()
        self._digest, self._began, self._peak = Digest(), time.perf_counter(), Peak()

    def saw(self, *inputs: object) -> None:
        """These went in, in this order: arrays, texts, numbers, and lists and dicts of them."""
        for each in inputs:
            self._digest.add(each)

    def made(self) -> Made:
        """Called when the result's numbers are there."""
        passes, spent = self._passes, time.perf_counter() - self._began
        cost = Cost(passes.forward, passes.partial, passes.backward, self._peak.bytes, spent)
        return Made(self._method, self._framework, self._seed, cost, self._standing, self._digest.hex, self._model)


@contextmanager
def making(method: str, model: Model, seed: int | None = None) -> Iterator[Making]:
    """Counts what the model does in here. `.made()` is called after it. Raises MethodError for what is no seed."""
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
        raise MethodError(f"expected a seed, got {seed!r}", hint="a whole number from 0 on")
    with counting() as passes, peak() as high:
        under_way = Making(method, model, seed, passes)
        under_way._peak = high
        yield under_way
