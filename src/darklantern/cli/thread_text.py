"""A thread as lines for a terminal. What a peer wrote stands further in than what is ours."""

from typing import TYPE_CHECKING

from darklantern.cli.output import tell, tell_text

if TYPE_CHECKING:
    from darklantern.library import Thread, ThreadPost


def tell_thread(thread: "Thread") -> None:
    """Print a thread: its title, its posts in order, and what counts for nothing or does not open."""
    tell(thread.title or "its title does not open here, or was taken back", lead="thread: ")
    for each in thread.posts:
        _tell_post(each)
    for ignored in thread.ignored:
        tell(f"counts for nothing: {ignored.what} {ignored.id[:16]} by {ignored.author}: {ignored.reason}")
    for shut in thread.unreadable:
        tell(f"does not open: {shut.id[:16]} by {shut.author}, {shut.time}: {shut.reason}")
    if not thread.posts:
        tell("no posts yet: `darklantern thread post` writes one")


def _tell_post(post: "ThreadPost") -> None:
    marks = [
        f"answers {post.reply_to[:16]}" if post.reply_to else "",
        "new" if post.unread else "",
        f"revised {len(post.versions)} times" if post.versions else "",
        "not yet in the log" if post.pending else "",
    ]
    said = "".join(f"  ({mark})" for mark in marks if mark)
    tell(f"{post.id[:16]}  {post.author}, {post.time}{said}")
    if post.text is None:
        tell("its author took it back", lead="  ")
        return
    tell_text(post.text)
    for each in post.attachments:
        tell(f"attached: {each.sha256[:16]}  {each.size:,} bytes  {each.media}  {each.name}", lead="  ")
    for reacted in post.reactions:
        tell(f"{reacted.emoji} {', '.join(map(str, reacted.people))}", lead="  ")
