"""Two libraries that talk, carry bundles at any moment and rotate against each other come to the same threads."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from darklantern.errors import RefusedError
from darklantern.library import Library, Thread
from library.orgs import Orgs, founded, reopened, share

WHO = st.sampled_from(["aurora", "beacon"])
ACTS = st.lists(
    st.tuples(
        WHO,
        st.sampled_from(["begin", "post", "reply", "revise", "react", "unreact", "retract", "carry", "rotate", "read"]),
        st.integers(0, 7),
    ),
    min_size=4,
    max_size=18,
)


def act(orgs: Orgs, who: str, what: str, number: int) -> None:
    library: Library = getattr(orgs, who)
    posts = sorted(entry for entry, place in library._desk.state.threads.places.items() if place.what == "post")
    threads = sorted(each.id for each in library.threads.listed())
    post = posts[number % len(posts)] if posts else "0" * 64
    acts: dict[str, Callable[[], object]] = {
        "begin": lambda: library.threads.begin("evals", f"title {number}", "beginning"),
        "post": lambda: library.threads.post(threads[number % len(threads)], f"by {who}"),
        "reply": lambda: library.threads.reply(post, f"an answer by {who}"),
        "revise": lambda: library.threads.revise(post, f"revised by {who}"),
        "react": lambda: library.threads.react(post, "👍🎉"[number % 2]),
        "unreact": lambda: library.threads.react(post, "👍🎉"[number % 2], remove=True),
        "retract": lambda: library.threads.retract(post),
        "carry": orgs.to_aurora if who == "beacon" else orgs.to_beacon,
        "rotate": lambda: library.members.rotate("evals"),
        "read": lambda: library.threads.mark_read(threads[number % len(threads)]),
    }
    with suppress(RefusedError):  # somebody else's post, say: here only that all come to the same
        acts[what]()


def seen(thread: Thread) -> list[object]:
    """What everybody must see alike."""
    return [
        (post.id, post.author, post.text, post.reply_to, post.depth, post.versions, post.reactions)
        for post in thread.posts
    ]


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ACTS)
def test_whatever_is_said_and_carried_in_whatever_order_both_see_the_same(acts: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        orgs = founded(Path(folder))
        share(orgs)
        orgs.to_beacon()
        for who, what, number in acts:
            act(orgs, who, what, number)
        for _ in range(3):  # what was overtaken is sealed again, and carried once more
            orgs.to_aurora()
            orgs.to_beacon()
        assert orgs.beacon.pending == ()
        ids = [each.id for each in orgs.aurora.threads.listed()]
        assert ids == [each.id for each in orgs.beacon.threads.listed()]
        for each in ids:
            ours, theirs = orgs.aurora.threads.open(each), orgs.beacon.threads.open(each)
            assert seen(ours) == seen(theirs)
            assert (ours.title, ours.ignored, ours.unreadable) == (theirs.title, theirs.ignored, theirs.unreadable)
            assert orgs.beacon.threads.unread().get(each, 0) == theirs.unread
        before = {each: orgs.beacon.threads.open(each) for each in ids}
        orgs.beacon.close()
        orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
        assert {each: orgs.beacon.threads.open(each) for each in ids} == before
        assert orgs.aurora.care.verify() == orgs.beacon.care.verify() == ()
        orgs.close()
