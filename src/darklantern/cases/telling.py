"""A case in Markdown: what is measured, what judged, which level, and why."""

from collections.abc import Sequence
from typing import Any

from darklantern.assess.decide import Decision
from darklantern.assess.explain import explain
from darklantern.assess.table import Table
from darklantern.cases.loading import Case
from darklantern.records.assessments import Answer


def outcome(case: Case, table: Table) -> dict[str, Any]:
    """What came out, as it stands in the case's `expected`."""
    answers = case.measured(table)
    decision = case.decision(table)
    measured = {each.criterion: list(each.values) for each in answers if each.status == "answered"}
    return {"lowest": decision.lowest, "operate": decision.operate, "run": decision.run, "measured": measured}


def table_lines(case: Case, table: Table, full: bool = False) -> list[str]:
    """A row for each criterion; `full` has intervals and the whole text of each answer."""
    said: dict[str, Answer] = {answer.criterion: answer for answer in (*case.answers, *_found(case, table))}
    head = "| | criterion | left open | how | " + ("interval | what it rests on |" if full else "")
    rows = [head.rstrip(), "| --- " * (6 if full else 4) + "|"]
    for code, criterion in table.criteria.items():
        answer = said.get(code)
        values = " or ".join(answer.values if answer else criterion.values)
        row = f"| {code} | {criterion.name} | {values} | {answer.kind if answer else 'nobody answered'} |"
        if full:
            row += f" {_interval(answer)} | {answer.text.replace('|', '/') if answer else _why_not(case, code)} |"
        rows.append(row)
    return rows


def level_lines(decision: Decision, table: Table) -> list[str]:
    """The level, why, and what would lower it: as a list."""
    told = explain(decision, table)
    labelled = (("because", told.because), ("rule", told.rules), ("counted", told.raised), ("lower", told.lowering))
    reasons = [f"- {label}: {text}" for label, texts in labelled for text in texts]
    first = [f"- find out first: {told.narrowest}"] if told.narrowest else []
    return [f"- **{told.level}**", *reasons, *first, f"- run: {told.run}"]


def _found(case: Case, table: Table) -> Sequence[Answer]:
    return [answer for answer in case.measured(table) if answer.status != "unknown"]


def _interval(answer: Answer | None) -> str:
    return "–" if answer is None or answer.interval is None else "{:.3g} to {:.3g}".format(*answer.interval)


def _why_not(case: Case, code: str) -> str:
    return case.subject.why_not.get(code, "")
