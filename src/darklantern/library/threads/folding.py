"""A thread from what was said, in the order of the log: pure, and the same on every device.

In: opened records of one thread. Out: posts with their text as it is now, and each record that counts for
nothing with its reason. Only the log's order decides. A record acts on what stands before it, so that replies
make no cycle however they name each other, and only on what its own author's person wrote, or adds to it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from darklantern.library.opening import Author
from darklantern.library.threads.emojis import is_emoji
from darklantern.library.threads.places import what_of
from darklantern.library.threads.values import Ignored, Reacted, ThreadPost, Version
from darklantern.records.exact import Time
from darklantern.records.posts import Content, PanelAct, Post, Reaction, Retraction, Revision

MOST_EMOJI: Final = 24
"""different emoji of one person on one post; a flood counts no further"""


@dataclass(frozen=True)
class Opened:
    """A record of the thread, opened."""

    id: str
    author: Author
    time: Time
    pending: bool
    content: Content


@dataclass
class _Standing:
    """A post while its thread is folded."""

    opened: Opened
    post: Post
    text: str | None
    text_time: Time
    versions: list[Version] = field(default_factory=list)
    reactions: dict[str, dict[tuple[str, str], Author]] = field(default_factory=dict)
    """emoji → person → author"""
    emoji_of: Counter[tuple[str, str]] = field(default_factory=Counter)
    """person → how many"""


def fold(said: Iterable[Opened], elsewhere: frozenset[str] = frozenset()) -> tuple[list[ThreadPost], list[Ignored]]:
    """The posts, each before its answers, and what counts for nothing. Linear in what was said.

    `elsewhere` are records that stand in this thread and do not open: what is about them says so.
    """
    standing: dict[str, _Standing] = {}
    ignored: list[Ignored] = []
    for opened in said:
        content = opened.content
        if isinstance(content, Post):
            standing[opened.id] = _Standing(opened, content, content.text, opened.time)
            continue
        if isinstance(content, PanelAct):
            continue  # nothing that is said: `library.panels` has it
        reason = _act(opened, content, standing.get(content.post), content.post in elsewhere)
        if reason:
            ignored.append(Ignored(opened.id, opened.author, what_of(content), reason))
    return _tree([_finished(each) for each in standing.values()]), ignored


def _act(opened: Opened, content: Revision | Reaction | Retraction, target: _Standing | None, shut: bool) -> str | None:
    """Do what the record says, or why it counts for nothing."""
    if target is None:
        return "the post that it is about does not open here" if shut else "no post that it could be about is before it"
    if target.text is None:
        return "its post was taken back"
    if isinstance(content, Reaction):
        return _react(target, content, opened.author)
    if owner(opened.author) != owner(target.opened.author):
        return "the post is somebody else's"
    if isinstance(content, Retraction):
        target.text, target.versions, target.reactions = None, [], {}
        return None
    target.versions.append(Version(target.text, target.text_time))
    target.text, target.text_time = content.text, opened.time
    return None


def _react(target: _Standing, reaction: Reaction, author: Author) -> str | None:
    emoji, person = reaction.emoji, owner(author)
    if not is_emoji(emoji):
        return "it is not one emoji that this program knows"
    people = target.reactions.get(emoji, {})
    if reaction.action == "remove":
        if person not in people:
            return "there is no such emoji of this person to take back"
        del people[person]
        target.emoji_of[person] -= 1
        return None
    if person in people:
        return "this person put the same emoji there already"
    if target.emoji_of[person] >= MOST_EMOJI:
        return f"this person has {MOST_EMOJI} emoji on the post already"
    target.reactions.setdefault(emoji, {})[person] = author
    target.emoji_of[person] += 1
    return None


def owner(author: Author) -> tuple[str, str]:
    """(org, person): all devices of a person speak for that person."""
    return author.org, author.person


def _finished(standing: _Standing) -> ThreadPost:
    opened, post, text = standing.opened, standing.post, standing.text
    taken_back = text is None
    return ThreadPost(
        id=opened.id,
        author=opened.author,
        time=opened.time,
        pending=opened.pending,
        text=text,
        reply_to=post.reply_to,
        versions=tuple(standing.versions),
        mentions=() if taken_back else post.mentions,
        attachments=() if taken_back else post.attachments,
        reactions=tuple(
            Reacted(emoji, tuple(people.values())) for emoji, people in standing.reactions.items() if people
        ),
    )


def _tree(posts: Sequence[ThreadPost]) -> list[ThreadPost]:
    """Each post before its answers. Without recursion: a chain of answers may be as long as the thread."""
    answers: dict[str | None, list[ThreadPost]] = {None: []}
    for post in posts:
        above = post.reply_to if post.reply_to in answers else None  # only what stands before it in the log
        answers[above].append(post)
        answers[post.id] = []
    ordered: list[ThreadPost] = []
    waiting = [(post, 0) for post in reversed(answers[None])]
    while waiting:
        post, depth = waiting.pop()
        ordered.append(replace(post, depth=depth))
        waiting += [(answer, depth + 1) for answer in reversed(answers[post.id])]
    return ordered
