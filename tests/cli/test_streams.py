"""`seal` and `open` in pipes, with keys of one's own; and pipes that close and disks that are full."""

import subprocess
import sys
from pathlib import Path

import pytest
from library.orgs import ARTIFACT, CANARY, Orgs, device, founded, share

from cli.desks import Desk, seated
from darklantern.sealing import Identity, age

pytestmark = pytest.mark.usefixtures("stays_readable")
SEALED = 300_000


@pytest.fixture
def desks(tmp_path: Path) -> tuple[Desk, Desk]:
    orgs: Orgs = founded(tmp_path)
    share(orgs)
    orgs.close()
    ada, bo = seated(tmp_path, ada="aurora", bo="beacon")
    return ada, bo


def piped(
    desk: Desk, *words: str | Path, given: bytes = b"", stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, between pipes."""
    held = ["--library", str(desk.library), "--passphrase-file", str(desk.passphrase)]
    line = [sys.executable, "-m", "darklantern", *map(str, words), *held]
    return subprocess.run(line, input=given, stdout=stdout, stderr=subprocess.PIPE, check=False, start_new_session=True)


def test_seal_and_open_stand_in_a_pipe(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    plain = CANARY.encode() * (SEALED // len(CANARY))
    sealed = piped(ada, "seal", "-", "--to", device("bo").public.id, "--out", "-", given=plain)
    assert sealed.returncode == 0 and b"sealed to 1 key" in sealed.stderr, sealed.stderr
    assert sealed.stdout.startswith(b"age-encryption.org/v1\n") and CANARY.encode() not in sealed.stdout
    opened = piped(bo, "open", "-", "-o", "-", given=sealed.stdout)
    assert (opened.returncode, opened.stdout) == (0, plain), opened.stderr
    altered = piped(bo, "open", "-", "-o", "-", given=sealed.stdout[:-1])
    assert (altered.returncode, altered.stdout) == (1, b""), "no byte comes out before the last is verified"
    assert altered.stderr.startswith(b"error: ")


def test_an_artifact_goes_to_a_pipe_once_all_of_it_is_verified(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    (item,) = ada("finding", "list")
    words = ["open", item["id"], "--artifact", "notes.json", "--out", "-"]
    opened = piped(ada, *words)
    assert (opened.returncode, opened.stdout) == (0, ARTIFACT), opened.stderr
    assert "stdout cannot take both" in ada.refuses(*words).message


def test_a_key_of_ones_own_opens_without_a_library(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    reader, other, keys = Identity.generate(), Identity.generate(), ada.folder / "keys"
    keys.write_text(f"# mine\n{other.reveal()}\n{reader.reveal()}\n")
    sealed, out = ada.folder / "plain.age", ada.folder / "plain"
    sealed.write_bytes(age.seal(CANARY.encode(), [reader.recipient]))
    nowhere = Desk("nobody", ada.folder)
    assert nowhere("open", sealed, "--identity", keys, "--out", out) == {"file": str(out)}
    assert out.read_text() == CANARY
    sealed.unlink()
    ada("seal", out, "--to", str(reader.recipient), "--out", sealed)
    assert age.open(sealed.read_bytes(), [reader]) == CANARY.encode()
    keys.write_text(other.reveal())
    assert "none of the 1 given" in nowhere.refuses("open", sealed, "-i", keys, "-o", ada.folder / "x").message
    keys.write_text("AGE-SECRET-KEY-1QQQ")
    refused = nowhere.refuses("open", sealed, "-i", keys, "-o", ada.folder / "x")
    assert "AGE-SECRET-KEY-1QQQ" not in refused.message + refused.hint
    assert "stdout cannot take both" in nowhere.refuses("open", sealed, "-i", keys, "-o", "-").message
    assert not (ada.folder / "x").exists()


def test_a_full_disk_and_a_reader_who_left_are_no_defects(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    with Path("/dev/full").open("wb") as full:
        done = piped(ada, "finding", "list", stdout=full.fileno())
    assert done.returncode == 1 and done.stderr.startswith(b"error: ") and b"is the disk full" in done.stderr
    line = f"{sys.executable} -m darklantern thread list --library {ada.library} --passphrase-file '{ada.passphrase}'"
    left = subprocess.run(
        ["bash", "-c", f"{{ {line}; echo status $? >&2; }} | true"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in left.stderr and "Exception" not in left.stderr and left.stderr.startswith("status ")
