"""Checking all that a library holds, beside `restic check --read-data` over the same file."""

import subprocess
from pathlib import Path

from darklantern.library import Library
from sharing.libraries import sharing
from sharing.measuring import Line, command, in_turns, line, middle, own, times_faster
from sharing.scratch import random_file, scratch
from sharing.sizes import Sizes

LEAST = 2.0


def lines(sizes: Sizes) -> list[Line]:
    """`store_verify`."""
    with scratch(4 * sizes.bundle) as folder:
        made = sharing(folder / "orgs", random_file(folder / "artifact", sizes.bundle))
        restic = _restic(folder)
        cases = {
            "ours": own(lambda: _verified(made.aurora)),
            "restic": command(*restic, "check", "--read-data", "--no-cache"),
        }
        took = in_turns(cases, sizes.repeats)
        made.close()
    ratio, wall = times_faster(took["ours"], took["restic"])
    rates = {name: round(sizes.bundle / 1e6 / middle(each).cpu) for name, each in took.items()}
    detail = {"by_the_wall": wall, "megabytes_per_second": rates}
    return [line("store_verify", ratio, "× restic", f"≥ {LEAST}", ratio >= LEAST, ("restic", _version()), **detail)]


def _verified(library: Library) -> None:
    problems = library.care.verify()
    if problems:
        raise ValueError(f"expected a library without problems, got {problems[0]}")


def _restic(folder: Path) -> list[str]:
    """The start of each command on a repository that holds the artifact."""
    password = folder / "restic.password"
    password.write_text("bench\n")
    restic = ["restic", "-q", "-r", str(folder / "restic"), "--password-file", str(password)]
    for asked in (["init"], ["backup", "--no-cache", str(folder / "artifact")]):
        subprocess.run([*restic, *asked], check=True, capture_output=True)
    return restic


def _version() -> str:
    return subprocess.run(["restic", "version"], check=True, capture_output=True, text=True).stdout.split()[1]
