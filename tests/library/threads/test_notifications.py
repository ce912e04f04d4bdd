"""What there is to look at: whom it reaches, when it goes away, and that it says nothing of what was shared."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from network.world import person

from darklantern.errors import RefusedError, StoreError
from darklantern.library import Library
from darklantern.library.sharing import share_posting
from darklantern.library.threads import announcing
from darklantern.library.threads.notifications import KINDS, summary
from darklantern.network.items import Posting
from darklantern.records.posts import Mention, Post
from library.orgs import CANARY, Orgs, founded, reopened, share

BO, ADA = ("Beacon", "bo"), ("Aurora", "ada")


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def kinds(library: Library, **how: bool) -> list[str]:
    return [each.kind for each in library.threads.notifications(**how)]


def test_each_kind_reaches_whom_it_concerns_and_goes_when_it_is_read(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    (new,) = orgs.beacon.threads.notifications()
    assert (new.kind, new.id, new.thread, new.log, str(new.author)) == (
        "item",
        item,
        item,
        orgs.circle,
        "Dr ada (Aurora)",
    )
    orgs.aurora.threads.post(item, "to nobody in particular")
    orgs.to_beacon()
    assert kinds(orgs.beacon) == ["item"], "beacon takes no part in that thread"
    mine = orgs.beacon.threads.post(item, "a question")
    assert kinds(orgs.beacon) == ["item", "post"]
    orgs.to_aurora()
    assert kinds(orgs.aurora) == ["post"], "it is about aurora's own finding"
    orgs.aurora.threads.reply(mine, "an answer")
    orgs.aurora.threads.post(item, "@bo, look", mentions=[BO])
    orgs.aurora.threads.begin("evals", "Something else", "hello")
    orgs.to_beacon()
    assert kinds(orgs.beacon) == ["mention", "reply", "item", "thread", "post"]
    assert orgs.beacon.threads.open(item).posts[-1].mentions[0].person == "bo"
    orgs.beacon.threads.mark_read(item)
    assert kinds(orgs.beacon) == ["thread"]
    orgs.beacon.threads.mark_all_read()
    assert kinds(orgs.beacon) == [] == kinds(orgs.beacon, untold=True)


def test_what_was_taken_back_and_what_one_wrote_oneself_is_no_news(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.aurora.threads.post(item, "@ada", mentions=[ADA])
    regretted = orgs.aurora.threads.post(item, "@bo", mentions=[BO])
    orgs.aurora.threads.retract(regretted)
    orgs.to_beacon()
    assert kinds(orgs.aurora) == [] and kinds(orgs.beacon) == ["item"]


def test_a_mention_of_a_namesake_elsewhere_is_not_ones_own(orgs: Orgs) -> None:
    """A program that does not check can name anybody."""
    item = share(orgs)
    said = Posting(content=Post(thread=item, text="@bo", mentions=(Mention(org="Cairn", person="bo"),)))
    state, _, pieces = share_posting(orgs.aurora._desk.state, said, orgs.circle, "V2", orgs.clock.now)
    orgs.aurora._desk.step(state, pieces)
    orgs.to_beacon()
    assert kinds(orgs.beacon) == ["item"]


def test_rules_make_a_thread_or_a_circle_quiet_and_never_an_alarm(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    topic = orgs.beacon.threads.begin("evals", "Mine", "hello")
    orgs.to_aurora()
    orgs.aurora.threads.post(topic, "a post in a thread of beacon's")
    orgs.aurora.threads.post(item, "@bo", mentions=[BO])
    orgs.to_beacon()
    assert kinds(orgs.beacon) == ["mention", "item", "post"]
    orgs.beacon.threads.quiet(orgs.circle, "mentions")
    assert kinds(orgs.beacon) == ["mention"]
    orgs.beacon.threads.quiet(item, "muted")
    assert kinds(orgs.beacon) == []
    orgs.beacon.threads.quiet(orgs.circle, None)
    assert kinds(orgs.beacon) == ["post"], "the rule for the thread still holds"
    orgs.beacon.close()
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
    assert kinds(orgs.beacon) == ["post"]
    orgs.beacon.threads.quiet(orgs.circle, "muted")
    orgs.manifest("Aurora", person("ada"))
    orgs.manifest("Beacon", person("bo"), person("bea"))
    orgs.aurora.members.rotate("evals")
    orgs.to_beacon()
    assert kinds(orgs.beacon) == []
    with pytest.raises(RefusedError, match="it is not in this library"):
        orgs.beacon.threads.quiet("7" * 64, "muted")


def test_a_removal_is_an_alarm_until_its_log_is_read(orgs: Orgs) -> None:
    orgs.manifest("Aurora", person("ada", "ada", "phone"), person("al"))
    share(orgs)
    orgs.to_beacon()
    orgs.beacon.threads.mark_all_read()
    orgs.beacon.threads.quiet(orgs.circle, "muted")
    orgs.manifest("Aurora", person("ada"), person("al"), revoked=("phone",))
    orgs.aurora.members.rotate("evals")
    orgs.to_beacon()
    (alarm,) = orgs.beacon.threads.notifications()
    assert (alarm.kind, alarm.log, alarm.thread) == ("removal", orgs.circle, None)
    assert orgs.aurora.threads.notifications() == (), "its own act"
    orgs.beacon.threads.mark_read(orgs.circle)
    assert orgs.beacon.threads.notifications() == ()


def test_announcements_count_and_say_no_word_and_come_once(orgs: Orgs, tmp_path: Path) -> None:
    item = share(orgs)
    orgs.aurora.threads.post(item, f"@bo, the {CANARY}", mentions=[BO])
    orgs.to_beacon()
    found = orgs.beacon.threads.notifications(untold=True)
    assert summary(found) == "1 mention, 1 new finding" and summary(found * 2) == "2 mentions, 2 new findings"
    file, program = tmp_path / "news", tmp_path / "program"
    program.write_text(f'#!/bin/sh\ncat > {tmp_path}/given; echo "$#" >> {tmp_path}/given\n')
    program.chmod(0o700)
    announcing.to_file(file, found)
    announcing.to_program(program, found)
    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert told == [{"kind": each.kind, "log": each.log, "thread": each.thread, "id": each.id} for each in found]
    assert (tmp_path / "given").read_text() == file.read_text() + "0\n", "all of it by stdin, no argument"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and CANARY not in file.read_text()
    orgs.beacon.threads.mark_told()
    assert orgs.beacon.threads.notifications(untold=True) == () != orgs.beacon.threads.notifications()
    orgs.aurora.threads.post(item, "@bo again", mentions=[BO])
    orgs.to_beacon()
    assert kinds(orgs.beacon, untold=True) == ["mention"]
    announcing.to_file(file, orgs.beacon.threads.notifications(untold=True))
    assert len(file.read_text().splitlines()) == 3


def test_a_desktop_is_told_how_many_there_are(orgs: Orgs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share(orgs)
    orgs.to_beacon()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert not announcing.on_desktop(orgs.beacon.threads.notifications())
    desktop = tmp_path / "bin" / "notify-send"
    desktop.parent.mkdir()
    desktop.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/shown\n')
    desktop.chmod(0o700)
    monkeypatch.setenv("PATH", f"{desktop.parent}:{os.defpath}")
    assert announcing.on_desktop(orgs.beacon.threads.notifications())
    assert (tmp_path / "shown").read_text() == "--app-name=Dark Lantern\nDark Lantern\n1 new finding\n"


def test_what_cannot_be_told_says_so(orgs: Orgs, tmp_path: Path) -> None:
    share(orgs)
    orgs.to_beacon()
    found = orgs.beacon.threads.notifications()
    program = tmp_path / "program"
    with pytest.raises(StoreError, match="cannot run"):
        announcing.to_program(program, found)
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    with pytest.raises(StoreError, match="ended with status 3"):
        announcing.to_program(program, found)
    with pytest.raises(StoreError, match="cannot write"):
        announcing.to_file(tmp_path / "no" / "folder", found)
    (tmp_path / "elsewhere").symlink_to(tmp_path / "target")
    with pytest.raises(StoreError):
        announcing.to_file(tmp_path / "elsewhere", found)
    assert not (tmp_path / "target").exists()
    assert len(KINDS) == len(set(KINDS)) == 10
