"""The command line as its users meet it: help, errors with hints, JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from darklantern.demo import founding


def darklantern(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "darklantern", *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("founded")
    founding.found(folder).close()
    return folder


def at(founded: Path, who: str) -> list[str]:
    return [str(founded / who), "--passphrase-file", str(founded / "passphrases" / who)]


def test_help_lists_each_command_with_a_whole_sentence() -> None:
    shown = darklantern("--help").stdout
    assert "demo" in shown and "watch" in shown and "library" in shown and "page" in shown and "rerun" in shown
    for words in ((), ("watch",), ("library",)):
        listed = darklantern(*words, "--help").stdout.split("Commands:")[1]
        assert "..." not in listed, "a sentence is cut off"


def test_the_version_as_text_and_as_json() -> None:
    from darklantern import __version__

    assert darklantern("version").stdout.strip() == f"darklantern {__version__}"
    assert json.loads(darklantern("version", "--json").stdout) == {"darklantern": __version__}


WRONG = {
    "a folder that is not there": ["library", "findings", "nowhere", "--passphrase-file", "PASS"],
    "a passphrase file that is not there": ["library", "findings", "AURORA", "--passphrase-file", "nowhere"],
    "no passphrase and no terminal": ["library", "findings", "AURORA"],
    "the wrong passphrase": ["library", "findings", "AURORA", "--passphrase-file", "OTHER"],
    "a bundle that is not there": ["library", "import", "AURORA", "nowhere", "--passphrase-file", "PASS"],
    "a bundle that is none": ["library", "import", "AURORA", "PASS", "--passphrase-file", "PASS"],
    "an item that is not there": ["rerun", "AURORA", "abc", "--passphrase-file", "PASS"],
    "a folder of one's own as --out": ["demo", "--out", "MINE"],
}


@pytest.mark.parametrize("what", WRONG)
def test_each_error_has_a_hint_and_no_traceback(what: str, founded: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").touch()
    names = {
        "AURORA": founded / "aurora",
        "PASS": founded / "passphrases" / "aurora",
        "OTHER": founded / "passphrases" / "beacon",
        "MINE": mine,
    }
    done = darklantern(*[str(names.get(word, word)) for word in WRONG[what]])
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "\nhint:  " in done.stderr
    assert "Traceback" not in done.stderr
    assert (mine / "thesis.tex").exists()


def test_an_error_as_json(tmp_path: Path) -> None:
    secret = tmp_path / "pass"
    secret.write_text("x")
    done = darklantern("library", "findings", str(tmp_path / "none"), "--passphrase-file", str(secret), "--json")
    assert done.returncode == 1
    assert set(json.loads(done.stdout)) == {"error", "hint"}


def test_an_empty_library_lists_nothing_and_says_what_to_do(founded: Path) -> None:
    assert "no findings yet" in darklantern("library", "findings", *at(founded, "beacon")).stdout
    assert json.loads(darklantern("library", "findings", *at(founded, "beacon"), "--json").stdout) == []


def test_a_bundle_goes_out_and_in_and_twice_changes_nothing(founded: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "x.bundle"
    assert (
        darklantern("library", "export", at(founded, "aurora")[0], str(bundle), *at(founded, "aurora")[1:]).returncode
        == 0
    )
    for expected in (True, False):
        done = darklantern(
            "library", "import", at(founded, "beacon")[0], str(bundle), *at(founded, "beacon")[1:], "--json"
        )
        assert done.returncode == 0, done.stderr
        assert bool(json.loads(done.stdout)["entries"]) is expected
    assert "is whole" in darklantern("library", "check", *at(founded, "beacon")).stdout


def test_no_passphrase_can_be_given_as_an_argument() -> None:
    shown = darklantern("library", "findings", "--help").stdout
    assert "--passphrase-file" in shown
    assert "--passphrase " not in shown


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc and prctl")
def test_a_process_that_holds_keys_leaves_no_core_and_cannot_be_read() -> None:
    code = (
        "import resource; from darklantern.cli.hardening import keep_secrets_in_memory as keep; keep()\n"
        "import ctypes; print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, 0) 0"
