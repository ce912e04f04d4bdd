"""The assessment on the page: the level with its reasons, and every criterion with its answers.

An assessment comes from a peer, so its conclusions are computed again from its own answers and
compared. Only where the table is unknown to this version are they shown as stated, and marked so.
"""

from dataclasses import dataclass

from darklantern.assess import Decision, Explanation, Open, Table, closure_lines, decide, explain, follows, load
from darklantern.drawing.scales import number
from darklantern.errors import AssessmentError
from darklantern.page.layout import facts, notice
from darklantern.page.markup import Html, spaced, tag
from darklantern.page.prose import bdi, prose
from darklantern.records.assessments import LEVEL_NAMES, Answer, Assessment


@dataclass(frozen=True, slots=True)
class Checked:
    """What this device makes of an assessment's answers by its own copy of the table."""

    table: Table
    decision: Decision
    explanation: Explanation
    agrees: bool
    """everything the record concludes follows from its answers"""


def check(assessment: Assessment | None) -> Checked | None:
    """None where there is no assessment, its table is unknown here, or the table has no place for an answer."""
    if assessment is None:
        return None
    try:
        table = load(assessment.table.rpartition("/")[2])
        if table.id != assessment.table:
            return None
        decision = decide(assessment.answers, table)
        return Checked(table, decision, explain(decision, table), follows(assessment, table))
    except AssessmentError:
        return None


def assessment_part(assessment: Assessment | None, checked: Checked | None) -> list[Html]:
    """The assessment with what `check` made of it, or that there is none."""
    if assessment is None:
        says = "Nobody has assessed this finding. What nobody knows counts as the worst it can be: V4 Private."
        return [notice("note", tag("p", says))]
    made_up = any(answer.example for answer in assessment.answers)
    parts = [_verified(assessment, checked), _conclusion(assessment, checked)]
    if made_up:
        says = " marks answers by made-up raters: this is a demonstration and no real assessment."
        parts.insert(0, notice("warn", tag("p", _EXAMPLE, says)))
    heading = tag("h3", "Criteria and answers")
    return [*parts, heading, *([_legend()] if checked else []), _criteria(assessment, checked), *_closure(assessment)]


_EXAMPLE = tag("span", "example", class_="example")


def _legend() -> Html:
    marks = (("counted", "counts"), ("possible", "still possible"), ("excluded", "excluded"))
    steps = [tag("li", says, class_=kind) for kind, says in marks]
    return tag(
        "div",
        tag("p", "Values run from open to closed; the most closed one still possible counts."),
        tag("ul", *steps, class_="scale"),
        class_="legend",
    )


def _conclusion(assessment: Assessment, checked: Checked | None) -> Html:
    if checked is None:
        level = f"{assessment.operate} {LEVEL_NAMES[assessment.operate]}"
        pairs = [("Level to act on", level), ("Binding rules", _listed(assessment.binding))]
        return facts([*pairs, ("Would lower it", _listed(assessment.lowering))], class_="facts wide")
    said = checked.explanation
    pairs = [
        ("Level to act on", tag("strong", said.level)),
        ("Because", _listed(said.because)),
        ("Binding rules", _listed(said.rules)),
        ("Counted as more closed", _listed(said.raised)),
        ("Would lower it", _listed(said.lowering)),
        ("Find out first", said.narrowest),
        ("Run", said.run),
        ("Disputed", _listed(said.disputed)),
    ]
    return facts(pairs, class_="facts wide")


def _listed(texts: tuple[str, ...]) -> str:
    if len(texts) < 2:
        return bdi(texts[0]) if texts else ""
    return tag("ul", *(tag("li", bdi(text)) for text in texts))


def _verified(assessment: Assessment, checked: Checked | None) -> Html:
    if checked is None:
        says = " is not a table that this version can apply. What follows is stated by its author and was not checked."
        return notice("warn", tag("p", bdi(assessment.table), says))
    if not checked.agrees:
        says = (
            f"The record says {assessment.operate}, and its own answers do not give that by {checked.table.id}. "
            f"Above is what they give: {checked.decision.operate}. Ask its author."
        )
        return notice("warn", tag("p", says))
    says = "Checked on this device: the level follows from the answers by table "
    return notice("good", tag("p", says, tag("code", checked.table.id, class_="mono tight"), "."))


def _criteria(assessment: Assessment, checked: Checked | None) -> Html:
    codes = list(checked.table.criteria) if checked else list(dict.fromkeys(a.criterion for a in assessment.answers))
    items = [_criterion(code, [a for a in assessment.answers if a.criterion == code], checked) for code in codes]
    return tag("ol", *items, class_="criteria")


def _criterion(code: str, answers: list[Answer], checked: Checked | None) -> Html:
    name, question = "", ""
    scale: list[Html] = []
    if checked is not None:
        criterion = checked.table.criteria[code]
        name, question = criterion.name, criterion.question
        scale = [_scale(criterion.values, checked.decision.open[code])]
    told = [tag("h4", spaced(tag("span", code, class_="letter"), name)), tag("p", question)]
    said = [_answer(each) for each in answers] or [tag("p", "No answer: every value stays open.", class_="note")]
    return tag("li", tag("div", *told, class_="asked"), tag("div", *scale, *said, class_="said"))


def _scale(values: tuple[str, ...], left: Open) -> Html:
    """The criterion's values from open to closed: which are still possible, and which one counts."""
    steps = [
        tag(
            "li",
            value.replace("_", " "),
            *([tag("span", " counts", class_="unseen")] if value == left.closed else []),
            class_="counted" if value == left.closed else "possible" if value in left.values else "excluded",
        )
        for value in values
    ]
    return tag("ol", *steps, class_="scale", aria_label="from open to closed")


def _answer(answer: Answer) -> Html:
    given = answer.status == "answered"
    said = ", ".join(value.replace("_", " ") for value in answer.values) if given else ""
    said = said or {"unknown": "unknown", "error": "failed"}.get(answer.status, "no value")
    spread = f"[{number(answer.interval[0])}, {number(answer.interval[1])}]" if answer.interval else ""
    line = [
        tag("span", answer.kind if given else f"not {answer.kind}", class_=f"kind {answer.kind}" if given else "kind"),
        tag("b", bdi(said)),
        *([tag("span", spread, class_="soft")] if spread else []),
        tag("span", "by ", bdi(answer.rater), ", ", bdi(answer.protocol), class_="soft"),
        *([_EXAMPLE] if answer.example else []),
    ]
    text = [prose(answer.text, class_="prose small")] if answer.text.strip() else []
    return tag("div", tag("p", spaced(*line)), *text, class_="answer")


def _closure(assessment: Assessment) -> list[Html]:
    """What keeping it closed costs, beside the level; it never enters the table."""
    lines = closure_lines(assessment)
    if not lines:
        return []
    split = [line.partition(": ") for line in lines]
    pairs = [(name.removeprefix("cost of closure, ").capitalize(), bdi(text)) for name, _, text in split]
    return [tag("h3", "Review, and the cost of closure"), facts(pairs)]
