"""Titles, claims, posts and names come from peers. Whatever they hold, the page keeps its structure."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.page import Author, File, Post, Reacted, Thread, Topic, home, report, topic
from darklantern.page.markup import Html, tag, together
from darklantern.page.prose import prose

from .reading import names, parsed
from .samples import with_text

HOSTILE = {
    "closes the element": "</p></main><script>alert(1)</script>",
    "leaves the attribute": "\" onload=\"alert(1)\" x='y' autofocus onfocus=alert(1) '",
    "image": "<img src=http://attacker.example/x onerror=alert(1)>",
    "link": "[click](javascript:alert(1)) http://attacker.example <a href=javascript:alert(1)>x</a>",
    "style": "</title><style>@import 'http://attacker.example/x.css'</style>",
    "entity": "&lt;script&gt; &#0; &xxe; &amp;",
    "cdata and comment": "]]><!-- <![CDATA[ --> <?php",
    "controls": "a\x00b\x07c\x1b[31md\x7f\x85",
    "no xml at all": "\ufffe\uffff\ud800 lone",
    "overrides": "user\u202etxt.exe\u2066\u2069\u200f",
    "zero width": "al\u200barm\ufeff",
    "stacked marks": "Z" + "\u0300\u0301\u0302" * 60,
    "line breaks": "one\r\ntwo\u2028three\tfour\n\n\nfive",
    "white": "   ",
    "template": "{{7*7}} ${7*7} %s {0}",
}


@pytest.fixture(scope="module")
def plain() -> dict[str, int]:
    return dict(_pages("a"))


def _pages(text: str) -> dict[str, int]:
    item = with_text(text)
    counted = names(parsed(report(item, thread(text))))
    topics = [Topic("a" * 64, text, text, 1, 1, text)]
    for page, html in (("home", home([item], topics)), ("topic", topic(thread(text)))):
        for name, count in names(parsed(html)).items():
            counted[f"{page} {name}"] = count
    return dict(counted)


def thread(text: str) -> Thread:
    """A thread with `text` wherever a peer can put some."""
    whole = Post(
        Author(text, text),
        text,
        text,
        id="a" * 64,
        earlier=((text, text),),
        files=(File(text, text, "b" * 64, 1),),
        reactions=(Reacted(text, (text, text)),),
        unread=True,
    )
    answer = Post(Author(text, text), text, text, id="c" * 64, answers="a" * 64, depth=1)
    return Thread([whole, answer], text, text, (text,))


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_stays_text(kind: str, plain: dict[str, int]) -> None:
    found = _pages(HOSTILE[kind])
    loose = {
        "p",
        "br",
        "title",
        "home p",
        "topic p",
        "topic br",
    }  # paragraphs, line breaks, and tooltips of what drawing shortened
    loose |= {"div", "topic div"} if not HOSTILE[kind].strip() else set()  # an empty text needs no box
    assert {n: c for n, c in found.items() if n not in loose} == {n: c for n, c in plain.items() if n not in loose}
    assert found["home title"] >= 1 and found["title"] >= plain["title"]


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_harmful_reaches_the_page(kind: str) -> None:
    item = with_text(HOSTILE[kind])
    pages = [parsed(report(item, thread(HOSTILE[kind]))), parsed(topic(thread(HOSTILE[kind])))]
    for each in (each for root in pages for each in root.iter()):
        assert not any(name.startswith("on") or name in ("style", "srcdoc", "action") for name in each.attrib)
        assert each.tag not in ("script", "style", "iframe", "object", "embed", "form", "base")
        for name in ("href", "src"):
            target = each.get(name)
            assert target is None or target.startswith(("../", "#")), target
    shown = "".join(piece for root in pages for piece in root.itertext()).replace("\n", "")
    assert not any(unicodedata.category(c)[0] == "C" and c not in "\u200c\u200d" for c in shown)


def test_a_hundred_kilobytes_in_every_field() -> None:
    item = with_text("W" * 100_000)
    html = report(item, thread("W " * 50_000))
    parsed(html)
    parsed(topic(thread("W" * 100_000)))
    assert len(html) < 2_500_000
    assert len(home([item])) < 10_000


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=200))
def test_any_text_survives_as_text(text: str) -> None:
    page = "<!doctype html>\n" + tag("p", text, title=text)
    assert names(parsed(page)) == {"p": 1}
    assert set(names(parsed("<!doctype html>\n" + prose(text)))) <= {"div", "p", "br", "details", "summary"}


def test_markup_put_together_as_strings_is_escaped_again() -> None:
    glued = tag("p", "x") + "<script/>"
    assert not isinstance(glued, Html)
    assert "<script" not in tag("div", glued) and "<script" not in together(glued)
