"""Threads: posts and what is done to them, files that come with them, what was read, what to look at.

In: calls. Out: ids and values. What was read and what is to be quiet stays on this device.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import final

from darklantern.errors import StoreError
from darklantern.library import sharing
from darklantern.library.artifact_reading import ArtifactReader
from darklantern.library.artifact_sealing import Progress
from darklantern.library.desk import Desk
from darklantern.library.files import unheard
from darklantern.library.threads import attaching, marking, notifying, posting, reading
from darklantern.library.threads.notifications import Notification
from darklantern.library.threads.places import Quiet
from darklantern.library.threads.posting import Attached, Destination
from darklantern.library.threads.values import Thread, ThreadListed, ThreadPost
from darklantern.network.items import Posting
from darklantern.records.posts import Content


@final
class Threads:
    """What is said, about items and under titles."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # Saying

    def begin(
        self,
        circle: str,
        title: str,
        text: str,
        *,
        mentions: Iterable[tuple[str, str]] = (),
        attachments: Sequence[Attached] = (),
    ) -> str:
        """Begin a thread in a circle, by name or id, about no item. Its id. Raises RefusedError."""
        circle = self._desk.circle(circle)
        said = posting.post(None, title, text, None, mentions, attachments)
        return self._say(said, Destination(circle, self._desk.state.terms(circle).level), attachments)

    def post(
        self,
        thread: str,
        text: str,
        *,
        mentions: Iterable[tuple[str, str]] = (),
        attachments: Sequence[Attached] = (),
    ) -> str:
        """Say something in the thread of an item, or of a title. The post's id.

        `mentions` are members of the circle as (org, person); `attachments` come from `attach`. Raises RefusedError.
        """
        return self._say_in(thread, posting.post(thread, None, text, None, mentions, attachments), attachments)

    def reply(
        self,
        post: str,
        text: str,
        *,
        mentions: Iterable[tuple[str, str]] = (),
        attachments: Sequence[Attached] = (),
    ) -> str:
        """Answer a post. The answer's id. Raises RefusedError."""
        thread = posting.thread_of(self._desk.state, post, self._desk.fetch)
        return self._say_in(thread, posting.post(thread, None, text, post, mentions, attachments), attachments)

    def revise(self, post: str, text: str) -> str:
        """Give a post of one's own another text; readers see the earlier ones too. Raises RefusedError."""
        return self._do(posting.revision(self._desk.state, post, text, self._desk.fetch))

    def react(self, post: str, emoji: str, *, remove: bool = False) -> str:
        """Put one emoji on a post, or take it back. Raises RefusedError."""
        return self._do(posting.reaction(self._desk.state, post, emoji, self._desk.fetch, remove=remove))

    def retract(self, post: str) -> str:
        """Take back a post of one's own. Libraries show its text no longer; who has read it has read it.

        Raises RefusedError.
        """
        return self._do(posting.retraction(self._desk.state, post, self._desk.fetch))

    def attach(
        self,
        file: Path,
        *,
        name: str | None = None,
        media: str = attaching.UNKNOWN,
        progress: Progress | None = None,
    ) -> Attached:
        """Seal a file of any size, for one post to name it. Interrupted, the same call goes on.

        `name` is the file's own unless given; `Findings.give_up` removes what no post named. Raises StoreError or
        RefusedError.
        """
        attachment = attaching.described(file, name, media)
        return Attached(attachment, self._desk.seal_file(file, attachment.sha256, progress))

    # Reading

    def listed(self, *, about_items: bool = True, limit: int | None = None) -> tuple[ThreadListed, ...]:
        """Every thread with a title, and every item, with how many posts in it are unread. The newest first."""
        desk = self._desk
        return reading.threads(desk.state, desk.fetch, desk.follows, about_items=about_items, limit=limit)

    def open(self, thread: str) -> Thread:
        """What was said about an item, or under a title. Raises RefusedError for one that is not here."""
        found = reading.thread(self._desk.state, thread, self._desk.fetch, self._desk.follows)
        self._desk.note("thread", thread)
        return found

    def open_post(self, post: str) -> ThreadPost:
        """One post as it is now, without opening the rest of its thread. Raises RefusedError, also where taken back."""
        found = posting.standing(self._desk.state, post, self._desk.fetch)
        self._desk.note("thread", self._desk.state.threads.places[post].thread)
        return found

    def open_attachment(self, post: str, sha256: str) -> ArtifactReader:
        """A file that came with a post, to stream, to write to a file or to check. Raises RefusedError or SealError."""
        artifact = posting.attachment(self._desk.state, post, sha256, self._desk.fetch)
        self._desk.note("artifact", post, sha256)
        return self._desk.reader(artifact)

    def save_attachment(self, post: str, sha256: str, file: Path, progress: Progress = unheard) -> None:
        """Write a file that came with a post, in the clear, to a new file that appears once all of it is verified.

        Raises RefusedError, SealError or StoreError.
        """
        self.open_attachment(post, sha256).write(file, progress)

    # What was read, and what to look at

    def unread(self) -> dict[str, int]:
        """Thread → how many posts of others in it are unread, where there are any. Opens nothing."""
        return reading.unread(self._desk.state)

    def mark_read(self, thread: str, up_to: str | None = None) -> None:
        """Note on this device that a thread was read, up to a post or all of it; by a log's id, its alarms.

        Raises RefusedError.
        """
        self._desk.step(marking.mark_read(self._desk.state, thread, up_to))

    def mark_all_read(self) -> None:
        """Note on this device that everything here was read."""
        self._desk.step(marking.all_read(self._desk.state))

    def quiet(self, thread_or_circle: str, rule: Quiet | None) -> None:
        """Want no notifications of a thread or a circle ("muted"), only "mentions", or all again (None).

        Alarms always come. Raises RefusedError.
        """
        self._desk.step(marking.quieted(self._desk.state, thread_or_circle, rule))

    def notifications(self, *, untold: bool = False) -> tuple[Notification, ...]:
        """What to look at: alarms, mentions, answers, new items and threads, posts where its user takes part.

        Each until it is read, by `mark_read`; with `untold`, those since the last `mark_told`.
        """
        state = self._desk.state
        found = notifying.notifications(state)
        return tuple(each for each in found if not (untold and each.id in state.threads.told))

    def mark_told(self) -> None:
        """Note on this device that all notifications were announced, so that `untold` leaves them out."""
        self._desk.step(marking.told(self._desk.state))

    def _do(self, content: Content) -> str:
        assert content.thread is not None  # what is done to a post names its thread
        return self._say_in(content.thread, Posting(content=content))

    def _say_in(self, thread: str, said: Posting, attachments: Sequence[Attached] = ()) -> str:
        desk = self._desk
        return self._say(said, posting.destination(desk.state, thread, desk.fetch, desk.follows), attachments)

    def _say(self, said: Posting, to: Destination, attachments: Sequence[Attached]) -> str:
        desk = self._desk
        members = desk.state.working.effective(to.circle, desk.now())
        posting.check(desk.state, said, members, attachments, desk.vault.blobs.__contains__)
        state, entry, pieces = sharing.share_posting(desk.state, said, to.circle, to.level, desk.time())
        desk.step(state, pieces)
        with suppress(StoreError):  # as after sharing a finding
            desk.forget_shared()
        return entry
