"""The declaration of a box: what runs, what goes in, what may come out, and what it may use. Read from TOML, once."""

import difflib
import hashlib
import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec

from darklantern.box.amounts import seconds, size
from darklantern.box.confine.bubblewrap import Kernel
from darklantern.box.outlet.channels import Channel
from darklantern.box.outlet.plans import Outlet, worst
from darklantern.box.outlet.pricing import MICRO, shown
from darklantern.errors import BoxError, StoreError
from darklantern.records.exact import Name, Sha256, Value, encode

_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z"
FileName = Annotated[str, msgspec.Meta(pattern=_NAME)]


class Limits(Value, frozen=True, kw_only=True):
    """What a box may use; it is killed beyond it."""

    wall: str
    """the deadline, and in modes slots and cadence the time of all slots together"""
    memory: str = "2GiB"
    """of all its processes together"""
    cpu: str = "1h"
    """of all its processes together"""
    processes: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    disk: str = "256MiB"
    """of /box/work, which is memory unless the box is resumable; /tmp and /dev/shm have as much each as `scratch`"""
    scratch: str = "256MiB"
    files: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 10_000
    """in /box/work, where it is resumable"""


class Project(Value, frozen=True, kw_only=True):
    """The lineage of weights and data that a budget belongs to."""

    folder: Name
    bits: float
    """the whole budget, over all runs; it is never raised"""


class Tripwire(Value, frozen=True, kw_only=True):
    """A monitor in a box of its own, which reads what the first one tells it, and can end it; nothing else."""

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    inputs: dict[FileName, str] = msgspec.field(default_factory=dict)
    memory: str = "2GiB"
    processes: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64


class Spec(Value, frozen=True, kw_only=True):
    """A box, whole."""

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """`python` is the interpreter that runs this"""
    project: Project
    limits: Limits
    outlet: Outlet
    inputs: dict[FileName, str] = msgspec.field(default_factory=dict)
    """name in /box/inputs → a file or folder beside the declaration, of which each run gets a copy"""
    environment: dict[Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_]{0,99}\Z")], str] = msgspec.field(
        default_factory=dict
    )
    tripwire: Tripwire | None = None
    resumable: bool = False
    """/box/work is kept sealed, so that another run can go on with it: as many bytes as `disk`, whatever is in it"""
    kernel: Kernel = "host"
    """gvisor: a kernel of its own between the program and the host's, slower and harder to break; run by root"""


@dataclass(frozen=True)
class Declared:
    """A declaration that was read and checked."""

    spec: Spec
    folder: Path
    """where it lies: paths in it are from there"""

    @property
    def hash(self) -> Sha256:
        """SHA-256 of the declaration's exact bytes, by which a resumed run is known."""
        return hashlib.sha256(encode(self.spec)).hexdigest()

    @property
    def project(self) -> Path:
        return self.folder / self.spec.project.folder

    @property
    def budget(self) -> int:
        """The project's whole budget in micro-bits."""
        return math.floor(self.spec.project.bits * MICRO)

    @property
    def wall_s(self) -> float:
        return seconds(self.spec.limits.wall)

    @property
    def slot_s(self) -> float:
        """From one tick to the next."""
        return self.wall_s / self.spec.outlet.slots


def read_spec(path: Path) -> Declared:
    """The declaration in a TOML file. Raises StoreError or BoxError, which names the field."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    try:
        found = msgspec.convert(tomllib.loads(data.decode()), Spec)
    except (ValueError, RecursionError) as error:  # msgspec's and tomllib's are ValueErrors
        raise BoxError(f"{path} declares no box: {str(error)[:300]}", hint=_hint(str(error))) from error
    made = Declared(found, path.absolute().parent)
    _check(path, made)
    return made


def _check(path: Path, made: Declared) -> None:
    spec = made.spec
    if not (math.isfinite(spec.project.bits) and 0 < spec.project.bits <= 1e9):
        raise BoxError(f"{path}, project.bits: expected a number of bits above 0, got {spec.project.bits}", hint="64.0")
    for name in ("wall", "cpu"):
        _amount(path, f"limits.{name}", getattr(spec.limits, name), seconds)
    for name in ("memory", "disk", "scratch"):
        _amount(path, f"limits.{name}", getattr(spec.limits, name), size)
    if spec.tripwire is not None:
        _amount(path, "tripwire.memory", spec.tripwire.memory, size)
    if spec.outlet.mode != "final" and made.slot_s < 0.1:
        raise BoxError(
            f"{path}: {spec.outlet.slots} slots in {spec.limits.wall} are {made.slot_s * 1000:.0f} ms each",
            hint="100 ms at least: fewer slots, or a longer wall time",
        )
    if spec.outlet.mode == "final" and worst(spec.outlet) > made.budget:
        raise BoxError(
            f"{path}: everything is said at the end and costs {shown(worst(spec.outlet))}, of a budget of "
            f"{spec.project.bits:g} bits",
            hint="fewer channels, fewer symbols, or another project with a larger budget",
        )
    where = made.folder.absolute()
    inputs = {**spec.inputs, **{f"tripwire.{name}": given for name, given in _monitors(spec).items()}}
    for name, given in inputs.items():
        if PurePosixPath(given).is_absolute() or ".." in PurePosixPath(given).parts or not (where / given).exists():
            raise BoxError(
                f"{path}, inputs.{name}: expected a file or folder beside it, got {given!r}",
                hint="a path from where the declaration lies",
            )


def _amount(path: Path, name: str, text: str, read: Callable[[str], float]) -> None:
    try:
        read(text)
    except BoxError as error:
        raise BoxError(f"{path}, {name}: {error.message}", hint=error.hint) from error


def _hint(error: str) -> str:
    """The keys that there are, where one was written that is not."""
    found = re.search(r"unknown field `([^`]*)`(?: - at `\$\.?([a-z.]*))?", error)
    if found is None:
        return "docs/box.md has a whole declaration, and what each key can be"
    kinds: dict[str, type[msgspec.Struct]] = {"project": Project, "limits": Limits, "tripwire": Tripwire}
    kinds |= {"": Spec, "outlet": Outlet, "outlet.channels": Channel}
    names = [each.name for each in msgspec.structs.fields(kinds.get(found[2] or "", Spec))]
    near = difflib.get_close_matches(found[1], names, 1)
    return (f"did you mean {near[0]}? " if near else "") + f"There are {', '.join(names)}"


def _monitors(spec: Spec) -> dict[str, str]:
    return spec.tripwire.inputs if spec.tripwire else {}
