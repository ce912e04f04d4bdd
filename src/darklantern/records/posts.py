"""What somebody says in a thread: a post, and what is done to posts. All of it is sealed like a finding.

A post stands under an item, or it has a title and begins a thread of its own. Revisions, reactions and
retractions name a post and the thread that it is in. Every text here is data: never markup, never a command.
"""

from typing import Annotated, Final, Literal

import msgspec

from darklantern.records.exact import Name, Sha256, Value
from darklantern.records.ratings import Act

LONGEST: Final = 1_000_000
"""characters"""
MOST_MENTIONS: Final = 100
MOST_ATTACHMENTS: Final = 100

Said = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
Media = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}\Z")]
"""What a file claims to be (RFC 6838). It is shown, and nothing is ever opened or served by it."""


class Mention(Value, frozen=True, kw_only=True):
    """A person whom a post is meant to reach."""

    org: Name
    person: Name


class Attachment(Value, frozen=True, kw_only=True):
    """A file that came with a post, by its hash. Name and media type are its author's word."""

    name: Name
    media: Media
    sha256: Sha256
    size: Annotated[int, msgspec.Meta(ge=0)]
    """bytes"""


class Post(Value, frozen=True, kw_only=True, tag_field="what", tag="post"):
    """A message in a thread, or the beginning of one."""

    thread: Sha256 | None = None
    """the item that it is about, or the post that began its thread; None: it begins one"""
    title: Name | None = None
    """of the thread that it begins"""
    reply_to: Sha256 | None = None
    """another post in the same thread"""
    text: Said
    mentions: Annotated[tuple[Mention, ...], msgspec.Meta(max_length=MOST_MENTIONS)] = ()
    attachments: Annotated[tuple[Attachment, ...], msgspec.Meta(max_length=MOST_ATTACHMENTS)] = ()

    def __post_init__(self) -> None:
        if (self.thread is None) == (self.title is None):
            raise ValueError("expected a thread to stand in, or a title to begin one with, and not both")
        if self.thread is None and self.reply_to is not None:
            raise ValueError("a post that begins a thread answers none")
        if len({attachment.sha256 for attachment in self.attachments}) != len(self.attachments):
            raise ValueError("expected each attachment once")


class Revision(Value, frozen=True, kw_only=True, tag_field="what", tag="revision"):
    """Another text for a post of one's own. The earlier ones stay."""

    thread: Sha256
    post: Sha256
    text: Said


class Reaction(Value, frozen=True, kw_only=True, tag_field="what", tag="reaction"):
    """One emoji on a post, or its removal. Each person has each emoji once."""

    thread: Sha256
    post: Sha256
    emoji: Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
    action: Literal["add", "remove"]


class Retraction(Value, frozen=True, kw_only=True, tag_field="what", tag="retraction"):
    """A post of one's own is taken back. Its text is shown no longer; whoever has read it has read it."""

    thread: Sha256
    post: Sha256


class PanelAct(Value, frozen=True, kw_only=True, tag_field="what", tag="panel act"):
    """Something that a panel of raters does about an item. No post: it has no text of its own."""

    thread: Sha256
    """the item that is rated"""
    act: Act


Content = Post | Revision | Reaction | Retraction | PanelAct
