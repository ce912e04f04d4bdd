"""One finding as a report to read from top to bottom."""

from collections.abc import Sequence

from darklantern.assess.panels import Panel
from darklantern.drawing import level_ladder
from darklantern.errors import AssessmentError
from darklantern.page.commands import RERUN
from darklantern.page.dates import moment
from darklantern.page.evidence import evidence_part
from darklantern.page.judged import Checked, assessment_part, check
from darklantern.page.layout import code, document, facts, figure, marks, notice, section
from darklantern.page.levels import AUDIENCES
from darklantern.page.markup import Html, spaced, tag, together
from darklantern.page.panels import closed_by, panel_part
from darklantern.page.prose import bdi, prose
from darklantern.page.provenance import made_from
from darklantern.page.threads import thread_part
from darklantern.page.views import Author, Item, Thread
from darklantern.records.assessments import LEVEL_NAMES

MOST_NAMES = 100


def report(item: Item, thread: Thread, panel: Panel | AssessmentError | None = None) -> Html:
    """The whole report. Every text in it may be hostile; ids and levels are ours."""
    finding = item.finding
    checked = check(item.assessment)
    assessed = [*assessment_part(item.assessment, checked), *closed_by(panel, item.level), *panel_part(panel)]
    parts = [
        ("claim", "Claim", section("claim", "Claim", prose(finding.claim, class_="prose claim"))),
        ("audience", "Who may know", section("audience", "Who may know", *_audience(item, checked))),
        ("evidence", "Evidence", section("evidence", "Evidence", *_evidence(item))),
        ("assessment", "Assessment", section("assessment", "Assessment", *assessed)),
        ("provenance", "Provenance", section("provenance", "Provenance", *_provenance(item), lead=_PROVENANCE)),
        ("thread", f"Thread ({len(thread.posts)})", section("thread", "Thread", thread_part(thread))),
    ]
    if item.assessment is not None:
        link = tag("a", "On one page, to print", href=f"../assessment/{item.id}")
        parts[3] = (*parts[3][:2], together(parts[3][2], tag("p", link, class_="note")))
    contents = tag(
        "nav", tag("ol", *(_entry(a, name) for a, name, _ in parts)), class_="contents", aria_label="Contents"
    )
    main = tag("main", _title(item), contents, *(part for _, _, part in parts), id="content", class_="report")
    return document(finding.title, main, root="../")


_PROVENANCE = "What each piece of evidence was made from, enough to make it again."


def _entry(anchor: str, name: str) -> Html:
    return tag("li", tag("a", name, href=f"#{anchor}"))


def _title(item: Item) -> Html:
    finding = item.finding
    return tag(
        "div",
        tag("p", tag("a", "← Library", href="../"), class_="crumb"),
        marks(item.level, item.circle, pending=item.pending),
        tag("h1", finding.title, dir="auto"),
        tag("p", spaced(_by(item.author), moment(finding.time)), class_="by"),
        class_="title",
    )


def _by(author: Author) -> Html:
    return tag("span", bdi(author.person), ", ", bdi(author.org))


def _audience(item: Item, checked: Checked | None) -> list[Html]:
    level = AUDIENCES[item.level]
    named = [bdi(name) for name in item.audience[:MOST_NAMES]]
    left_out = item.left_out[:MOST_NAMES]
    pairs = [
        ("Level", f"{item.level} {LEVEL_NAMES[item.level]}"),
        ("For", level.who),
        ("Circle", together(bdi(item.circle), *([": "] if named else []), *_joined(named))),
        ("Marking", level.tlp),
        ("Custody", level.custody),
        ("Not members", tag("ul", *(tag("li", bdi(each)) for each in left_out)) if left_out else ""),
        ("Tags", together(*_joined([code(each) for each in dict.fromkeys((*item.tags, *item.finding.tags))]))),
    ]
    return [*_ladder(item, checked), facts(pairs)]


def _joined(parts: Sequence[Html]) -> list[str]:
    return [piece for i, part in enumerate(parts) for piece in ([", ", part] if i else [part])]


def _ladder(item: Item, checked: Checked | None) -> list[Html]:
    """The stair of the range that the answers leave, as computed here where that is possible."""
    stated = item.assessment
    if stated is None:
        return [figure(level_ladder(item.level, item.level, title="Sealed at"), "levels")]
    lowest, operate = stated.lowest, stated.operate
    if checked is not None:
        lowest, operate = checked.decision.lowest, checked.decision.operate
    try:
        title = "Level" if checked else "Level as its author states it, not checked here"
        parts = [figure(level_ladder(lowest, operate, title=title), "levels")]
    except AssessmentError as error:
        parts = [notice("warn", tag("p", error.message), tag("p", error.hint))]
    if item.level < operate:
        says = f"It was sealed at {item.level}, which is more open than the {operate} of its assessment."
        parts.append(notice("warn", tag("p", says)))
    elif item.level > operate:
        says = f"A person sealed it at {item.level}, more closed than the {operate} of its assessment."
        parts.append(notice("note", tag("p", says)))
    return parts


def _evidence(item: Item) -> list[Html]:
    if not item.finding.evidence:
        return [notice("warn", tag("p", "This finding carries no evidence: it is a claim only."))]
    return [evidence_part(i, each) for i, each in enumerate(item.finding.evidence, 1)]


def _provenance(item: Item) -> list[Html]:
    command = RERUN.format(item=item.id)
    evidence = item.finding.evidence
    sources = [each.provenance for each in evidence]
    made = [made_from(i, each, command, sources.index(each.provenance) + 1) for i, each in enumerate(evidence, 1)]
    return [facts([("This finding", code(item.id))], class_="facts wide"), *made]
