"""The operating system's keystore: a real Secret Service, started for the test in a session bus of its own.

What it is given runs in processes of their own, because the keystore of a session is found by its environment.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from darklantern.errors import MissingExtraError, StoreError
from darklantern.stores import Change, Cost, create_vault
from darklantern.stores.keystore import keep_passphrase, kept_passphrases

CHEAP = Cost(memory_kib=64, passes=1, lanes=1)
SERVICES = ("dbus-run-session", "gnome-keyring-daemon")
MISSING = [each for each in SERVICES if shutil.which(each) is None]

secret_service = pytest.mark.skipif(
    bool(MISSING), reason=f"needs {', '.join(MISSING)}: Debian's packages dbus and gnome-keyring"
)
keyring = pytest.importorskip("keyring", reason='needs keyring: pip install "darklantern[keystore]"')


def in_session(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python beside an unlocked keystore that is empty and ends with it."""
    home = folder / "home"
    home.mkdir(exist_ok=True, mode=0o700)
    (folder / "code.py").write_text(code)
    unlock = "printf '%s' 'login password' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1"
    script = f"{unlock}; exec {sys.executable} {folder / 'code.py'}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "LANG": "C.UTF-8"}
    environment |= {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "XDG_DATA_HOME": str(home / "data")}
    return subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", script],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@secret_service
def test_a_real_keystore_keeps_the_passphrase_of_a_library(tmp_path: Path) -> None:
    done = in_session(
        """
from pathlib import Path
from darklantern.errors import StoreError
from darklantern.stores import Change, Cost, create_vault, open_vault
from darklantern.stores.keystore import forget_passphrase, keep_passphrase, kept_passphrases

cheap, folder = Cost(memory_kib=64, passes=1, lanes=1), Path("vault")
with keep_passphrase() as kept:
    create_vault(folder, kept.passphrase, Change(settings={"net": "7" * 64}), cheap, kept.id)
assert len(kept.passphrase) >= 43 and kept.passphrase not in repr(kept)
assert kept_passphrases(folder) == (kept.passphrase,)
assert kept.passphrase.encode() not in (folder / "header.json").read_bytes()
with open_vault(folder, *kept_passphrases(folder)) as vault, keep_passphrase() as fresh:
    vault.change_passphrase(fresh.passphrase, cheap, fresh.id)
assert fresh.passphrase != kept.passphrase and kept_passphrases(folder) == (fresh.passphrase,)
open_vault(folder, fresh.passphrase).close()

# A body that fails leaves nothing behind in the keystore.
try:
    with keep_passphrase() as lost:
        raise StoreError("no", hint="no")
except StoreError:
    pass
import keyring
assert keyring.get_password("darklantern", lost.id) is None

forget_passphrase(fresh.id)
try:
    kept_passphrases(folder)
except StoreError as error:
    assert "does not hold" in error.message
    print("ALL WELL")
""",
        tmp_path,
    )
    assert done.stdout.strip() == "ALL WELL", done.stderr


@secret_service
def test_the_commands_ask_for_no_passphrase_then(tmp_path: Path) -> None:
    done = in_session(
        """
import subprocess, sys
def run(*words):
    command = [sys.executable, "-m", "darklantern", *words, "--library", "mine"]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
run("device", "new", "--org", "Aurora", "--person", "ada", "--name", "Ada", "--keystore")
before = run("device", "show")
run("device", "passphrase", "--keystore")
assert run("device", "show") == before
open("passphrase", "w").write("of my own")
run("device", "passphrase", "--new-passphrase-file", "passphrase")
run("device", "show", "--passphrase-file", "passphrase")
print("ALL WELL")
""",
        tmp_path,
    )
    assert done.stdout.strip() == "ALL WELL", done.stderr


@pytest.mark.parametrize("name", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring"])
def test_a_keystore_that_keeps_nothing_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, kind = name.rpartition(".")
    backend = getattr(__import__(module, fromlist=[kind]), kind)()
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    with pytest.raises(StoreError, match="keeps no secret") as caught, keep_passphrase():
        pass
    assert "use a passphrase" in caught.value.hint


class Plaintext:
    """As a third party's file keyring would come along: of a module that is not known to keep secrets."""


def test_a_keystore_in_the_clear_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Plaintext.__module__ = "keyrings.alt.file"
    monkeypatch.setattr(keyring, "get_keyring", Plaintext)
    with pytest.raises(StoreError, match=r"got keyrings\.alt\.file"), keep_passphrase():
        pass


def test_without_the_package_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(MissingExtraError) as caught, keep_passphrase():
        pass
    assert "darklantern[keystore]" in caught.value.hint


def test_a_library_under_a_passphrase_asks_no_keystore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    create_vault(tmp_path / "vault", "old", Change(settings={"net": "7" * 64}), CHEAP)
    assert kept_passphrases(tmp_path / "vault") == ()
