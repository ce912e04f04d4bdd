"""`darklantern thread …` as its users meet it: words by stdin, ids by their beginning, nothing secret in arguments."""

import json
import subprocess
from pathlib import Path

import pytest
from library.orgs import CANARY, Orgs, founded, share

from cli.here import ran


@pytest.fixture
def orgs(tmp_path: Path) -> Orgs:
    """Two libraries that share a finding, closed."""
    orgs = founded(tmp_path)
    share(orgs)
    orgs.to_beacon()
    orgs.close()
    for org, who in (("aurora", "ada"), ("beacon", "bo")):
        (tmp_path / f"{org}.pass").write_text(f"passphrase of {who}")
    return orgs


def darklantern(orgs: Orgs, org: str, command: str, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """`darklantern COMMAND WORDS…` on that org's library."""
    here = ["--library", orgs.folder / org, "--passphrase-file", orgs.folder / f"{org}.pass"]
    return ran(*command.split(), *words, *here, given=given)


def asked(orgs: Orgs, org: str, command: str, *words: str, given: str = ""):
    done = darklantern(orgs, org, command, *words, "--json", given=given)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def said(orgs: Orgs, org: str, command: str, *words: str, given: str = "") -> str:
    done = darklantern(orgs, org, command, *words, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(orgs: Orgs, org: str, command: str, *words: str, given: str = "") -> str:
    done = darklantern(orgs, org, command, *words, given=given)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "\nhint:  " in done.stderr
    return done.stderr


def carry(orgs: Orgs, source: str, target: str) -> str:
    bundle = str(orgs.folder / "bundle")
    said(orgs, source, "bundle export", bundle)
    return said(orgs, target, "bundle import", bundle, "--allow-clock-jump")


def test_a_conversation_from_the_command_line(orgs: Orgs) -> None:
    (item,) = (each["id"] for each in asked(orgs, "aurora", "thread list"))
    text = f"Grüße, @bo.\nThe {CANARY} sings."
    made = asked(orgs, "aurora", "thread post", item[:8], given=text)["post"]
    assert "mentioning bo of Beacon" in said(orgs, "aurora", "thread post", item[:8], given="@bo, once more\n")
    assert "2 mentions" in carry(orgs, "aurora", "beacon")

    shown = said(orgs, "beacon", "thread show", item[:8])
    assert "  Grüße, @bo." in shown and f"{made[:16]}  Dr ada (Aurora)" in shown and "(new)" in shown
    assert "2 new" in said(orgs, "beacon", "thread list")
    assert (
        said(orgs, "beacon", "thread notifications").splitlines()[0].startswith("mention by Dr ada (Aurora), thread ")
    )
    answer = asked(orgs, "beacon", "thread reply", made[:8], given="It does.")["post"]
    asked(orgs, "beacon", "thread react", made[:8], given="❤\n")
    asked(orgs, "beacon", "thread revise", answer[:8], given="It does, twice.")
    assert said(orgs, "beacon", "thread read", item[:8]) == "noted, on this device only\n"
    assert said(orgs, "beacon", "thread list", "--unread") == "nothing unread\n"

    carry(orgs, "beacon", "aurora")
    thread = asked(orgs, "aurora", "thread show", item)
    assert [(post["text"], post["depth"]) for post in thread["posts"]] == [
        (text, 0), ("It does, twice.", 1), ("@bo, once more", 0)
    ]  # fmt: skip
    shown = said(orgs, "aurora", "thread show", item[:8])
    assert "❤️ Dr bo (Beacon)" in shown and "(revised 1 times)" in shown and f"(answers {made[:16]})" in shown

    assert "--yes" in refused(orgs, "aurora", "thread retract", made[:8]), "it asks, and nobody is there"
    asked(orgs, "aurora", "thread retract", made[:8], "--yes")
    assert "  its author took it back" in said(orgs, "aurora", "thread show", item[:8])
    assert "somebody else's" in refused(orgs, "aurora", "thread revise", answer[:8], given="forged")


@pytest.mark.usefixtures("in_processes_of_their_own")
def test_a_thread_of_its_own_with_a_file(orgs: Orgs) -> None:
    (listed,) = asked(orgs, "aurora", "thread list")
    notes = orgs.folder / "notes.txt"
    notes.write_text(f"the {CANARY}")
    begun = asked(
        orgs, "aurora", "thread begin", listed["circle"], "--attach", str(notes), given="How we name runs\n\nBy seed.\n"
    )["thread"]
    carry(orgs, "aurora", "beacon")
    assert "1 post, 1 new  evals: How we name runs" in said(orgs, "beacon", "thread list")
    shown = said(orgs, "beacon", "thread show", begun[:8])
    assert shown.startswith("thread: How we name runs\n") and "text/plain  notes.txt" in shown
    (post,) = asked(orgs, "beacon", "thread show", begun)["posts"]
    (attached,) = post["attachments"]
    out = orgs.folder / "saved.txt"
    said(orgs, "beacon", "thread save", begun[:8], attached["sha256"][:8], "--out", str(out))
    assert out.read_text() == notes.read_text()
    assert "is there already" in refused(
        orgs, "beacon", "thread save", begun[:8], attached["sha256"], "--out", str(out)
    )
    assert "0 begin" in refused(orgs, "beacon", "thread save", begun[:8], "xyz", "-o", str(out) + "2")
    assert "a title in the first line" in refused(orgs, "aurora", "thread begin", listed["circle"], given="no text")


def test_what_is_sealed_is_no_argument(orgs: Orgs) -> None:
    (item,) = (each["id"] for each in asked(orgs, "aurora", "thread list"))
    for command in ("post", "reply", "revise", "react"):
        done = darklantern(orgs, "aurora", f"thread {command}", item, "A secret.")
        assert done.returncode == 2, command
    for empty in ("", " \n\n"):
        assert "--file" in refused(orgs, "aurora", "thread post", item[:8], given=empty)
    (orgs.folder / "noise").write_bytes(b"\xff\xfe")
    assert "UTF-8" in refused(orgs, "aurora", "thread post", item[:8], "--file", str(orgs.folder / "noise"))
    (orgs.folder / "said").write_text("From a file.\n")
    asked(orgs, "aurora", "thread post", item[:8], "--file", str(orgs.folder / "said"))
    assert [post["text"] for post in asked(orgs, "aurora", "thread show", item)["posts"]] == ["From a file."]


def test_announcements_come_once_and_quiet_is_quiet(orgs: Orgs) -> None:
    (item,) = (each["id"] for each in asked(orgs, "beacon", "thread list"))
    news = orgs.folder / "news"
    first = asked(orgs, "beacon", "thread notifications", "--to", str(news))
    assert [each["kind"] for each in first] == ["item"] and len(news.read_text().splitlines()) == 1
    assert asked(orgs, "beacon", "thread notifications", "--to", str(news)) == []
    assert len(asked(orgs, "beacon", "thread notifications")) == 1 and len(news.read_text().splitlines()) == 1
    assert asked(orgs, "beacon", "thread quiet", item[:8]) == {"quiet": item, "rule": "muted"}
    assert said(orgs, "beacon", "thread notifications") == "nothing to look at\n"
    said(orgs, "beacon", "thread quiet", item[:8], "--rule", "all")
    assert len(asked(orgs, "beacon", "thread notifications")) == 1
    assert asked(orgs, "beacon", "thread read", "--all") == {"read": None, "up_to": None}
    assert said(orgs, "beacon", "thread notifications") == "nothing to look at\n"
    assert "expected a thread, or --all" in refused(orgs, "beacon", "thread read")


def test_a_mention_of_nobody_is_said_before_the_text_is_sealed(orgs: Orgs) -> None:
    (item,) = (each["id"] for each in asked(orgs, "aurora", "thread list"))
    slip = darklantern(orgs, "aurora", "thread post", item[:8], given="@boo, @nobody-at-all and @bo, again")
    assert "@boo mentions nobody: did you mean @bo?" in slip.stderr and "mentioning bo of Beacon" in slip.stdout
    assert "@nobody-at-all mentions nobody: no member of the circle is called so" in slip.stderr
