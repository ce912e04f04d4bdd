"""What a box left behind in /box/work, whatever it is: counted, sealed to one size, removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from darklantern.box.running.watchdog import Looking, Together
from darklantern.box.sealed import TooLarge, project_key, seal_folder, unseal_folder
from darklantern.box.volume import DEEPEST, amount, keep, remove
from darklantern.sealing import Identity

DISK, FILES = 2**18, 60


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def key(tmp_path: Path) -> Identity:
    return project_key(tmp_path)


def kept(work: Path, key: Identity) -> tuple[int, list[str]]:
    """The size of what was sealed, and the files that come back."""
    sealed, back = work.parent / "volume.age", work.parent / "back"
    keep(work, DISK, FILES, sealed, key.recipient)
    remove(back)
    back.mkdir()
    unseal_folder(sealed, back, key)
    return sealed.stat().st_size, sorted(str(each.relative_to(back)) for each in back.rglob("*"))


def deep(folder: Path, depth: int, name: str = "d") -> None:
    """Deeper than a path may be long."""
    subprocess.run(
        [sys.executable, "-c", f"import os\nfor _ in range({depth}): os.mkdir({name!r}); os.chdir({name!r})"],
        cwd=folder,
        check=True,
    )


def test_what_is_sealed_has_one_size_whatever_is_in_it(work: Path, key: Identity) -> None:
    sizes = {kept(work, key)[0]}
    (work / "weights").write_bytes(os.urandom(1000))
    sizes.add(kept(work, key)[0])
    (work / "more").write_bytes(bytes(DISK - 1000))
    size, names = kept(work, key)
    assert names == ["more", "weights"] and sizes == {size}
    for number in range(FILES - 2):
        (work / f"{number}").touch()
    size, names = kept(work, key)
    assert len(names) == FILES and sizes == {size}
    (work / "one too many").touch()
    assert kept(work, key) == (size, [])


def test_what_passed_its_limits_is_kept_empty(work: Path, key: Identity) -> None:
    empty = kept(work, key)
    with (work / "holes").open("wb") as file:
        file.truncate(2**40)
    assert amount(work, FILES)[0] == 2**40 and kept(work, key) == empty
    deep(work, DEEPEST + 2)
    assert amount(work, 10**6)[1] > 10**6 and kept(work, key) == empty
    deep(work, 3000)
    assert kept(work, key) == empty
    for depth in (5, 20):
        deep(work, depth, "e" * 250)
        assert amount(work, 10**6)[1] > 10**6 and kept(work, key) == empty


def test_there_is_room_for_the_longest_names_and_no_more(work: Path, key: Identity) -> None:
    at = work.joinpath(*(letter * 250 for letter in "abcd"))
    at.mkdir(parents=True)
    left = FILES - 4
    for number in range(left // 2):
        (at / f"{number}").write_bytes(b"x" * (DISK // left))
        os.link(at / f"{number}", at / f"{number}-same")
    size, names = kept(work, key)
    assert len(names) == FILES
    with pytest.raises(TooLarge):
        seal_folder(work, work.parent / "small", key.recipient, 10_000)
    assert not (work.parent / "small").exists()
    remove(work)
    work.mkdir()
    assert kept(work, key)[0] == size


def test_links_lead_nowhere_and_names_are_only_names(work: Path, key: Identity) -> None:
    (work / "new\nline\udcff").write_text("mine")
    os.link(work / "new\nline\udcff", work / "same")
    (work / "password").symlink_to("/etc/passwd")
    (work / "etc").symlink_to("/etc")
    (work / "up").symlink_to("../key")
    (work / "latest").symlink_to("same")
    os.mkfifo(work / "pipe")
    os.utime(work / "same", ns=(2**62, 2**62))
    assert amount(work, FILES)[1] == 7
    _, names = kept(work, key)
    assert names == ["latest", "new\nline\udcff", "same"]
    assert (work.parent / "back" / "latest").readlink() == Path("same")
    assert (work.parent / "back" / "same").read_text() == "mine"
    remove(work)
    assert not work.exists() and Path("/etc/passwd").exists()


def test_what_may_not_be_read_is_its_owners_to_open(work: Path, key: Identity) -> None:
    (work / "closed").mkdir()
    (work / "closed" / "file").write_text("x")
    (work / "closed").chmod(0)
    assert kept(work, key)[1] == ["closed", "closed/file"]


def test_what_cannot_be_looked_at_is_not_held(work: Path) -> None:
    looking = Looking(os.getpid(), work / "gone", Together(memory=2**50, cpu_s=1e9, disk=DISK, files=FILES))
    looking.start()
    looking.join()
    assert looking.passed == "looking"


def test_a_folder_that_goes_away_counts_for_nothing(work: Path) -> None:
    assert amount(work, FILES) == (0, 0)
    remove(work, work)
    with pytest.raises(OSError):
        amount(work, FILES)
