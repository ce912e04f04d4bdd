"""The command line as its users meet it: help, errors with hints, JSON."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from library.orgs import artifacts, assessment, finding, share
from library.orgs import founded as founded_in

from cli.here import apart, cheap, ran
from darklantern.cli.app import app
from darklantern.demo import founding, reference_runs
from darklantern.errors import StoreError
from darklantern.stores import open_vault

GROUPS = [[name] for name, each in typer.main.get_command(app).commands.items() if hasattr(each, "commands")]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two libraries of one network. Aurora's holds a finding."""
    folder = tmp_path_factory.mktemp("founded")
    with cheap():
        orgs = founding.found(folder)
    what = finding()
    orgs.aurora.findings.share(what, artifacts(), circle=founding.CIRCLE, assessment=assessment(what))
    orgs.close()
    return folder


def at(founded: Path, who: str) -> list[str]:
    return ["--library", str(founded / who), "--passphrase-file", str(founded / "passphrases" / who)]


def test_help_lists_each_command_with_a_whole_sentence() -> None:
    shown = apart("--help").stdout
    assert "demo" in shown and "watch" in shown and "library" in shown and "page" in shown and "rerun" in shown
    assert len(GROUPS) > 8
    for words in ([], *GROUPS):
        listed = ran(*words, "--help").stdout.partition("Options:")[2]
        assert "..." not in listed, f"a sentence is cut off: {words}"


def test_every_command_but_the_two_that_serve_prints_json() -> None:
    told = {name for name, each in commands().items() if "--json" not in {o for p in each.params for o in p.opts}}
    assert told == {"page", "relay serve"}


def test_every_option_and_argument_says_what_it_is() -> None:
    for name, each in commands().items():
        assert each.help and each.help.split("\n\n")[0].rstrip().endswith("."), name
        assert not [param.name for param in each.params if not getattr(param, "help", "")], name


def commands() -> dict[str, Any]:
    """Every command by the words that call it."""

    def within(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
        for name, each in group.commands.items():
            if hasattr(each, "commands"):
                yield from within(each, (*words, name))
            else:
                yield " ".join((*words, name)), each

    return dict(within(typer.main.get_command(app)))


def test_the_version_as_text_and_as_json() -> None:
    from darklantern import __version__

    assert apart("version").stdout.strip() == f"darklantern {__version__}"
    assert json.loads(ran("version", "--json").stdout) == {"darklantern": __version__}


OPEN = ["--passphrase-file", "PASS"]
AURORA = ["--library", "AURORA"]
WRONG = {
    "a folder that is not there": (["finding", "list", "--library", "nowhere", *OPEN], "header.json"),
    "a folder above the library": (["finding", "list", "--library", "FOUNDED", *OPEN], "`darklantern device new`"),
    "a file in place of a library": (["finding", "list", "--library", "EMPTY", *OPEN], "header.json"),
    "a passphrase file that is not there": (["finding", "list", *AURORA, "--passphrase-file", "no"], "check"),
    "a folder as a passphrase file": (["finding", "list", *AURORA, "--passphrase-file", "MINE"], "check the path"),
    "an empty passphrase file": (["finding", "list", *AURORA, "--passphrase-file", "EMPTY"], "right file"),
    "a passphrase file of noise": (["finding", "list", *AURORA, "--passphrase-file", "NOISE"], "right file"),
    "no passphrase and no terminal": (["finding", "list", *AURORA], "--passphrase-file"),
    "the wrong passphrase": (["page", *AURORA, "--passphrase-file", "OTHER"], "Caps Lock"),
    "a bundle that is not there": (["bundle", "import", *AURORA, "nowhere", *OPEN], "check the path"),
    "a bundle that is none": (["bundle", "import", *AURORA, "PASS", *OPEN], "copy it again"),
    "an empty bundle": (["bundle", "import", *AURORA, "EMPTY", *OPEN], "copy it again"),
    "a folder as a bundle": (["bundle", "import", *AURORA, "MINE", *OPEN], "check the path"),
    "a bundle onto a folder": (["bundle", "export", *AURORA, "MINE", *OPEN], "for example"),
    "a bundle into no folder": (["bundle", "export", *AURORA, "MINE/no/x", *OPEN], "make it"),
    "an item that is not there": (["rerun", *AURORA, "xyz", *OPEN], "copy the id"),
    "no item": (["thread", "show", *AURORA, "", *OPEN], "copy the id"),
    "a folder of one's own as --out": (["demo", "--out", "MINE"], "another folder"),
    "a file as --out": (["demo", "--out", "EMPTY"], "another folder"),
    "a file as the folder of runs": (["watch", "calibrate", "--runs", "EMPTY", "--out", "MINE/x"], "--runs"),
    "references into no folder": (["watch", "calibrate", "--runs", "MINE", "--out", "MINE/no/x"], "make it"),
}
OF_PROCESSES = ("no passphrase and no terminal", "the wrong passphrase", "a folder of one's own as --out")


@pytest.mark.parametrize("what", WRONG)
def test_each_error_has_a_hint_that_helps_and_no_traceback(what: str, founded: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").touch()
    (tmp_path / "empty").touch()
    (tmp_path / "noise").write_bytes(bytes(range(128, 256)))
    names = {
        "FOUNDED": founded,
        "AURORA": founded / "aurora",
        "PASS": founded / "passphrases" / "aurora",
        "OTHER": founded / "passphrases" / "beacon",
        "MINE": mine,
        "MINE/x": mine / "x",
        "MINE/no/x": mine / "no" / "x",
        "EMPTY": tmp_path / "empty",
        "NOISE": tmp_path / "noise",
    }
    words, helps = WRONG[what]
    run = apart if what in OF_PROCESSES else ran
    done = run(*[str(names.get(word, word)) for word in words])
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert helps in done.stderr.partition("\nhint:  ")[2]
    assert "Traceback" not in done.stderr
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]


def test_the_library_is_named_by_an_option_a_variable_or_not_at_all(founded: Path, tmp_path: Path) -> None:
    """The option wins over the variable, the variable over the place in the data folder."""
    option, secret = at(founded, "aurora")[:2], at(founded, "aurora")[2:]
    default = tmp_path / "data" / "darklantern" / "library"
    shutil.copytree(founded / "aurora", default)
    nowhere = {"DARKLANTERN_LIBRARY": str(tmp_path / "nowhere")}
    for words, env in (
        ((*option, *secret), nowhere),
        (secret, {"DARKLANTERN_LIBRARY": str(founded / "aurora")}),
        (secret, {"XDG_DATA_HOME": str(tmp_path / "data")}),
    ):
        done = apart("finding", "list", "--json", *words, env=env)
        assert len(json.loads(done.stdout)) == 1, done.stderr
    done = ran("finding", "list", *secret, env=nowhere)
    assert done.returncode == 1 and str(tmp_path / "nowhere") in done.stderr


def test_a_seed_that_no_generator_takes_is_a_command_written_wrongly(tmp_path: Path) -> None:
    for seed in ("-1", str(2**64)):
        done = ran("demo", "--seed", seed, "--out", str(tmp_path / "out"))
        assert done.returncode == 2 and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("held", ["x", "[]", ""])
def test_a_file_in_place_of_a_reference_run_is_named(held: str, tmp_path: Path) -> None:
    (tmp_path / "1000.json").write_text(held)
    with pytest.raises(StoreError, match=r"1000\.json") as caught:
        reference_runs.collect([1000], tmp_path, 1)
    assert "remove it" in caught.value.hint


def test_two_commands_at_once_on_one_library(founded: Path) -> None:
    folder, passphrase = founded / "aurora", (founded / "passphrases" / "aurora").read_text()
    with open_vault(folder, passphrase):
        done = apart("library", "verify", *at(founded, "aurora"))
    assert done.returncode == 1
    assert f"is open in another program, process {os.getpid()}" in done.stderr
    assert "close it there first" in done.stderr


def test_an_error_as_json(tmp_path: Path) -> None:
    secret = tmp_path / "pass"
    secret.write_text("x")
    done = ran("finding", "list", "--library", str(tmp_path / "none"), "--passphrase-file", str(secret), "--json")
    assert done.returncode == 1
    assert set(json.loads(done.stdout)) == {"error", "hint"}


def test_an_empty_library_lists_nothing_and_says_what_to_do(founded: Path) -> None:
    assert "no findings yet" in ran("finding", "list", *at(founded, "beacon")).stdout
    assert json.loads(ran("finding", "list", *at(founded, "beacon"), "--json").stdout) == []


def test_a_bundle_goes_out_and_in_and_twice_changes_nothing(founded: Path, tmp_path: Path) -> None:
    bundle, beacon = str(tmp_path / "x.bundle"), tmp_path / "beacon"
    shutil.copytree(founded / "beacon", beacon)
    assert ran("bundle", "export", bundle, *at(founded, "aurora")).returncode == 0
    here = ["--library", str(beacon), *at(founded, "beacon")[2:]]
    done = ran("bundle", "import", bundle, *here, "--json")
    assert done.returncode == 0 and len(json.loads(done.stdout)["carried"]) == 2, done.stderr
    again = ran("bundle", "import", bundle, *here)
    assert again.stdout == "nothing new: this library had all of it\n"
    assert "is whole" in ran("library", "verify", *here).stdout


def test_no_passphrase_can_be_given_as_an_argument() -> None:
    shown = ran("finding", "list", "--help").stdout
    assert "--passphrase-file" in shown
    assert "--passphrase " not in shown


def test_export_and_check_as_json(founded: Path, tmp_path: Path) -> None:
    here, bundle = at(founded, "aurora"), tmp_path / "x.bundle"
    done = ran("bundle", "export", str(bundle), *here, "--json")
    assert json.loads(done.stdout) == {"bundle": str(bundle), "bytes": bundle.stat().st_size, "lacking": []}
    assert json.loads(ran("library", "verify", *here, "--json").stdout) == {"problems": []}


def test_an_import_says_what_is_missing_and_what_is_later_than_the_clock(tmp_path: Path) -> None:
    orgs = founded_in(tmp_path)
    share(orgs)
    for piece in (tmp_path / "aurora" / "blobs").glob("??/*"):
        piece.unlink()
    orgs.clock.now = int(time.time()) + 10 * 24 * 3600
    orgs.aurora.bundles.export_to(tmp_path / "bundle")
    orgs.close()
    (tmp_path / "passphrase").write_text("passphrase of bo")
    beacon = ["--library", str(tmp_path / "beacon"), "--passphrase-file", str(tmp_path / "passphrase")]

    refused = ran("bundle", "import", str(tmp_path / "bundle"), *beacon)
    assert refused.returncode == 1 and "more than a day after" in refused.stderr
    hint = refused.stderr.partition("hint:  ")[2]
    assert "--allow-clock-jump" in hint and "allow_clock_jump=True" in hint
    done = ran("bundle", "import", str(tmp_path / "bundle"), *beacon, "--allow-clock-jump")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("missing: piece ") == 2
    problems = ran("library", "verify", *beacon, "--json")
    assert problems.returncode == 1 and len(json.loads(problems.stdout)["problems"]) >= 2


def test_an_import_tells_all_that_it_reports(capsys: pytest.CaptureFixture[str]) -> None:
    from darklantern.cli.imported_text import told
    from darklantern.library import Imported

    reported = Imported(missing=("p" * 64,), skipped=("l" * 64,), problems=("a seed",), refused=(("r" * 64, "a rule"),))
    lines = "\n".join(told(reported))
    for each in ("missing: piece " + "p" * 64, "skipped: log " + "l" * 64, "a seed", "not appended: a rule"):
        assert each in lines


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc and prctl")
def test_a_process_that_holds_keys_leaves_no_core_and_cannot_be_read() -> None:
    code = (
        "import resource; from darklantern.cli.hardening import keep_secrets_in_memory as keep; keep()\n"
        "import ctypes; print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, 0) 0"
