"""An assessment on one page, for somebody busy: the level, why, what would lower it, and what rests on what.

On the page behind a finding, and as a file that stands by itself for printing. It shows what this device computes from
the answers, never what the record claims.
"""

from collections import Counter
from collections.abc import Sequence
from importlib.resources import files

from darklantern.assess import Open, closure_lines
from darklantern.assess.panels import Panel
from darklantern.counted import counted
from darklantern.drawing import level_ladder
from darklantern.errors import AssessmentError
from darklantern.page.judged import Checked, check
from darklantern.page.layout import document, facts, figure, notice
from darklantern.page.levels import AUDIENCES
from darklantern.page.markup import Html, spaced, tag, together
from darklantern.page.panels import closed_by, panel_part
from darklantern.page.prose import bdi
from darklantern.page.views import Item
from darklantern.records.assessments import LEVEL_NAMES, Answer, Assessment

NOT_VALIDATED = (
    "The table and its thresholds are proposals that no panel has validated, and they lean closed. A level is advice: "
    "people decide."
)
_REASONS = 2
_LOWERING = 3
_LETTERS = 160
"""of an answer's text"""


def page(item: Item, assessment: Assessment, panel: Panel | AssessmentError | None) -> Html:
    """The sheet behind a finding of the library. Raises AssessmentError for a range that ends before it starts."""
    title = item.finding.title
    back = tag("p", tag("a", "← The whole finding", href=f"../finding/{item.id}"), class_="crumb")
    parts = _parts(title, assessment, closed_by(panel, item.level), panel_part(panel))
    return document(title, tag("main", back, *parts, id="content", class_="sheet"), root="../")


def alone(title: str, assessment: Assessment) -> Html:
    """The sheet as a file that fetches nothing, to be printed or sent on by whoever may."""
    style = files("darklantern.page").joinpath("static", "page.css").read_text()
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · Dark Lantern"),
        Html(f"<style>{style}</style>"),
    )
    body = tag("body", tag("main", *_parts(title, assessment), id="content", class_="sheet"))
    return together(Html("<!doctype html>\n"), tag("html", head, body, lang="en"))


def _parts(title: str, assessment: Assessment, first: Sequence[Html] = (), panel: Sequence[Html] = ()) -> list[Html]:
    checked = check(assessment)
    heading = tag("div", tag("p", "Assessment", class_="over"), tag("h1", title, dir="auto"), class_="title")
    if checked is None:
        says = f"{assessment.table} is not a table that this version can apply: it says nothing about this assessment."
        return [heading, *first, notice("warn", tag("p", says)), *panel]
    decision = checked.decision
    ladder = figure(level_ladder(decision.lowest, decision.operate, title="Level"), "levels")
    remarks = _remarks(assessment, checked)
    return [
        heading,
        tag("div", _verdict(checked), ladder, class_="verdict"),
        *first,
        *remarks,
        _why(checked),
        _answers(assessment.answers, checked),
        facts(_closure(assessment), class_="facts wide"),
        *panel,
        tag("p", f"Table {checked.table.id}. {NOT_VALIDATED}", class_="note"),
    ]


def _verdict(checked: Checked) -> Html:
    level = checked.decision.operate
    audience = AUDIENCES[level]
    return tag(
        "div",
        tag("p", spaced(tag("b", level), LEVEL_NAMES[level]), class_="level"),
        tag("p", f"For {audience.who}.", class_="for"),
        tag("p", f"Marking {audience.tlp}, custody {audience.custody}. It {checked.explanation.run}.", class_="soft"),
    )


def _remarks(assessment: Assessment, checked: Checked) -> list[Html]:
    """What must not be missed: another level than the record claims, made-up raters, disputes."""
    said = []
    if not checked.agrees:
        said.append(f"The record claims {assessment.operate}; its own answers give {checked.decision.operate}.")
    said += [text for text in (checked.explanation.examples, *checked.explanation.disputed) if text]
    return [notice("warn", *(tag("p", bdi(_sentence(text))) for text in said))] if said else []


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _why(checked: Checked) -> Html:
    said = checked.explanation
    pairs = [
        ("Why", _listed(said.because[:_REASONS], len(said.because))),
        ("Would lower it", _listed(said.lowering[:_LOWERING], len(said.lowering))),
        ("Find out first", bdi(_sentence(said.narrowest)) if said.narrowest else ""),
        ("Counted as more closed", _listed(said.raised, len(said.raised))),
    ]
    return facts(pairs, class_="facts wide")


def _listed(texts: Sequence[str], total: int) -> str:
    if not texts:
        return ""
    more = [tag("li", f"and {total - len(texts)} more, each enough by itself", class_="soft")] * (total > len(texts))
    return tag("ul", *(tag("li", bdi(_sentence(text))) for text in texts), *more)


def _answers(answers: Sequence[Answer], checked: Checked) -> Html:
    """Every criterion in a line: which values are left, from open to closed, and on whose word."""
    rows = []
    for code, left in checked.decision.open.items():
        own = [each for each in answers if each.criterion == code]
        name = spaced(tag("span", code, class_="letter"), checked.table.names[code])
        rows.append(
            tag(
                "tr",
                tag("th", name, scope="row"),
                tag("td", _scale(checked.table.scales[code], left)),
                tag("td", _whose(own)),
            )
        )
    head = tag("tr", *(tag("th", each, scope="col") for each in ("Criterion", "From open to closed", "On whose word")))
    caption = tag("caption", _tally(answers, checked))
    return tag("table", caption, tag("thead", head), tag("tbody", *rows), class_="table answers")


def _tally(answers: Sequence[Answer], checked: Checked) -> str:
    """How many criteria rest on measurements, how many on people, and how many on nobody."""
    kinds: Counter[str] = Counter()
    for code in checked.decision.open:
        own = {each.kind for each in answers if each.criterion == code and each.status == "answered"}
        kinds["measured" if "measured" in own else "judged or attested" if own else "unknown"] += 1
    people = {each.rater for each in answers if each.kind != "measured"}
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"{told}; {counted(len(people), 'rater')}"


def _scale(values: Sequence[str], left: Open) -> Html:
    steps = [
        tag(
            "li",
            value.replace("_", " "),
            class_="counted" if value == left.closed else "possible" if value in left.values else "excluded",
        )
        for value in values
    ]
    return tag("ol", *steps, class_="scale")


def _whose(answers: Sequence[Answer]) -> Html:
    """The measurement where there is one, else people; the first words of each."""
    shown = [each for each in answers if each.status == "answered"] or list(answers)
    shown.sort(key=lambda each: each.kind != "measured")
    if not shown:
        return tag("span", "nobody: every value counts as possible", class_="soft")
    lines = [
        tag("p", spaced(tag("span", _word(each), class_=f"kind {each.kind}"), bdi(_short(each)))) for each in shown[:2]
    ]
    if len(shown) > 2:
        lines.append(tag("p", f"and {counted(len(shown) - 2, 'more answer')}", class_="soft"))
    return together(*lines)


def _word(answer: Answer) -> str:
    return answer.kind if answer.status == "answered" else f"not {answer.kind}"


def _short(answer: Answer) -> str:
    said = " ".join(answer.text.split())
    said = said if len(said) <= _LETTERS else said[: _LETTERS - 1].rstrip() + "…"
    if answer.kind == "measured":
        return said or answer.protocol
    return f"{answer.rater}: {said}" if said else answer.rater


def _closure(assessment: Assessment) -> list[tuple[str, str]]:
    split = [line.partition(": ") for line in closure_lines(assessment)]
    return [(_named(name), bdi(text)) for name, _, text in split]


def _named(name: str) -> str:
    return name.replace("cost of closure, ", "Closing: ").capitalize() if "cost" in name else name.capitalize()
