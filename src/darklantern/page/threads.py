"""A thread as HTML: under a finding, or on a page of its own."""

from collections.abc import Sequence

from darklantern.library.threads.emojis import name_of
from darklantern.page.dates import moment
from darklantern.page.layout import code, document, fresh, waiting
from darklantern.page.markup import Html, spaced, tag, together
from darklantern.page.prose import bdi, prose
from darklantern.page.views import File, Post, Reacted, Thread

MOST_POSTS = 500
MOST_EARLIER = 20
MOST_REACTIONS = 50
MOST_NOTES = 50
MOST_PEOPLE = 20
DEEPEST = 5
"""how far answers move to the right: below that they say what they answer, and stay where they are"""


def topic(thread: Thread) -> Html:
    """The page of a thread about no finding."""
    name = thread.title or "A thread without a title here"
    title = tag(
        "div",
        tag("p", tag("a", "← Library", href="../"), class_="crumb"),
        tag("div", tag("span", "circle ", tag("bdi", thread.circle), class_="soft"), class_="marks"),
        tag("h1", name, dir="auto"),
        class_="title",
    )
    main = tag("main", title, tag("section", thread_part(thread), id="thread"), id="content", class_="home")
    return document(name, main, root="../")


def thread_part(thread: Thread) -> Html:
    """The posts, each before its answers, and what is not shown. Links to attachments lead one folder up."""
    notes = _notes(thread.notes)
    if not thread.posts:
        return together(tag("p", "No posts yet.", class_="note"), notes)
    names = {post.id: post.author.person for post in thread.posts if post.id}
    shown = tag("ol", *(_post(post, names) for post in thread.posts[-MOST_POSTS:]), class_="posts")
    if len(thread.posts) <= MOST_POSTS:
        return together(shown, notes)
    more = tag("p", f"{len(thread.posts) - MOST_POSTS} earlier posts are in the library.", class_="note")
    return together(more, shown, notes)


def _post(post: Post, names: dict[str, str]) -> Html:
    new = [fresh("new")] if post.unread else []
    waits = [waiting()] if post.pending else []
    by = tag(
        "p",
        spaced(tag("b", bdi(post.author.person)), tag("span", bdi(post.author.org)), moment(post.time), *new, *waits),
        class_="by",
    )
    parts = [by, *_answers(post, names)]
    if post.text is None:
        parts.append(tag("p", "Its author took this back.", class_="note"))
    else:
        parts += [prose(post.text), *_files(post), *_reactions(post.reactions), *_earlier(post)]
    anchor = f"post-{post.id}" if post.id else None
    return tag("li", tag("article", *parts, class_="post", id=anchor), class_=f"deep{min(post.depth, DEEPEST)}")


def _answers(post: Post, names: dict[str, str]) -> list[Html]:
    if post.answers is None:
        return []
    if post.answers not in names:
        return [tag("p", "Answers a post that is not here.", class_="note")]
    link = tag("a", tag("bdi", names[post.answers].strip() or "no name"), href=f"#post-{post.answers}")
    return [tag("p", "In answer to ", link, class_="note")]


def _files(post: Post) -> list[Html]:
    if not post.files:
        return []
    return [tag("ul", *(_file(post.id, file) for file in post.files), class_="files")]


def _file(post: str, file: File) -> Html:
    link = tag("a", tag("bdi", file.name.strip() or "no name"), href=f"../attachment/{post}/{file.sha256}")
    said = tag("span", f"{file.size:,} bytes, ", code(file.media), class_="soft")
    return tag("li", spaced(link, said))


def _reactions(reactions: Sequence[Reacted]) -> list[Html]:
    if not reactions:
        return []
    shown = [_reaction(each) for each in reactions[:MOST_REACTIONS]]
    if len(reactions) > MOST_REACTIONS:
        shown.append(tag("li", f"{len(reactions) - MOST_REACTIONS} more", class_="soft"))
    return [tag("ul", *shown, class_="reactions")]


def _reaction(reacted: Reacted) -> Html:
    # The closed table holds no character of HTML. As any other text, flags would lose their tag characters, and emoji
    # that are younger than Python's own tables would be replaced.
    name = name_of(reacted.emoji)
    emoji = Html(reacted.emoji) if name else reacted.emoji
    more = len(reacted.people) - MOST_PEOPLE
    people = ", ".join(reacted.people[:MOST_PEOPLE]) + (f" and {more} more" if more > 0 else "")
    return tag("li", spaced(tag("span", emoji), str(len(reacted.people))), title=f"{name}: {people}")


def _earlier(post: Post) -> list[Html]:
    if not post.earlier:
        return []
    count = len(post.earlier)
    times = "once" if count == 1 else f"{count} times"
    versions = post.earlier[-MOST_EARLIER:]
    shown = [part for time, text in versions for part in (tag("p", moment(time), class_="by"), prose(text))]
    return [tag("details", tag("summary", f"Revised {times}; earlier texts"), *shown, class_="fold")]


def _notes(notes: Sequence[str]) -> Html:
    if not notes:
        return Html("")
    lines = [tag("li", note, dir="auto") for note in notes[:MOST_NOTES]]
    if len(notes) > MOST_NOTES:
        lines.append(tag("li", f"and {len(notes) - MOST_NOTES} more, which `darklantern thread show` lists"))
    summary = tag("summary", f"{len(notes)} records in or near this thread are not shown")
    return tag("details", summary, tag("ul", *lines), class_="fold note")
