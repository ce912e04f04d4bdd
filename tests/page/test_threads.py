"""Threads as HTML, from values and from a real library; attachments as files to save."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from library.orgs import CANARY, Orgs, founded, share

from darklantern.errors import RefusedError, SealError
from darklantern.page import Author, Post, Reacted, Thread, Topic, home, serve, topic
from darklantern.page.downloads import disposition, held_back
from darklantern.page.reading import OpenLibrary
from darklantern.page.threads import DEEPEST

from .client import owner
from .reading import parsed, text
from .samples import ANSWERS_IN_TOPIC, FILE, NAMED, QUESTION, TOPIC, shelf

ADA, BO = Author("Ada", "North Lab"), Author("Bo", "Harbour Institute")


def test_a_thread_says_who_answers_whom_and_what_was_done_to_each_post() -> None:
    root = parsed(topic(shelf().thread(TOPIC)))
    first, second, gone, last = root.iter("article")
    assert "Revised once; earlier texts" in text(first) and "seed form now on" in text(first)
    assert "880,000 bytes, text/csv" in text(first) and "new" not in text(first).split()
    link = next(each for each in first.iter("a") if "Läufe.csv" in text(each))
    assert link.get("href") == f"../attachment/{QUESTION.id}/{NAMED.sha256}"
    liked, flag = (each for each in first.iter("li") if each.get("title"))
    assert (text(liked), liked.get("title")) == ("👍 2", "thumbs up: Ada Meyer (North Lab), Cy (Cairn)")
    assert text(flag) == "🏴󠁧󠁢󠁳󠁣󠁴󠁿 1", "a flag keeps the characters that make it one"
    assert "new" in text(second).split() and "In answer to" in text(second)
    assert next(second.iter("a")).get("href") == f"#post-{QUESTION.id}"
    assert first.get("id") == f"post-{QUESTION.id}"
    assert "took this back" in text(gone) and "waits for" in text(last)
    assert "Answers a post that is not here" in text(last)
    assert [each.get("class") for each in root.iter("li") if (each.get("class") or "").startswith("deep")] == [
        "deep0", "deep1", "deep2", "deep0"
    ]  # fmt: skip
    assert len(ANSWERS_IN_TOPIC) == 3


def test_depth_many_reactions_versions_and_notes_are_bounded_and_said_so() -> None:
    deep = Post(BO, "", "x", id="a" * 64, depth=20_000)
    busy = replace(
        deep,
        depth=0,
        reactions=tuple(Reacted("👍", tuple(f"p{i}" for i in range(1000))) for _ in range(1000)),
        earlier=tuple(("", f"text {i}") for i in range(1000)),
    )
    html = topic(Thread([deep, busy], "T", "evals", tuple(f"note {i}" for i in range(10_000))))
    said = text(parsed(html))
    assert f'class="deep{DEEPEST}"' in html and len(html) < 100_000
    for want in ("950 more", "Revised 1000 times", "10000 records in or near this thread", "and 9950 more"):
        assert want in said, want


def test_home_lists_threads_and_what_is_new() -> None:
    html = home([], [Topic(TOPIC, None, "evals", 1, 0, ""), Topic("b" * 64, "How we work", "evals", 3, 2, "")])
    said = text(parsed(html))
    assert "A thread whose title is not here" in said and "3 posts" in said and "2 new" in said
    assert f'href="thread/{TOPIC}"' in html and "holds no findings yet" not in said
    assert "2 new" in text(parsed(home([replace(each, unread=2) for each in shelf().items[:1]])))  # type: ignore[type-var]


def test_a_stream_that_turns_out_false_is_never_whole() -> None:
    def lying() -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        raise SealError("other bytes", hint="ask")

    came: list[bytes] = []
    with pytest.raises(SealError):
        came.extend(held_back(lying()))
    assert b"two" not in came
    assert list(held_back(iter([b"one", b"two"]))) == [b"one", b"two"]
    assert b"".join(held_back(iter([]))) == b""


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.txt", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
        ("Läufe 1.csv", "attachment; filename=\"L_ufe 1.csv\"; filename*=UTF-8''L%C3%A4ufe%201.csv"),
    ],
)
def test_a_name_in_the_header(name: str, header: str) -> None:
    assert disposition(name) == header


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    made = founded(tmp_path)
    yield made
    made.close()


def test_a_real_thread_is_what_the_page_shows(orgs: Orgs, tmp_path: Path) -> None:
    item = share(orgs)
    notes = tmp_path / "evil\u202egpj.exe"
    notes.write_bytes(b"MZ" * 200_000)
    begun = orgs.aurora.threads.begin(
        "evals",
        "How we work",
        "By seed.",
        attachments=[orgs.aurora.threads.attach(notes, name="../../.bashrc\u202egpj.exe")],
    )
    orgs.aurora.threads.revise(begun, f"By seed, {CANARY}.")
    orgs.aurora.threads.post(item, "About the finding.")
    orgs.to_beacon()
    orgs.beacon.threads.react(begun, "🎉")
    held = OpenLibrary(orgs.beacon)
    (listed,) = held.topics()
    assert (listed.id, listed.title, listed.circle, listed.posts, listed.unread) == (
        begun,
        "How we work",
        "evals",
        1,
        1,
    )
    assert [each.unread for each in held.findings()] == [1]  # type: ignore[union-attr]
    with serve(orgs.beacon) as page:
        me = owner(page)
        shown = me.ask(f"thread/{begun}").body
        assert "How we work" in shown and CANARY in shown and "🎉" in shown and "\u202e" not in shown
        (post,) = held.thread(begun).posts
        came = me.ask(f"attachment/{begun}/{post.files[0].sha256}")
        assert came.status == 200 and came.body == "MZ" * 200_000
        assert came.headers["content-type"] == "application/octet-stream"
        assert came.headers["content-disposition"] == (
            "attachment; filename=\"bashrc_gpj.exe\"; filename*=UTF-8''bashrc_gpj.exe"
        )
        assert came.headers["x-content-type-options"] == "nosniff"
        for path in (f"attachment/{begun}/{'0' * 64}", f"attachment/{item}/{'0' * 64}", "thread/" + "0" * 64):
            assert me.ask(path).status == 404
        orgs.aurora.threads.retract(begun)
        orgs.to_beacon()
        assert me.ask(f"attachment/{begun}/{post.files[0].sha256}").status == 404
        assert "took this back" in me.ask(f"thread/{begun}").body


def test_an_attachment_whose_piece_is_altered_ends_before_its_end(orgs: Orgs, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * (5 * 1024 * 1024))
    attached = orgs.aurora.threads.attach(file)
    begun = orgs.aurora.threads.begin("evals", "T", "text", attachments=[attached])
    name = attached.artifact.pieces[-1]
    path = orgs.folder / "aurora" / "blobs" / name[:2] / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    found = OpenLibrary(orgs.aurora).attachment(begun, attached.attachment.sha256)
    came: list[bytes] = []
    with pytest.raises(SealError):
        came.extend(held_back(found.stream))
    assert sum(map(len, came)) < found.size
    with pytest.raises(RefusedError):
        OpenLibrary(orgs.aurora).attachment("0" * 64, attached.attachment.sha256)
    assert len(FILE) == NAMED.size
