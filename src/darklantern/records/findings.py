"""A finding: a claim with its evidence, and what it takes to run that evidence again."""

from typing import Annotated, Any, Literal

import msgspec

from darklantern.records.exact import Name, Sha256, Text, Time, Value

Json = Any
"""a JSON value: null, true, false, a number, a text, a list or a map of them"""


class Artifact(Value, frozen=True, kw_only=True):
    """A file by its hash: safetensors, JSON or NumPy's .npy. Never a pickle, never code."""

    name: Name
    media: Literal["application/safetensors", "application/json", "application/x-npy"]
    sha256: Sha256
    size: Annotated[int, msgspec.Meta(ge=0)]
    """bytes"""


class Figure(Value, frozen=True, kw_only=True):
    """One number of a result. A re-run reproduces it when it comes within `tolerance` (absolute)."""

    name: Name
    value: float
    unit: str = ""
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Series(Value, frozen=True, kw_only=True):
    """A curve over training steps; `alarm` is the first step at which it was above `threshold`."""

    name: Name
    role: Literal["signal", "behaviour", "statistic", "truth", "loss"]
    tier: Literal["", "I0", "I1", "I2"] = ""
    unit: str = ""
    steps: tuple[int, ...]
    values: tuple[float, ...]
    threshold: float | None = None
    alarm: int | None = None


class Event(Value, frozen=True, kw_only=True):
    """Something that happened at a training step: onset, alarm, rollback, overt behaviour."""

    step: int
    label: Name
    text: str = ""


class Grid(Value, frozen=True, kw_only=True):
    """A table of numbers with labelled rows and columns: layers by positions, for instance."""

    name: Name
    unit: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


class Provenance(Value, frozen=True, kw_only=True):
    """What a result was made from, enough to make it again."""

    model: Sha256
    """`models.snapshot.weights_hash`: SHA-256 over names, dtypes, shapes and bytes of parameters and saved buffers"""
    data: Sha256
    seed: int
    code: Name
    """darklantern's version"""
    versions: dict[str, str]
    """python, torch, numpy …"""
    machine: str = ""


class Recipe(Value, frozen=True, kw_only=True):
    """How to run a piece of evidence again: the public name of one of our functions, never code."""

    function: Name
    version: Annotated[int, msgspec.Meta(ge=1)]
    arguments: dict[str, Json]
    artifacts: dict[str, Sha256]
    """role in the call → hash"""


class Evidence(Value, frozen=True, kw_only=True):
    """One measured result with its provenance."""

    method: Name
    summary: Text
    provenance: Provenance
    sites: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    series: tuple[Series, ...] = ()
    events: tuple[Event, ...] = ()
    grids: tuple[Grid, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    recipe: Recipe | None = None


class Finding(Value, frozen=True, kw_only=True):
    """A claim with its evidence."""

    v: Literal[1] = 1
    title: Name
    claim: Text
    author: Name
    time: Time
    evidence: tuple[Evidence, ...]
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.evidence, tuple) or not all(isinstance(each, Evidence) for each in self.evidence):
            raise ValueError("evidence is a tuple of Evidence: evidence=(result.evidence(),)")
