"""A project's runs, as folders: what each was given, and where what it leaves lies.

spec.json        the declaration, exact
inputs/          copies, gone when the run ends
volume/          /box/work, gone when the run ends
released.jsonl   what was shown
report.json      what ran, on which rung, what it cost
log.age          what it printed, sealed and padded
volume.age       /box/work, sealed and padded, where the declaration says that it can be resumed
"""

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from darklantern.box.spec import Declared, Spec
from darklantern.box.volume import passable
from darklantern.errors import BoxError, StoreError
from darklantern.files import write_whole
from darklantern.records.exact import Name, Sha256, Value, encode

_NAME = re.compile(r"\d+-[0-9a-f]{8}")


class Report(Value, frozen=True, kw_only=True):
    """What a run leaves for people, and for `assess`. Nothing in it comes from the box but what the outlet released."""

    run: Name
    spec: Sha256
    inputs: Sha256
    """of the names and contents of all that went in: `inputs_hash`"""
    rung: Name
    held: tuple[str, ...]
    remarks: tuple[str, ...]
    microbits: int
    """spent by this run"""
    left: int
    """of the project's budget, in micro-bits"""
    ledger: Sha256
    """its head after the run: a copy that tells whether lines were cut off"""
    lines: int
    resumed: Name | None = None
    broken_off: bool = False
    """by whoever ran it: its transcript is not whole"""


@dataclass(frozen=True)
class Run:
    """A run's folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def project(self) -> Path:
        return self.folder.parent.parent

    @property
    def volume(self) -> Path:
        """/box/work, while a resumable one runs."""
        return self.folder / "volume"

    @property
    def spec(self) -> Spec:
        """What it was declared as. Raises StoreError."""
        try:
            return msgspec.json.decode((self.folder / "spec.json").read_bytes(), type=Spec)
        except (OSError, msgspec.DecodeError) as error:
            raise StoreError(f"{self.folder} is no run of a box: {error}", hint="a folder in PROJECT/runs") from error

    def told(self) -> Report:
        """What is told of it. Raises StoreError for a run that goes on, or whose supervisor was killed."""
        try:
            return msgspec.json.decode(self.report.read_bytes(), type=Report)
        except (OSError, msgspec.DecodeError) as error:
            raise StoreError(
                f"{self.folder} has no report: {error}", hint="the run goes on, or its supervisor was killed"
            ) from error

    @property
    def released(self) -> Path:
        return self.folder / "released.jsonl"

    @property
    def report(self) -> Path:
        return self.folder / "report.json"


def runs(project: Path) -> tuple[Run, ...]:
    """A project's runs, the oldest first."""
    folder = project / "runs"
    found = folder.iterdir() if folder.is_dir() else ()
    return tuple(
        sorted(
            (Run(each) for each in found if _NAME.fullmatch(each.name) and each.is_dir()),
            key=lambda each: int(each.id.partition("-")[0]),
        )
    )


def begun(declared: Declared) -> Run:
    """A new run's folder, with copies of its inputs: two boxes share no file whose use the other could see."""
    earlier = runs(declared.project)
    number = int(earlier[-1].id.partition("-")[0]) + 1 if earlier else 1
    folder = declared.project / "runs" / f"{number}-{declared.hash[:8]}"
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700)
    write_whole(folder / "spec.json", encode(declared.spec))
    if declared.spec.resumable:
        passable(folder / "volume")  # bubblewrap goes there before it is the box's user
    copied(declared, declared.spec.inputs, folder / "inputs")
    return Run(folder)


def inputs_hash(folder: Path) -> Sha256:
    """SHA-256 over each file below a folder, by name: its path and the SHA-256 of its contents."""
    whole = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and not each.is_symlink()):
        name = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            whole.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode())
    return whole.hexdigest()


def copied(declared: Declared, inputs: Mapping[str, str], folder: Path) -> None:
    """Copies of what is declared, to be read by anybody and written by nobody. Raises BoxError for no plain file."""
    passable(folder)
    try:
        _copy(declared, inputs, folder)
    except (OSError, shutil.Error) as error:
        raise BoxError(f"cannot copy the inputs: {error}", hint="plain files and folders of them") from error


def _copy(declared: Declared, inputs: Mapping[str, str], folder: Path) -> None:
    for name, given in inputs.items():
        source = declared.folder / given
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True)
        else:
            shutil.copyfile(source, folder / name)
    for each in folder.rglob("*"):
        if not each.is_symlink():
            each.chmod(0o755 if each.is_dir() else 0o444)


def same_lineage(declared: Declared, resumed: Run) -> None:
    """Raises BoxError where a run cannot be taken up under a declaration."""
    path = resumed.folder / "spec.json"
    if resumed.project.resolve() != declared.project.resolve():
        raise BoxError(
            f"{resumed.folder} is a run of another project",
            hint="weights and data stay in their project, whose budget bounds what they tell",
        )
    if not path.exists() or path.read_bytes() != encode(declared.spec):
        raise BoxError(
            f"{resumed.id} ran another declaration",
            hint="a run goes on under the very same one; a changed one begins anew",
        )
    if not (resumed.folder / "volume.age").exists():
        raise BoxError(
            f"{resumed.id} left no /box/work", hint="declare `resumable = true` before the first run of a project"
        )
