"""What may be said: decided on frozen values, by the rules that readers fold by.

In: a state and what its user wants to say. Out: where it goes and what to seal, or RefusedError, so that nothing is
sealed that would count for nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from darklantern.errors import RefusedError
from darklantern.library import opening
from darklantern.library.importing import wanted_pieces
from darklantern.library.opening import Author, Fetch
from darklantern.library.state import State
from darklantern.library.threads.emojis import qualified
from darklantern.library.threads.folding import Opened, fold
from darklantern.library.threads.indexing import person_of
from darklantern.library.threads.reading import about, opened, root_of
from darklantern.library.threads.values import ThreadPost
from darklantern.network.deciding import Follows
from darklantern.network.effective import Effective
from darklantern.network.items import Posting, SealedArtifact
from darklantern.records.assessments import Level
from darklantern.records.posts import LONGEST, Attachment, Mention, Post, Reaction, Retraction, Revision

_NEW = "0" * 64
"""in place of the id of what is not sealed yet"""
_LONGEST_TITLE = 200


@dataclass(frozen=True)
class Attached:
    """A file that is sealed and waits for the post that names it."""

    attachment: Attachment
    artifact: SealedArtifact


@dataclass(frozen=True)
class Destination:
    """Where to seal to."""

    circle: str
    level: Level


def destination(state: State, thread: str, fetch: Fetch, follows: Follows) -> Destination:
    """The circle and the level of a thread: its item's, or its beginning's. Raises RefusedError or SealError."""
    root = root_of(state, thread)
    if root.entry.record.kind == "item":
        return Destination(root.circle.id, opening.open_package(state, root, fetch, follows)[1])
    if root.entry.id != thread:
        raise RefusedError(
            f"thread {thread} begins with what is not here, so nobody knows at which level it is",
            hint="import a newer bundle",
        )
    return Destination(root.circle.id, opening.post_level(state, root, fetch))


def post(
    thread: str | None,
    title: str | None,
    text: str,
    reply_to: str | None,
    mentions: Iterable[tuple[str, str]],
    attachments: Sequence[Attached],
) -> Posting:
    """A post to seal. Raises RefusedError for a text that is empty or too long, or a file that comes twice."""
    _check_length("text", text, LONGEST)
    if title is not None:
        _check_length("title", title, _LONGEST_TITLE)
    names = [each.attachment.sha256 for each in attachments]
    if len(set(names)) != len(names):
        raise RefusedError("one file is attached twice", hint="attach it once")
    content = Post(
        thread=thread,
        title=title,
        reply_to=reply_to,
        text=text,
        mentions=tuple(Mention(org=org, person=person) for org, person in dict.fromkeys(mentions)),
        attachments=tuple(each.attachment for each in attachments),
    )
    return Posting(content=content, artifacts=tuple(each.artifact for each in attachments))


def revision(state: State, post_id: str, text: str, fetch: Fetch) -> Revision:
    """Another text for one's own post. Raises RefusedError."""
    _check_length("text", text, LONGEST)
    said = Revision(thread=_thread(state, post_id), post=post_id, text=text)
    _check_counts(state, said, fetch)
    return said


def reaction(state: State, post_id: str, typed: str, fetch: Fetch, *, remove: bool) -> Reaction:
    """One emoji on a post, or its removal. Raises RefusedError."""
    emoji = qualified(typed)
    if emoji is None:
        raise RefusedError(
            f"expected one emoji, got {len(typed)} characters that are none",
            hint="one sign, as a keyboard or a table of Unicode gives it",
        )
    thread = _thread(state, post_id)
    said = Reaction(thread=thread, post=post_id, emoji=emoji, action="remove" if remove else "add")
    _check_counts(state, said, fetch)
    return said


def retraction(state: State, post_id: str, fetch: Fetch) -> Retraction:
    """One's own post taken back. Raises RefusedError."""
    said = Retraction(thread=_thread(state, post_id), post=post_id)
    _check_counts(state, said, fetch)
    return said


def thread_of(state: State, post_id: str, fetch: Fetch) -> str:
    """The thread of a post that stands. Raises RefusedError for what cannot be answered."""
    standing(state, post_id, fetch)
    return _thread(state, post_id)


def attachment(state: State, post_id: str, sha256: str, fetch: Fetch) -> SealedArtifact:
    """A file that came with a post which stands. Raises RefusedError or SealError."""
    standing(state, post_id, fetch)
    held = opening.open_post(state, opening.find(state, "post", post_id), fetch).artifacts
    found = next((each for each in held if each.sha256 == sha256), None)
    if found is None:
        raise RefusedError(f"the post has no attachment {sha256}", hint=f"it has {len(held)}; the thread lists them")
    return found


def check(
    state: State,
    said: Posting,
    effective: Effective,
    attachments: Sequence[Attached],
    is_here: Callable[[str], bool],
) -> None:
    """Raises RefusedError for a mention that reaches nobody, and for a file that is not here or in use already."""
    for mention in said.content.mentions if isinstance(said.content, Post) else ():
        if (mention.org, mention.person) not in effective.persons:
            raise RefusedError(
                f"{mention.person!r} of {mention.org!r} is not a member of the circle, so the mention reaches nobody",
                hint="mention a member; `library.members.effective` lists them, and says why others are none",
            )
    names = {name for each in attachments for name in each.artifact.pieces}
    # One sealing under two records would show everybody that both hold the same file.
    if names and (names & wanted_pieces(state.working) or not all(map(is_here, names))):
        raise RefusedError(
            "this attachment is in another post already, or was given up",
            hint="attach the file again: it is sealed anew",
        )


def _check_length(what: str, text: str, most: int) -> None:
    if not 1 <= len(text) <= most:
        raise RefusedError(f"expected a {what} of 1 to {most:,} characters, got {len(text):,}", hint="say it shorter")


def _thread(state: State, post_id: str) -> str:
    post = about(state, post_id)[0]  # refuses what is not here
    thread = state.threads.places[post_id].thread
    if root_of(state, thread).circle.id != post.circle.id:
        raise RefusedError(
            f"post {post_id} names a thread of another circle, and counts for nothing there",
            hint="choose a post that its thread shows",
        )
    return thread


def standing(state: State, post_id: str, fetch: Fetch) -> ThreadPost:
    """One post as it is now, opened with nothing but what was done to it. Raises RefusedError or SealError."""
    posts, _ = fold(_said(state, post_id, fetch))
    found = next((each for each in posts if each.id == post_id), None)
    if found is None or found.text is None:
        raise RefusedError(
            f"{post_id} {'was taken back' if found else 'is no post but something done to one'}",
            hint="choose a post that stands",
        )
    return found


def _check_counts(state: State, content: Revision | Reaction | Retraction, fetch: Fetch) -> None:
    """Raises RefusedError with the reason for which readers would ignore it."""
    me = person_of(state)
    if me is None:
        raise RefusedError("no manifest lists this device, so nobody would know who says it", hint="ask your org")
    mine = Author(state.device_id, me.person, me.org, me.person)
    _, ignored = fold([*_said(state, content.post, fetch), Opened(_NEW, mine, "", True, content)])
    reason = next((each.reason for each in ignored if each.id == _NEW), None)
    if reason:
        raise RefusedError(f"it would count for nothing: {reason}", hint="look at the thread as it is now")


def _said(state: State, post_id: str, fetch: Fetch) -> list[Opened]:
    """The post and what was done to it, opened."""
    said, shut = opened(state, about(state, post_id), fetch)
    problem = next((each for each in shut if each.id == post_id), None)
    if problem:
        raise RefusedError(f"post {post_id} does not open here: {problem.reason}", hint="import a newer bundle")
    return said
