"""A thread from what was said, in the order of the log: whoever lies, floods or names what is not theirs."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.library import Author, ThreadPost
from darklantern.library.threads.folding import MOST_EMOJI, Opened, fold
from darklantern.records.posts import Attachment, Content, Mention, Post, Reaction, Retraction, Revision

THREAD = "f" * 64
ADA = Author("ada's laptop", "ada", "Aurora", "Dr ada")
ADA_TOO = Author("ada's phone", "ada", "Aurora", "Dr ada")
BO = Author("bo's laptop", "bo", "Beacon", "Dr bo")
NAMESAKE = Author("another ada's laptop", "ada", "Beacon", "Dr ada")
NUMBERS = itertools.count(1)


def said(author: Author, content: Content, id: str = "") -> Opened:
    number = next(NUMBERS)
    return Opened(id or f"{number:064x}", author, "2026-11-21T21:00:00Z", False, content)


def post(author: Author = ADA, text: str = "hello", reply_to: str | None = None, **rest: object) -> Opened:
    return said(author, Post(thread=THREAD, text=text, reply_to=reply_to, **rest))  # type: ignore[arg-type]


def revision(of: str, author: Author = ADA, text: str = "better") -> Opened:
    return said(author, Revision(thread=THREAD, post=of, text=text))


def reaction(to: str, author: Author = BO, emoji: str = "👍", *, remove: bool = False) -> Opened:
    return said(author, Reaction(thread=THREAD, post=to, emoji=emoji, action="remove" if remove else "add"))


def retraction(of: str, author: Author = ADA) -> Opened:
    return said(author, Retraction(thread=THREAD, post=of))


def reasons(*what: Opened) -> list[str]:
    return [each.reason for each in fold(what)[1]]


def one(*what: Opened) -> ThreadPost:
    """The only post, of which nothing that was said is ignored."""
    (found,), ignored = fold(what)
    assert ignored == []
    return found


def test_answers_stand_under_what_they_answer_and_all_else_in_the_order_of_the_log() -> None:
    first, second = post(text="1"), post(text="2")
    posts, ignored = fold(
        [first, second, below := post(BO, "1.1", first.id), post(text="1.2", reply_to=first.id), post(text="3"),
         post(text="1.1.1", reply_to=below.id)]
    )  # fmt: skip
    assert [(each.text, each.depth) for each in posts] == [
        ("1", 0), ("1.1", 1), ("1.1.1", 2), ("1.2", 1), ("2", 0), ("3", 0)
    ]  # fmt: skip
    assert ignored == []


def test_answers_in_a_circle_or_to_what_is_not_there_stand_at_the_top() -> None:
    """Ids are hashes of what they name, so nobody can make this; and if somebody could, it would end."""
    a, b, self_answer = "a" * 64, "b" * 64, "c" * 64
    posts, _ = fold(
        said(ADA, Post(thread=THREAD, text=id, reply_to=to), id)
        for id, to in ((a, b), (b, a), (self_answer, self_answer), ("d" * 64, "e" * 64))
    )
    assert [(each.id[0], each.depth) for each in posts] == [("a", 0), ("b", 1), ("c", 0), ("d", 0)]
    assert posts[-1].reply_to == "e" * 64


def test_a_chain_of_answers_as_long_as_one_likes() -> None:
    chain = [post()]
    for _ in range(20_000):
        chain.append(post(reply_to=chain[-1].id))
    posts, _ = fold(chain)
    assert [each.depth for each in posts] == list(range(20_001))


def test_a_revision_gives_another_text_and_the_earlier_ones_stay() -> None:
    what = post(text="frist")
    found = one(what, revision(what.id, ADA, "first"), revision(what.id, ADA_TOO, "first, on my phone"))
    assert found.text == "first, on my phone"
    assert [version.text for version in found.versions] == ["frist", "first"]


@pytest.mark.parametrize("who", [BO, NAMESAKE], ids=str)
def test_nobody_changes_or_takes_back_somebody_elses_post(who: Author) -> None:
    what = post(text="mine")
    (found,), ignored = fold([what, revision(what.id, who, "forged"), retraction(what.id, who)])
    assert (found.text, found.versions) == ("mine", ())
    assert [(each.what, each.reason) for each in ignored] == [
        ("revision", "the post is somebody else's"),
        ("retraction", "the post is somebody else's"),
    ]


def test_what_is_about_no_post_before_it_counts_for_nothing() -> None:
    what = post()
    revised = revision(what.id)
    nothing = "no post that it could be about is before it"
    assert reasons(revision(what.id), what) == [nothing]  # the log has it first
    assert reasons(what, revised, revision(revised.id)) == [nothing]  # a revision of a revision
    assert reasons(what, revised, reaction(revised.id), retraction("e" * 64)) == [nothing] * 2


def test_what_is_about_a_post_that_does_not_open_here_says_so() -> None:
    _, ignored = fold([reaction("e" * 64)], frozenset(["e" * 64]))
    assert [each.reason for each in ignored] == ["the post that it is about does not open here"]


def test_each_person_has_each_emoji_once_on_all_their_devices() -> None:
    what = post()
    found = one(what, reaction(what.id, BO), reaction(what.id, ADA), reaction(what.id, BO, "🎉"))
    assert [(each.emoji, [str(who) for who in each.people]) for each in found.reactions] == [
        ("👍", ["Dr bo (Beacon)", "Dr ada (Aurora)"]),
        ("🎉", ["Dr bo (Beacon)"]),
    ]
    assert reasons(what, reaction(what.id, ADA), reaction(what.id, ADA_TOO)) == [
        "this person put the same emoji there already"
    ]
    assert one(what, reaction(what.id, ADA), reaction(what.id, ADA_TOO, remove=True)).reactions == ()
    assert reasons(what, reaction(what.id, BO, remove=True)) == ["there is no such emoji of this person to take back"]
    assert one(what, *(reaction(what.id, remove=bool(i % 2)) for i in range(41))).reactions[0].people == (BO,)


@pytest.mark.parametrize("text", ["👍👍", "x", "<b>", "👍 ", "❤", "1", "\u202e", "🏻", "👍\u0300"])
def test_what_is_not_one_emoji_counts_for_nothing(text: str) -> None:
    what = post()
    (found,), ignored = fold([what, reaction(what.id, BO, text)])
    assert found.reactions == () and [each.reason for each in ignored] == [
        "it is not one emoji that this program knows"
    ]


def test_a_flood_of_emoji_counts_no_further() -> None:
    import emoji

    known = [each for each, said in emoji.EMOJI_DATA.items() if said["status"] == emoji.STATUS["fully_qualified"]]
    what = post()
    flood = [reaction(what.id, BO, known[i % len(known)]) for i in range(10_000)]
    (found,), ignored = fold([what, *flood, reaction(what.id, ADA)])
    assert Counter(who for each in found.reactions for who in each.people) == {BO: MOST_EMOJI, ADA: 1}
    assert len(ignored) == 10_000 - MOST_EMOJI


def test_a_post_that_was_taken_back_shows_nothing_and_takes_nothing_more() -> None:
    named = Attachment(name="a", media="text/plain", sha256="a" * 64, size=1)
    what = post(text="regretted", mentions=(Mention(org="Beacon", person="bo"),), attachments=(named,))
    answer = post(BO, "an answer", what.id)
    acts = [revision(what.id), reaction(what.id), retraction(what.id, ADA_TOO)]
    late = [revision(what.id), reaction(what.id, emoji="🎉"), retraction(what.id)]
    (found, below), ignored = fold([what, answer, *acts, *late])
    assert (found.text, found.versions, found.reactions, found.mentions, found.attachments) == (None, (), (), (), ())
    assert (below.text, below.depth) == ("an answer", 1)
    assert [each.reason for each in ignored] == ["its post was taken back"] * 3


def test_a_text_is_kept_as_it_was_written_whatever_it_holds() -> None:
    """Showing it harmless is the terminal's and the page's work; a fold that changed it would hide who wrote what."""
    nasty = "user\u202etxt.exe\x1b[2J\x00\u200b[bold]</script>" + "Z" + "\u0301" * 1000
    assert one(post(text=nasty)).text == nasty


PEOPLE = st.sampled_from([ADA, ADA_TOO, BO, NAMESAKE])
TARGETS = st.integers(0, 30)
ACTS = st.one_of(
    st.tuples(st.just("post"), PEOPLE, st.none() | TARGETS),
    st.tuples(st.just("revision"), PEOPLE, TARGETS),
    st.tuples(st.just("add"), PEOPLE, TARGETS),
    st.tuples(st.just("remove"), PEOPLE, TARGETS),
    st.tuples(st.just("retraction"), PEOPLE, TARGETS),
)


def history(acts: list[tuple[str, Author, int | None]]) -> list[Opened]:
    """Record n has id n, and names any number, before or after it, of whatever kind."""
    told: list[Opened] = []
    for n, (what, author, target) in enumerate(acts):
        about = f"{target:064x}" if target is not None else None
        content: Content
        if what == "post":
            content = Post(thread=THREAD, text=f"{n}", reply_to=about)
        elif what == "revision":
            content = Revision(thread=THREAD, post=about or "", text=f"{n}")
        elif what == "retraction":
            content = Retraction(thread=THREAD, post=about or "")
        else:
            content = Reaction(thread=THREAD, post=about or "", emoji="👍", action=what)  # type: ignore[arg-type]
        told.append(said(author, content, f"{n:064x}"))
    return told


@given(st.lists(ACTS, max_size=30))
def test_any_history_folds_to_posts_of_which_each_says_what_its_own_person_said(acts: list) -> None:
    told = history(acts)
    by_id = {each.id: each for each in told}
    posts, ignored = fold(told)
    assert (posts, ignored) == fold(told)
    assert {each.id for each in posts} == {each.id for each in told if isinstance(each.content, Post)}
    assert not {each.id for each in ignored} & {each.id for each in posts}
    places = {each.id: place for place, each in enumerate(posts)}
    for place, each in enumerate(posts):
        own = (each.author.org, each.author.person)
        for text in (each.text, *(version.text for version in each.versions)):
            if text is not None:
                writer = by_id[f"{int(text):064x}"].author
                assert (writer.org, writer.person) == own
        if each.depth:
            assert each.reply_to is not None and places[each.reply_to] < place
            assert posts[places[each.reply_to]].depth == each.depth - 1


@given(st.lists(ACTS, max_size=30), st.data())
def test_a_longer_log_takes_nothing_back_that_its_author_did_not(acts: list, data: st.DataObject) -> None:
    told = history(acts)
    short = data.draw(st.integers(0, len(told)))
    before, after = fold(told[:short])[0], {each.id: each for each in fold(told)[0]}
    for each in before:
        later = after[each.id]
        texts = [version.text for version in later.versions] + [later.text]
        assert later.text is None or texts[: len(each.versions) + 1] == [v.text for v in each.versions] + [each.text]
        assert each.text is not None or later.text is None
