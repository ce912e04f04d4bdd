"""What is said in threads, by its exact bytes: docs/spec/sharing.md, "Posts"."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import RecordError
from darklantern.network.items import Posting
from darklantern.records.exact import decode, encode
from darklantern.records.posts import LONGEST, Attachment, Content, Mention, Post, Reaction, Retraction, Revision

A, B = "a" * 64, "b" * 64
EXACT: list[tuple[Content, str]] = [
    (
        Post(title="Naming", text="By seed?", mentions=(Mention(org="Beacon", person="bo"),)),
        '{"what":"post","thread":null,"title":"Naming","reply_to":null,"text":"By seed?",'
        '"mentions":[{"org":"Beacon","person":"bo"}],"attachments":[]}',
    ),
    (
        Post(thread=A, reply_to=B, text="Ja: für alle"),
        f'{{"what":"post","thread":"{A}","title":null,"reply_to":"{B}","text":"Ja: für alle",'
        '"mentions":[],"attachments":[]}',
    ),
    (Revision(thread=A, post=B, text="x"), f'{{"what":"revision","thread":"{A}","post":"{B}","text":"x"}}'),
    (
        Reaction(thread=A, post=B, emoji="👍", action="remove"),
        f'{{"what":"reaction","thread":"{A}","post":"{B}","emoji":"👍","action":"remove"}}',
    ),
    (Retraction(thread=A, post=B), f'{{"what":"retraction","thread":"{A}","post":"{B}"}}'),
]


@pytest.mark.parametrize(("content", "text"), EXACT, ids=lambda each: type(each).__name__)
def test_the_bytes_are_those_of_the_page(content: Content, text: str) -> None:
    data = f'{{"v":1,"content":{text},"artifacts":[]}}'.encode()
    assert encode(Posting(content=content)) == data
    assert decode(Posting, data) == Posting(content=content)


FILE = {"name": "a.txt", "media": "text/plain", "sha256": A, "size": 1}
WRONG: dict[str, dict[str, object]] = {
    "neither thread nor title": {"thread": None},
    "thread and title": {"title": "x"},
    "a beginning that answers": {"thread": None, "title": "x", "reply_to": B},
    "no text": {"text": ""},
    "too long a text": {"text": "x" * (LONGEST + 1)},
    "too long a title": {"thread": None, "title": "x" * 201},
    "an empty title": {"thread": None, "title": ""},
    "a thread that is no id": {"thread": "A" * 64},
    "an id with a line break": {"thread": A + "\n"},
    "too many mentions": {"mentions": [{"org": "o", "person": "p"}] * 101},
    "a mention of nobody": {"mentions": [{"org": "o", "person": ""}]},
    "too many attachments": {"attachments": [FILE | {"sha256": f"{n:064x}"} for n in range(101)]},
    "one attachment twice": {"attachments": [FILE, FILE]},
    "an attachment that is not there": {"attachments": [FILE]},
    "a media type that breaks a line": {"attachments": [FILE | {"media": "text/html\r\nX: y"}]},
    "a media type with parameters": {"attachments": [FILE | {"media": "text/html; charset=utf-8"}]},
    "a negative size": {"attachments": [FILE | {"size": -1}]},
    "another kind": {"what": "command"},
    "an unknown field": {"run": "x"},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_anything_else_is_refused(change: dict[str, object]) -> None:
    good = json.loads(EXACT[1][1])
    assert decode(Posting, whole(good)).content == EXACT[1][0]
    with pytest.raises(RecordError):
        decode(Posting, whole(good | change))


def whole(content: dict[str, object]) -> bytes:
    said = {"v": 1, "content": content, "artifacts": []}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    said = Posting(content=Revision(thread=A, post=B, text=text))
    assert decode(Posting, encode(said)) == said


def test_half_of_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(RecordError, match="holds a value that no record can"):
        encode(Posting(content=Revision(thread=A, post=B, text="\ud800")))


def test_an_attachment_says_what_it_is_as_data() -> None:
    named = Attachment(name="../../etc/passwd\u202e", media="application/x-sh", sha256=A, size=0)
    assert decode(Attachment, encode(named)) == named
