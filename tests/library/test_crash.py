"""Whatever interrupts a write, the library that opens afterwards is whole."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from library.orgs import Orgs, founded, reopened, share

TESTS = Path(__file__).parent.parent

SHARE = """
import sys
from pathlib import Path
from library.orgs import Clock, artifacts, assessment, finding, reopened
aurora = reopened(Path(sys.argv[1]), "ada", Clock())
print("ready", flush=True)
for n in range(10_000):
    data = b"%d" % n * 100
    what = finding(data)
    print(aurora.findings.share(what, artifacts(data), circle="evals", assessment=assessment(what)), flush=True)
"""

IMPORT = """
import sys
from pathlib import Path
from library.orgs import Clock, reopened
beacon = reopened(Path(sys.argv[1]), "bo", Clock())
bundle = Path(sys.argv[2])
print("ready", flush=True)
beacon.bundles.import_from(bundle)
print("done", flush=True)
"""

FULL_DISK = """
import resource, sys
from pathlib import Path
from darklantern.errors import StoreError
from library.orgs import Clock, reopened
folder = Path(sys.argv[1])
beacon = reopened(folder, "bo", Clock())
bundle = Path(sys.argv[2])
def stored():
    return list(beacon._desk.vault.blobs), beacon._desk.vault.database.read()
before = stored()
for limit in (1, 4096, 65536, int(sys.argv[3])):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        beacon.bundles.import_from(bundle)
    except StoreError as error:
        print("refused:", error.message, "|", error.hint, flush=True)
    assert not beacon.findings.listed()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert stored() == before
beacon.bundles.import_from(bundle)
print("items:", len(beacon.findings.listed()), len(beacon.care.verify()), flush=True)
"""

SECOND = """
import sys
from pathlib import Path
from darklantern.errors import StoreError
from library.orgs import Clock, reopened
try:
    reopened(Path(sys.argv[1]), "ada", Clock())
except StoreError as error:
    print(error.message)
"""


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])},
    )


def killed_after(process: subprocess.Popen[str], seconds: float) -> list[str]:
    """What the child had said when it was killed, `seconds` after it was ready."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    said = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    return said


@pytest.mark.slow
def test_p24_kill_minus_nine_while_sharing_leaves_a_valid_library(orgs: Orgs) -> None:
    share(orgs)
    orgs.aurora.close()
    chance = random.Random(24)
    confirmed: list[str] = []
    for _ in range(4):
        confirmed += killed_after(child(SHARE, orgs.folder / "aurora"), chance.uniform(0.005, 0.15))
        orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
        items = {item.id: item for item in orgs.aurora.findings.listed()}
        assert all(item.problem is None for item in items.values())
        assert set(confirmed) <= set(items)  # what was reported as shared is there
        assert orgs.aurora.care.verify() == () and orgs.aurora.opaque == ()
        orgs.aurora.close()
    assert confirmed
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
    assert orgs.to_beacon().missing == ()


@pytest.mark.slow
def test_p24_kill_minus_nine_while_importing_leaves_all_or_nothing(orgs: Orgs) -> None:
    item = share(orgs)
    for n in range(20):
        orgs.aurora.threads.post(item, f"post {n}")
    bundle = orgs.folder / "bundle"
    orgs.aurora.bundles.export_to(bundle)
    orgs.beacon.close()
    chance, ends = random.Random(24), set()
    for n in range(5):
        folder = orgs.folder / f"beacon {n}"
        shutil.copytree(orgs.folder / "beacon", folder)
        killed_after(child(IMPORT, folder, bundle), chance.uniform(0, 0.08))
        with reopened(folder, "bo", orgs.clock) as beacon:
            found = (
                len(beacon.findings.listed()),
                len(beacon.threads.open(item).posts) if beacon.findings.listed() else 0,
            )
            assert found in ((0, 0), (1, 20))
            assert beacon.care.verify() == ()
            beacon.bundles.import_from(bundle)
            assert len(beacon.threads.open(item).posts) == 20
        ends.add(found)
    assert ends


def test_a_full_disk_is_a_clear_error_and_nothing_is_half_imported(orgs: Orgs) -> None:
    """A limit on file size stands in for a full disk: it needs no privilege, and the same calls fail."""
    share(orgs)
    bundle = orgs.folder / "bundle"
    orgs.aurora.bundles.export_to(bundle)
    orgs.beacon.close()
    size = (orgs.folder / "beacon" / "library.db").stat().st_size
    process = child(FULL_DISK, orgs.folder / "beacon", bundle, size)
    said, _ = process.communicate(timeout=60)
    lines = said.splitlines()
    assert process.returncode == 0
    assert len(lines) == 5 and lines[-1] == "items: 1 0"
    for line in lines[:-1]:
        assert line.startswith("refused: cannot") and "disk full" in line and "Nothing was changed" in line


def test_a_second_process_is_refused_at_once(orgs: Orgs) -> None:
    said, _ = child(SECOND, orgs.folder / "aurora").communicate(timeout=60)
    assert "open in another program" in said
