"""What a thread is to its readers: frozen values that hold what peers wrote, as data."""

from dataclasses import dataclass

from darklantern.library.opening import Author
from darklantern.records.exact import Time
from darklantern.records.posts import Attachment, Mention


@dataclass(frozen=True)
class Version:
    """An earlier text of a post, and when its author wrote it."""

    text: str
    time: Time


@dataclass(frozen=True)
class Reacted:
    """One emoji on a post, and who put it there, in the order of the log."""

    emoji: str
    people: tuple[Author, ...]


@dataclass(frozen=True)
class ThreadPost:
    """One post of a thread as it is now."""

    id: str
    author: Author
    time: Time
    pending: bool
    """whether it still waits for the keeper of its log"""
    text: str | None
    """None: its author took it back"""
    reply_to: str | None = None
    """the post that it answers, which stands before it in the thread, or is in `Thread.unreadable`, or is not here"""
    depth: int = 0
    """how many posts of the thread it stands under"""
    versions: tuple[Version, ...] = ()
    """earlier texts, oldest first"""
    mentions: tuple[Mention, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    reactions: tuple[Reacted, ...] = ()
    unread: bool = False


@dataclass(frozen=True)
class Ignored:
    """A record in the thread that counts for nothing."""

    id: str
    author: Author
    what: str
    """post, revision, reaction or retraction"""
    reason: str


@dataclass(frozen=True)
class Unreadable:
    """A record that counts and does not open here."""

    id: str
    author: Author
    time: Time
    reason: str


@dataclass(frozen=True)
class Thread:
    """What was said about an item, or under a title."""

    id: str
    """of the item, or of the post that began it"""
    circle: str
    title: str | None
    """of the finding, or of the thread; None where that does not open or was taken back"""
    about_item: bool
    posts: tuple[ThreadPost, ...]
    """each before its answers, both in the order of the log; `depth` says what stands under what"""
    ignored: tuple[Ignored, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    """what belongs to this thread and does not open; where nothing says what a record belongs to, it is in every
    thread of the circle"""

    @property
    def unread(self) -> int:
        """Posts of others that its user has not read."""
        return sum(post.unread for post in self.posts)


@dataclass(frozen=True)
class ThreadListed:
    """A thread in a list."""

    id: str
    circle: str
    title: str | None
    about_item: bool
    posts: int
    unread: int
    newest: Time
    """of its last record, as the author says"""
