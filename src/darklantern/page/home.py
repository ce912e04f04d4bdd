"""The home page: the library's findings as cards."""

from collections.abc import Sequence

from darklantern.drawing import Svg, sparkline
from darklantern.errors import RecordError
from darklantern.page.commands import DEMO, SYNC
from darklantern.page.dates import moment
from darklantern.page.layout import document, fresh, marks
from darklantern.page.markup import Html, spaced, tag, together
from darklantern.page.prose import bdi
from darklantern.page.race import race
from darklantern.page.views import Author, Item, Topic, Unopened
from darklantern.records.findings import Evidence, Finding

EXCERPT = 240
"""characters of the claim on a card"""


def home(items: Sequence[Item | Unopened], topics: Sequence[Topic] = ()) -> Html:
    """All findings, in the order given, those that do not open among them, then the threads about no finding.

    An empty library says how to fill it.
    """
    count = "1 finding" if len(items) == 1 else f"{len(items)} findings"
    heading = tag("div", tag("h1", "Library"), *([tag("p", count, class_="lead")] if items else []), class_="title")
    cards = [_card(each) if isinstance(each, Item) else _shut(each) for each in items]
    content = [tag("ol", *cards, class_="cards")] if cards else []
    if topics:
        listed = tag("ol", *map(_topic, topics), class_="topics")
        content.append(tag("section", tag("h2", "Threads"), listed, id="threads"))
    return document("Library", tag("main", heading, *(content or [_empty()]), id="content", class_="home"))


def _card(item: Item) -> Html:
    finding = item.finding
    claim = " ".join(finding.claim[: 2 * EXCERPT].split())
    excerpt = claim if len(claim) <= EXCERPT else claim[:EXCERPT].rsplit(" ", 1)[0] + "…"
    return tag(
        "li",
        tag(
            "article",
            marks(item.level, item.circle, pending=item.pending),
            tag("h2", tag("a", finding.title, href=f"finding/{item.id}", dir="auto")),
            tag("p", excerpt, class_="excerpt", dir="auto") if excerpt else Html(""),
            _trend(finding),
            _by(item.author, finding.time, item.unread),
            class_="card",
        ),
    )


def _shut(item: Unopened) -> Html:
    said = tag("p", item.problem, class_="excerpt soft", dir="auto")
    card = [marks(None, item.circle), tag("h2", "A finding that does not open here"), said, _by(item.author, item.time)]
    return tag("li", tag("article", *card, class_="card"))


def _topic(topic: Topic) -> Html:
    name = tag("a", topic.title or "A thread whose title is not here", href=f"thread/{topic.id}", dir="auto")
    count = "1 post" if topic.posts == 1 else f"{topic.posts} posts"
    said = spaced(tag("span", "circle ", tag("bdi", topic.circle)), count, moment(topic.time, clock=False))
    return tag("li", tag("h3", name), tag("p", spaced(said, *_unread(topic.unread)), class_="by"))


def _unread(count: int) -> list[Html]:
    return [fresh(f"{count} new")] if count else []


def _by(author: Author, time: str, unread: int = 0) -> Html:
    who = tag("span", bdi(author.person), ", ", bdi(author.org))
    return tag("p", spaced(who, moment(time, clock=False), *_unread(unread)), class_="by")


def _trend(finding: Finding) -> Html:
    """The curve that raised the first alarm, and what it means; nothing for findings without one."""
    evidence = next((each for each in finding.evidence if each.series), None)
    picture, says = _curve(evidence) if evidence else (None, "")
    return tag("div", picture, tag("span", says), class_="trend") if picture else Html("")


def _curve(evidence: Evidence) -> tuple[Svg | None, str]:
    ran = race(evidence.series, evidence.events)
    first = ran.runners[0].series if ran.runners else evidence.series[0]
    try:
        picture = sparkline(first.values, threshold=first.threshold, label=first.name)
    except RecordError:
        return None, ""
    if first.alarm is None:
        return picture, "no alarm"
    lead = ran.runners[0].over_overt if ran.runners else None
    ahead = f", {lead} steps before overt behaviour" if lead is not None and lead > 0 else ""
    return picture, f"alarm at step {first.alarm}{ahead}"


def _empty() -> Html:
    steps = [
        (
            "Make one",
            DEMO,
            "trains a small model, catches a backdoor as it forms, and files the finding here.",
        ),
        ("Receive some", SYNC, "takes in what other members have shared with your circles."),
    ]
    items = [
        tag("li", tag("h2", name), tag("pre", tag("code", command), class_="command"), tag("p", f"It {text}"))
        for name, command, text in steps
    ]
    says = tag("p", "Your library holds no findings yet. Two ways to change that, in a terminal:")
    return together(
        tag("div", says, tag("ul", *items), tag("p", "Then reload this page.", class_="soft"), class_="empty")
    )
