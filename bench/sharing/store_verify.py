"""Checking a store, beside `restic check --read-data` on the same bytes.

Both read everything and compare it with its hash: ours each piece with its BLAKE3, the database page by page, and what
each record should give; restic each pack with its SHA-256, and what is in it, decrypted. By the wall: both use threads.
"""

import os
import shutil
import subprocess
from pathlib import Path

from sharing.libraries import at_v2, finding
from sharing.measuring import Line, command, in_turns, line, middle, own, times_faster
from sharing.scratch import random_file, scratch
from sharing.sizes import Sizes

from darklantern.assess import level_follows
from darklantern.demo import founding
from darklantern.library import Library

LEAST = 2.0


def lines(sizes: Sizes) -> list[Line]:
    """`store_verify`."""
    if shutil.which("restic") is None:
        reason = "restic is absent: apt-get install restic"
        return [line("store_verify", 0.0, "× restic check", f"≥ {LEAST}", False, None, reason=reason)]
    with scratch(6 * sizes.bundle) as folder:
        made = founding.found(folder / "orgs")
        what, sha256 = finding(random_file(folder / "artifact", sizes.bundle))
        made.aurora.share(what, {sha256: folder / "artifact"}, circle=founding.CIRCLE, assessment=at_v2(what))
        made.close()
        with Library.open(folder / "orgs" / "aurora", made.passphrases["aurora"], follows=level_follows) as library:
            check = _restic(folder, folder / "orgs" / "aurora" / "blobs")
            took = in_turns({"ours": own(lambda: _verified(library)), "restic": command(*check)}, sizes.repeats)
    by_cpu, ratio = times_faster(took["ours"], took["restic"])
    rates = {name: round(sizes.bundle / 1e6 / middle(each).wall) for name, each in took.items()}
    version = subprocess.run(["restic", "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    detail = {"by_processor_time": by_cpu, "megabytes_per_second": rates, "megabytes": round(sizes.bundle / 1e6)}
    return [line("store_verify", ratio, "× restic check", f"≥ {LEAST}", ratio >= LEAST, ("restic", version), **detail)]


def _restic(folder: Path, of: Path) -> list[str]:
    """The command that checks a repository with these files in it."""
    os.environ["RESTIC_PASSWORD"] = "bench"  # of a repository that is gone in a minute
    repository = ["-q", "--no-cache", "-r", str(folder / "restic")]
    subprocess.run(["restic", *repository, "init"], check=True, capture_output=True)
    subprocess.run(["restic", *repository, "backup", str(of)], check=True, capture_output=True)
    return ["restic", *repository, "check", "--read-data"]


def _verified(library: Library) -> None:
    if problems := library.verify():
        raise ValueError(f"expected a whole library, got {problems[0]}")
