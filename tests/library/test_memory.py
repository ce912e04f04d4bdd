"""P33: however large what is shared, each step of its way takes the same memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 2**20

CHILD = """
import hashlib, sys
from pathlib import Path

import msgspec
from library.orgs import assessment, finding, founded

from darklantern.assess import level_follows
from darklantern.library import restore
from darklantern.records.findings import Artifact

folder, size = Path(sys.argv[1]), int(sys.argv[2])


def peak(step):
    lines = Path("/proc/self/status").read_text().splitlines()
    print(step, int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024, flush=True)


orgs = founded(folder)
source, whole = folder / "source", hashlib.sha256()
with source.open("wb") as file:
    file.truncate(size)
for _ in range(size // 2**20):
    whole.update(bytes(2**20))
named = Artifact(name="trace", media="application/safetensors", sha256=whole.hexdigest(), size=size)
what = finding()
evidence = msgspec.structs.replace(what.evidence[0], artifacts=(named,))
what = msgspec.structs.replace(what, evidence=(evidence,))
peak("founded")
item = orgs.aurora.findings.share(what, {named.sha256: source}, circle="evals", assessment=assessment(what))
peak("shared")
orgs.aurora.bundles.export_to(folder / "bundle")
peak("exported")
orgs.beacon.bundles.import_from(folder / "bundle")
peak("imported")
orgs.aurora.bundles.export_to(folder / "sealed", to=[orgs.beacon.device.receiver()])
peak("exported sealed")
orgs.beacon.bundles.import_from(folder / "sealed")
peak("imported sealed")
orgs.beacon.findings.save_artifact(item, named.sha256, folder / "out")
assert (folder / "out").stat().st_size == size
peak("written")
assert orgs.beacon.care.verify() == ()
peak("verified")
orgs.beacon.care.backup(folder / "backup")
peak("backed up")
orgs.beacon.close()
restore(folder / "backup", folder / "again", "passphrase of bo", follows=level_follows, clock=orgs.clock)
peak("restored")
recipient = str(orgs.aurora.device.receiver())
orgs.aurora.findings.export_age(folder / "file.age", item, [recipient], artifact=named.sha256)
orgs.aurora.open_file(folder / "file.age", folder / "file")
peak("exported to age")
orgs.aurora.close()
"""


def peaks(folder: Path, size: int) -> dict[str, int]:
    """Step → the most memory that the process had held by its end."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(size)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {step: int(size) for step, _, size in (line.rpartition(" ") for line in done.stdout.splitlines())}


@pytest.mark.slow
def test_p33_every_step_of_a_large_artifacts_way_takes_the_memory_of_a_small_ones(tmp_path: Path) -> None:
    small, large = peaks(tmp_path / "small", 32 * MIB), peaks(tmp_path / "large", 256 * MIB)
    assert small.keys() == large.keys() and len(large) == 11
    for step, size in large.items():
        assert size - large["founded"] <= 64 * MIB, step
        assert (size - large["founded"]) - (small[step] - small["founded"]) <= 12 * MIB, step
