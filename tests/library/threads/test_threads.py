"""Threads between two libraries: what is said, done and taken back, by honest programs and by others."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from network.world import person

from darklantern.errors import DarkLanternError, RefusedError, SealError, StoreError
from darklantern.library import Library, Thread
from darklantern.library.sharing import share_posting
from darklantern.network import new_terms
from darklantern.network.items import Posting
from darklantern.records.posts import Content, Mention, Post, Reaction, Retraction, Revision
from library.carried import carried, exported, imported
from library.meeting import met
from library.orgs import CANARY, Orgs, every_byte_of, found_circle, founded, library, reopened, share


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    share(orgs)
    orgs.to_beacon()
    yield orgs
    orgs.close()


def item_of(orgs: Orgs) -> str:
    return orgs.aurora.findings.listed()[0].id


def sealed_by(orgs: Orgs, who: Library, content: Content, circle: str | None = None) -> str:
    """A record that an honest library would have refused to seal, in the log all the same."""
    said = Posting(content=content)
    state, entry, pieces = share_posting(who._desk.state, said, circle or orgs.circle, "V2", orgs.clock.now)
    who._desk.step(state, pieces)
    return entry


def both(orgs: Orgs) -> None:
    orgs.to_aurora()
    orgs.to_beacon()


def shape(thread: Thread) -> list[tuple[str | None, int]]:
    return [(post.text, post.depth) for post in thread.posts]


def test_a_thread_about_no_finding_from_its_title_to_its_end(orgs: Orgs) -> None:
    topic = orgs.beacon.threads.begin("evals", "How do we name runs?", "By date?", mentions=[("Aurora", "ada")])
    both(orgs)
    answer = orgs.aurora.threads.reply(topic, f"By seed, says the {CANARY}.")
    orgs.aurora.threads.react(topic, "❤")
    side = orgs.aurora.threads.post(topic, "And models?")
    both(orgs)
    orgs.beacon.threads.revise(topic, "By date, or by seed?")
    orgs.beacon.threads.reply(answer, "Fine.")
    both(orgs)
    for who in (orgs.aurora, orgs.beacon):
        thread = who.threads.open(topic)
        assert (thread.title, thread.circle, thread.about_item) == ("How do we name runs?", orgs.circle, False)
        assert shape(thread) == [
            ("By date, or by seed?", 0),
            (f"By seed, says the {CANARY}.", 1),
            ("Fine.", 2),
            ("And models?", 0),
        ]
        first = thread.posts[0]
        assert [version.text for version in first.versions] == ["By date?"]
        assert [(each.emoji, [str(who) for who in each.people]) for each in first.reactions] == [
            ("❤️", ["Dr ada (Aurora)"])
        ]
        assert first.mentions == (Mention(org="Aurora", person="ada"),)
        assert thread.ignored == thread.unreadable == () and who.care.verify() == ()
        assert [(each.title, each.posts) for each in who.threads.listed() if not each.about_item] == [
            ("How do we name runs?", 4)
        ]
    orgs.aurora.threads.retract(side)
    orgs.beacon.threads.retract(topic)
    both(orgs)
    for who in (orgs.aurora, orgs.beacon):
        thread = who.threads.open(topic)
        assert thread.title is None
        assert shape(thread) == [(None, 0), (f"By seed, says the {CANARY}.", 1), ("Fine.", 2), (None, 0)]
    for word in (CANARY, "name runs", "by seed", "❤"):
        assert word.encode() not in every_byte_of(orgs.folder)


def test_what_would_count_for_nothing_is_refused_before_it_is_sealed(orgs: Orgs) -> None:
    item = item_of(orgs)
    mine, theirs = orgs.beacon.threads.post(item, "mine"), orgs.aurora.threads.post(item, "theirs")
    both(orgs)
    gone, liked = orgs.beacon.threads.post(item, "gone"), orgs.beacon.threads.react(theirs, "👍")
    orgs.beacon.threads.retract(gone)
    before = every_byte_of(orgs.folder / "beacon")
    beacon, nowhere = orgs.beacon, "7" * 64
    for ask, reason in {
        (lambda: beacon.threads.revise(theirs, "forged")): "somebody else's",
        (lambda: beacon.threads.retract(theirs)): "somebody else's",
        (lambda: beacon.threads.react(theirs, "👍")): "the same emoji there already",
        (lambda: beacon.threads.react(theirs, "🎉", remove=True)): "no such emoji of this person",
        (lambda: beacon.threads.react(theirs, "👍👍")): "expected one emoji",
        (lambda: beacon.threads.react(gone, "👍")): "taken back",
        (lambda: beacon.threads.revise(gone, "again")): "taken back",
        (lambda: beacon.threads.retract(gone)): "taken back",
        (lambda: beacon.threads.reply(gone, "to what?")): "taken back",
        (lambda: beacon.threads.reply(liked, "to an emoji?")): "is no post but something done to one",
        (lambda: beacon.threads.revise(liked, "an emoji?")): "could be about",
        (lambda: beacon.threads.react(nowhere, "👍")): "it is not in this library",
        (lambda: beacon.threads.reply(nowhere, "hello")): "it is not in this library",
        (lambda: beacon.threads.post(nowhere, "hello")): "it is not in this library",
        (lambda: beacon.threads.post(mine, "under a post")): f"is no thread, but in thread {item}",
        (lambda: beacon.threads.open(mine)): f"is no thread, but in thread {item}",
        (lambda: beacon.threads.post(item, "")): "expected a text of 1 to 1,000,000 characters, got 0",
        (lambda: beacon.threads.post(item, "x" * 1_000_001)): "got 1,000,001",
        (lambda: beacon.threads.begin("evals", "x" * 201, "hello")): "expected a title of 1 to 200",
        (lambda: beacon.threads.begin("evil", "x", "hello")): "no circle known here by the name",
        (lambda: beacon.threads.post(item, "@al", mentions=[("Aurora", "al")])): "is not a member of the circle",
        (lambda: beacon.threads.post(item, "@x", mentions=[("Nowhere", "x")])): "is not a member of the circle",
    }.items():
        with pytest.raises(RefusedError, match=re.escape(reason)):
            ask()
    assert every_byte_of(orgs.folder / "beacon") == before


def test_what_another_program_seals_counts_for_nothing_and_is_listed(orgs: Orgs) -> None:
    item, one = item_of(orgs), "7" * 64
    post = orgs.aurora.threads.post(item, "hello")
    orgs.to_beacon()
    seal = lambda content: sealed_by(orgs, orgs.beacon, content)  # noqa: E731
    seal(Revision(thread=item, post=post, text="forged"))
    seal(Retraction(thread=item, post=post))
    seal(Reaction(thread=item, post=post, emoji="<script>", action="add"))
    seal(Reaction(thread=item, post=one, emoji="👍", action="add"))
    stray = seal(Post(thread=one, text="about what is not here"))
    both(orgs)
    for who in (orgs.aurora, orgs.beacon):
        thread = who.threads.open(item)
        assert shape(thread) == [("hello", 0)]
        assert [(each.what, each.reason) for each in thread.ignored] == [
            ("revision", "the post is somebody else's"),
            ("retraction", "the post is somebody else's"),
            ("reaction", "it is not one emoji that this program knows"),
            ("reaction", "no post that it could be about is before it"),
        ]
        (lost,) = (each for each in who.threads.listed() if each.id == one)
        assert (lost.title, lost.about_item, lost.posts) == (None, False, 1)
        assert [each.id for each in who.threads.open(one).posts] == [stray]
        with pytest.raises(RefusedError, match="begins with what is not here"):
            who.threads.post(one, "at which level?")


def test_p17_what_names_a_thread_of_another_circle_counts_for_nothing_there(orgs: Orgs) -> None:
    item = item_of(orgs)
    post = orgs.aurora.threads.post(item, "at V2")
    terms = new_terms("commons", "V2")
    wide = found_circle(orgs.aurora, terms)
    stray = sealed_by(orgs, orgs.aurora, Post(thread=item, reply_to=post, text="from another circle"), wide)
    sealed_by(orgs, orgs.aurora, Reaction(thread=item, post=post, emoji="👍", action="add"), wide)
    orgs.to_beacon()
    for who in (orgs.aurora, orgs.beacon):
        thread = who.threads.open(item)
        assert shape(thread) == [("at V2", 0)] and thread.posts[0].reactions == ()
        assert [(each.what, each.reason) for each in thread.ignored] == [
            ("post", "it is in another circle than the thread"),
            ("reaction", "it is in another circle than the thread"),
        ]
    assert orgs.beacon.threads.unread() == {item: 1}
    for ask in (lambda: orgs.aurora.threads.reply(stray, "x"), lambda: orgs.aurora.threads.revise(stray, "x")):
        with pytest.raises(RefusedError, match="counts for nothing there"):
            ask()


def test_p10_what_a_dropped_device_says_after_its_last_record_counts_no_longer(orgs: Orgs) -> None:
    item = item_of(orgs)
    post = orgs.beacon.threads.post(item, "in time")
    both(orgs)
    orgs.beacon.threads.revise(post, "too late")
    orgs.beacon.threads.react(post, "👍")
    late = orgs.beacon.threads.post(item, "too late")
    assert shape(orgs.beacon.threads.open(item)) == [("too late", 0), ("too late", 0)]
    orgs.manifest("Beacon", person("bea"), revoked=("bo",))
    orgs.aurora.members.rotate("evals")
    orgs.to_beacon()
    for who in (orgs.aurora, orgs.beacon):
        thread = who.threads.open(item)
        assert shape(thread) == [("in time", 0)]
        assert (thread.posts[0].versions, thread.posts[0].reactions) == ((), ())
    with pytest.raises(RefusedError):
        orgs.beacon.threads.react(late, "👍")


def test_any_device_of_a_person_revises_and_takes_back_what_the_person_wrote(orgs: Orgs) -> None:
    item = item_of(orgs)
    post = orgs.aurora.threads.post(item, "from the laptop")
    orgs.manifest("Aurora", person("ada", "ada", "phone"), person("al"))
    orgs.aurora.members.rotate("evals")
    with library(orgs.folder / "phone", "phone", orgs.clock) as phone:
        carried(orgs.aurora, phone)
        phone.threads.revise(post, "from the phone")
        orgs.aurora.threads.react(post, "👍")
        carried(phone, orgs.aurora)
        assert orgs.aurora.threads.open(item).posts[0].text == "from the phone"
        carried(orgs.aurora, phone)
        with pytest.raises(RefusedError, match="the same emoji there already"):
            phone.threads.react(post, "👍")
        phone.threads.react(post, "👍", remove=True)
        assert phone.threads.open(item).posts[0].reactions == () and phone.threads.unread() == {}
        phone.threads.retract(post)
        carried(phone, orgs.aurora)
    assert orgs.aurora.threads.open(item).posts[0].text is None


def test_p16_bundles_in_any_order_and_an_index_made_anew_give_the_same_threads(orgs: Orgs) -> None:
    item = item_of(orgs)
    bundles = []
    post = orgs.aurora.threads.post(item, "one")
    for step in (
        lambda: orgs.aurora.threads.reply(post, "two"),
        lambda: orgs.aurora.threads.revise(post, "one, better"),
        lambda: orgs.aurora.threads.react(post, "🎉"),
        lambda: orgs.aurora.threads.begin("evals", "three", "beside it"),
        lambda: orgs.aurora.threads.react(post, "🎉", remove=True),
    ):
        step()
        bundles.append(exported(orgs.aurora))
    with library(orgs.folder / "late", "bo", orgs.clock) as late:
        for bundle in bundles:
            imported(orgs.beacon, bundle)
        imported(late, bundles[-1])
        threads = [each.id for each in orgs.aurora.threads.listed()]
        assert len(threads) == 2
        for each in threads:
            assert orgs.beacon.threads.open(each) == late.threads.open(each)
            seen = [replace(found, unread=False) for found in late.threads.open(each).posts]
            assert list(orgs.aurora.threads.open(each).posts) == seen
        assert orgs.beacon.threads.listed() == late.threads.listed()
    before = [orgs.beacon.threads.open(each) for each in threads]
    orgs.beacon._desk.vault.database._connection.execute("DELETE FROM local")  # as a store of version 2 comes
    orgs.beacon.close()
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
    assert [orgs.beacon.threads.open(each) for each in threads] == before


def test_a_record_whose_pieces_come_later_is_listed_until_then(orgs: Orgs) -> None:
    item = item_of(orgs)
    orgs.beacon.threads.mark_read(item)
    early = orgs.aurora.threads.post(item, "its piece comes later")
    held = {path: path.read_bytes() for path in (orgs.folder / "aurora" / "blobs").glob("??/*")}
    for name in orgs.aurora.view.circle(orgs.circle).entries[early].body.pieces:
        (orgs.folder / "aurora" / "blobs" / name[:2] / name).unlink()
    late = orgs.aurora.threads.reply(orgs.aurora.threads.post(item, "here"), "here too")
    orgs.to_beacon()
    thread = orgs.beacon.threads.open(item)
    assert shape(thread) == [("here", 0), ("here too", 1)]
    (missing,) = thread.unreadable
    assert missing.id == early and "its pieces are not all here" in missing.reason
    with pytest.raises(RefusedError, match="its pieces are not all here"):
        orgs.beacon.threads.react(early, "👍")
    orgs.beacon.threads.mark_read(item)
    assert orgs.beacon.threads.unread() == {}
    for path, data in held.items():
        path.write_bytes(data)
    orgs.to_beacon()
    thread = orgs.beacon.threads.open(item)
    assert shape(thread) == [("its piece comes later", 0), ("here", 0), ("here too", 1)]
    assert thread.unreadable == () and [post.id for post in thread.posts if post.unread] == [early], (
        "the log has it first"
    )
    orgs.beacon.threads.mark_read(item)
    assert orgs.beacon.threads.unread() == {} and orgs.beacon.threads.open(item).posts[-1].id == late


def test_a_record_that_does_not_open_is_listed_and_tried_once(orgs: Orgs) -> None:
    item = item_of(orgs)
    entry = sealed_by(orgs, orgs.beacon, Post(thread=item, text="at V2"))
    state, closed, pieces = share_posting(
        orgs.beacon._desk.state, Posting(content=Post(thread=item, text="at V3")), orgs.circle, "V3", orgs.clock.now
    )
    orgs.beacon._desk.step(state, pieces)
    both(orgs)
    for who in (orgs.aurora, orgs.beacon):
        thread = who.threads.open(item)
        assert [post.id for post in thread.posts] == [entry]
        (shut,) = thread.unreadable
        assert shut.id == closed and "it is at V3" in shut.reason
        assert who._desk.state.threads.problems.keys() == {closed}
        assert any(closed in str(problem) for problem in who.care.verify())


def test_a_thread_costs_opening_its_own_records_and_no_other(orgs: Orgs) -> None:
    item = item_of(orgs)
    other = orgs.aurora.threads.begin("evals", "another", "text")
    for n in range(12):
        orgs.aurora.threads.post(other, f"{n}")
    mine = [orgs.aurora.threads.post(item, "a"), orgs.aurora.threads.post(item, "b")]
    mine.append(orgs.aurora.threads.react(mine[0], "👍"))
    fetched, fetch = [], orgs.aurora._desk.fetch

    def counting(names):
        names = list(names)
        fetched.extend(names)
        return fetch(names)

    orgs.aurora._desk.fetch = counting  # type: ignore[method-assign]
    orgs.aurora.threads.open(item)
    entries = orgs.aurora.view.circle(orgs.circle).entries
    assert set(fetched) == {name for entry in (item, *mine) for name in entries[entry].body.pieces}
    fetched.clear()
    (newest,) = orgs.aurora.threads.listed(limit=1)
    assert newest.id == max((item, other)) and len(set(fetched)) == 1, "its title"
    assert [each.id for each in orgs.aurora.threads.listed(about_items=False)] == [other]
    fetched.clear()
    orgs.aurora.threads.unread(), orgs.aurora.threads.notifications()
    assert fetched == [], "counting opens nothing"
    orgs.aurora.threads.react(mine[1], "👍")
    assert not {name for post in (other, mine[0]) for name in entries[post].body.pieces} & set(fetched)


def test_what_waits_is_in_the_thread_at_once_and_stays_there_when_it_is_in_the_log(orgs: Orgs) -> None:
    item = item_of(orgs)
    post = orgs.beacon.threads.post(item, "waiting")
    orgs.beacon.threads.revise(post, "waiting, revised")
    orgs.aurora.threads.post(item, "first in the log")
    assert [(each.text, each.pending) for each in orgs.beacon.threads.open(item).posts] == [("waiting, revised", True)]
    orgs.to_beacon()
    assert shape(orgs.beacon.threads.open(item)) == [("first in the log", 0), ("waiting, revised", 0)]
    both(orgs)
    for who in (orgs.aurora, orgs.beacon):
        assert [(each.text, each.pending) for each in who.threads.open(item).posts] == [
            ("first in the log", False),
            ("waiting, revised", False),
        ]


# Attachments


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "notes.txt"
    path.parent.mkdir()
    path.write_text(f"the {CANARY} in a file\n" * 10)
    return path


def test_an_attachment_travels_sealed_and_comes_out_whole(orgs: Orgs, file: Path) -> None:
    seen: list[tuple[int, int]] = []
    attached = orgs.aurora.threads.attach(
        file, media="text/plain", progress=lambda done, size: seen.append((done, size))
    )
    assert seen == [(file.stat().st_size,) * 2]
    post = orgs.aurora.threads.post(item_of(orgs), "see there", attachments=[attached])
    orgs.to_beacon()
    (named,) = orgs.beacon.threads.open(item_of(orgs)).posts[0].attachments
    assert (named.name, named.media, named.size) == ("notes.txt", "text/plain", file.stat().st_size)
    out = file.parent / "copy.txt"
    orgs.beacon.threads.open_attachment(post, named.sha256).write(out)
    assert out.read_bytes() == file.read_bytes()
    with pytest.raises(StoreError, match="is there already"):
        orgs.beacon.threads.open_attachment(post, named.sha256).write(out)
    with pytest.raises(RefusedError, match="no attachment"):
        orgs.beacon.threads.open_attachment(post, "7" * 64)
    inside = every_byte_of(orgs.folder / "aurora") + every_byte_of(orgs.folder / "beacon")
    assert CANARY.encode() not in inside and b"notes.txt" not in inside
    orgs.aurora.threads.retract(post)
    orgs.to_beacon()
    assert orgs.beacon.threads.open(item_of(orgs)).posts[0].attachments == ()
    with pytest.raises(RefusedError, match="was taken back"):
        orgs.beacon.threads.open_attachment(post, named.sha256)


def test_one_sealing_of_a_file_is_never_under_two_posts(orgs: Orgs, file: Path) -> None:
    item = item_of(orgs)
    attached = orgs.aurora.threads.attach(file)
    with pytest.raises(RefusedError, match="attached twice"):
        orgs.aurora.threads.post(item, "twice", attachments=[attached, attached])
    orgs.aurora.threads.post(item, "once", attachments=[attached])
    with pytest.raises(RefusedError, match="in another post already"):
        orgs.aurora.threads.post(item, "again", attachments=[attached])
    again = orgs.aurora.threads.attach(file)
    assert not set(again.artifact.pieces) & set(attached.artifact.pieces)
    orgs.aurora.findings.give_up(again.attachment.sha256)
    with pytest.raises(RefusedError, match="or was given up"):
        orgs.aurora.threads.post(item, "given up", attachments=[again])
    assert orgs.aurora.care.verify() == ()


def test_a_damaged_attachment_never_comes_out_as_if_it_were_whole(orgs: Orgs, file: Path) -> None:
    attached = orgs.aurora.threads.attach(file)
    post = orgs.aurora.threads.post(item_of(orgs), "see there", attachments=[attached])
    name = attached.artifact.pieces[-1]
    path = orgs.folder / "aurora" / "blobs" / name[:2] / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SealError, match="altered"):
        orgs.aurora.threads.open_attachment(post, attached.attachment.sha256).write(file.parent / "out")
    assert not (file.parent / "out").exists()


def test_a_file_that_no_post_can_name_is_refused(orgs: Orgs, file: Path) -> None:
    for change in (
        {"name": "x" * 201},
        {"media": "TEXT/HTML; charset=x"},
        {"media": "text/\nplain"},
        {"name": "\ud800"},
    ):
        with pytest.raises(RefusedError, match="expected a name of 1 to 200 characters and a media type"):
            orgs.aurora.threads.attach(file, **change)
    with pytest.raises(StoreError, match="cannot read"):
        orgs.aurora.threads.attach(file.parent)
    with pytest.raises(DarkLanternError):
        orgs.aurora.threads.attach(file.parent / "none")


# What was read


def test_reading_is_noted_on_this_device_alone(orgs: Orgs) -> None:
    item = item_of(orgs)
    first, second, third = (orgs.aurora.threads.post(item, text) for text in ("one", "two", "three"))
    orgs.aurora.threads.revise(first, "one, revised")
    orgs.beacon.threads.post(item, "mine")
    orgs.to_beacon()
    assert orgs.beacon.threads.unread() == {item: 3} and orgs.aurora.threads.unread() == {}
    assert orgs.beacon.threads.open(item).unread == 3
    orgs.beacon.threads.mark_read(item, second)
    assert [post.unread for post in orgs.beacon.threads.open(item).posts] == [False, False, True, False]
    orgs.beacon.threads.mark_read(item, first)
    assert orgs.beacon.threads.unread() == {item: 1}, "what was read stays read"
    orgs.beacon.close()
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
    assert orgs.beacon.threads.unread() == {item: 1}
    orgs.beacon.threads.mark_read(item)
    orgs.aurora.threads.retract(orgs.aurora.threads.post(item, "regretted"))
    orgs.to_beacon()
    assert orgs.beacon.threads.unread() == {}, "what was taken back need not be read"
    orgs.aurora.threads.post(item, "after all")
    orgs.to_beacon()
    assert orgs.beacon.threads.unread() == {item: 1}
    orgs.beacon.threads.mark_all_read()
    assert orgs.beacon.threads.unread() == {} and orgs.beacon.threads.notifications() == ()
    with pytest.raises(RefusedError, match="has no post"):
        orgs.beacon.threads.mark_read(item, "7" * 64)
    with pytest.raises(RefusedError, match="it is not in this library"):
        orgs.beacon.threads.mark_read("7" * 64)
    assert third in {post.id for post in orgs.beacon.threads.open(item).posts}


# Searching


def test_a_search_finds_what_a_post_says_now_and_the_thread_that_it_is_in(orgs: Orgs) -> None:
    topic = orgs.aurora.threads.begin("evals", "Naming runs", "by zebra")
    post = orgs.aurora.threads.post(topic, "by aardvark")
    find = lambda word: [(hit.id, hit.item) for hit in orgs.beacon.search(word)]  # noqa: E731
    orgs.to_beacon()
    assert find("naming") == find("zebra") == [(topic, topic)] and find("aardvark") == [(post, topic)]
    orgs.aurora.threads.revise(post, "by buffalo")
    orgs.to_beacon()
    assert find("aardvark") == [] and find("buffalo") == [(post, topic)]
    sealed_by(orgs, orgs.beacon, Revision(thread=topic, post=post, text="by crocodile"))
    assert find("crocodile") == [] and find("buffalo") == [(post, topic)]
    orgs.aurora.threads.retract(post)
    orgs.to_beacon()
    assert find("buffalo") == []
    orgs.beacon.care.reindex()
    assert find("buffalo") == find("crocodile") == find("aardvark") == [] and find("zebra") == [(topic, topic)]


# What the logs have overtaken


def test_what_was_said_under_an_epoch_that_lost_is_said_again_about_the_same_posts(orgs: Orgs, file: Path) -> None:
    """Sealed again, each has another id, and names the others by theirs."""
    item = item_of(orgs)
    theirs = orgs.aurora.threads.post(item, "theirs")
    orgs.to_beacon()
    orgs.manifest("Aurora", person("ada"), person("al"), person("abe"))
    orgs.to_beacon()
    orgs.aurora.members.rotate("evals")
    orgs.beacon.members.rotate("evals")
    begun = orgs.beacon.threads.begin(
        "evals", "Begun too early", "text", attachments=[orgs.beacon.threads.attach(file)]
    )
    mine = orgs.beacon.threads.reply(begun, "an answer")
    orgs.beacon.threads.revise(mine, "an answer, revised")
    orgs.beacon.threads.react(begun, "🎉")
    orgs.beacon.threads.react(theirs, "👍")
    orgs.beacon.threads.retract(orgs.beacon.threads.post(item, "regretted"))
    both(orgs)
    both(orgs)
    assert orgs.beacon.pending == ()
    for who in (orgs.aurora, orgs.beacon):
        (topic,) = (each.id for each in who.threads.listed() if not each.about_item)
        assert topic != begun
        thread = who.threads.open(topic)
        assert shape(thread) == [("text", 0), ("an answer, revised", 1)] and thread.title == "Begun too early"
        assert [each.emoji for each in thread.posts[0].reactions] == ["🎉"]
        (attached,) = thread.posts[0].attachments
        assert b"".join(who.threads.open_attachment(topic, attached.sha256).stream()) == file.read_bytes()
        under_item = who.threads.open(item)
        assert shape(under_item) == [("theirs", 0), (None, 0)]
        assert [each.emoji for each in under_item.posts[0].reactions] == ["👍"]
        assert thread.ignored == under_item.ignored == ()


def test_p16_a_relay_brings_the_same_thread_as_a_bundle_and_sees_no_word_of_it(tmp_path: Path) -> None:
    us = met(tmp_path)
    file = tmp_path / "notes.txt"
    file.write_text(f"the {CANARY}")
    begun = us.aurora.threads.begin("evals", f"About {CANARY}", "text", attachments=[us.aurora.threads.attach(file)])
    us.aurora.relays.sync([us.relay])
    us.beacon.relays.sync([us.relay])
    answer = us.beacon.threads.reply(begun, "an answer")
    us.beacon.threads.react(begun, "🎉")
    us.beacon.relays.sync([us.relay])
    us.aurora.relays.sync([us.relay])
    us.aurora.threads.revise(begun, "text, revised")
    us.aurora.relays.sync([us.relay])
    us.beacon.relays.sync([us.relay])
    with library(tmp_path / "carried", "bo", us.clock) as carried_to:
        imported(carried_to, exported(us.aurora))
        assert us.beacon.threads.open(begun) == carried_to.threads.open(begun)
    for who in (us.aurora, us.beacon):
        thread = who.threads.open(begun)
        assert [(post.id, post.text, post.pending) for post in thread.posts] == [
            (begun, "text, revised", False),
            (answer, "an answer", False),
        ]
        assert [each.emoji for each in thread.posts[0].reactions] == ["🎉"]
        (attached,) = thread.posts[0].attachments
        assert b"".join(who.threads.open_attachment(begun, attached.sha256).stream()) == file.read_bytes()
    seen = b"".join(us.relay.pieces.values()) + b"".join(data for log in us.relay.logs.values() for data in log)
    for word in (CANARY, "an answer", "revised", "🎉", "notes.txt", "reaction"):
        assert word.encode() not in seen
    us.close()


def test_p26_a_post_that_was_buried_is_gone_from_its_thread_and_from_the_index(orgs: Orgs, file: Path) -> None:
    item = item_of(orgs)
    post = orgs.aurora.threads.post(item, "buriedwords", attachments=[orgs.aurora.threads.attach(file)])
    answer = orgs.aurora.threads.reply(post, "an answer")
    orgs.to_beacon()
    orgs.beacon.threads.react(post, "👍")
    both(orgs)
    sha256 = orgs.beacon.threads.open(item).posts[0].attachments[0].sha256
    orgs.aurora.bury(post)
    both(orgs)
    for who in (orgs.aurora, orgs.beacon):
        thread = who.threads.open(item)
        assert [(each.id, each.reply_to, each.depth) for each in thread.posts] == [(answer, post, 0)]
        assert [each.reason for each in thread.ignored] == ["no post that it could be about is before it"]
        assert who.search("buriedwords") == () and post not in who._desk.state.threads.places
        with pytest.raises(RefusedError):
            who.threads.open_attachment(post, sha256)
        with pytest.raises(RefusedError):
            who.threads.react(post, "🎉")
    assert orgs.beacon.threads.unread() == {item: 1}
