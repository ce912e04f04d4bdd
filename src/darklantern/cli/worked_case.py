"""`darklantern assess case`: a worked case from its measurements to its level, concluded again from its journal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from darklantern.cli.output import tell, tell_json
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.assess import Table
    from darklantern.cases import Case
    from darklantern.records.assessments import Answer

_WARNING = (
    "Thresholds are proposals that nobody has validated; what is judged or attested is an example by the authors, and "
    "no panel's; a small model is no large one."
)


def list_cases(as_json: bool) -> None:
    """Their names, titles and levels."""
    from darklantern import cases
    from darklantern.assess import load

    table = load()
    found = [(case, case.decision(table)) for case in map(cases.load, cases.names())]
    if as_json:
        tell_json([{"case": case.name, "title": case.title, "level": left.operate} for case, left in found])
        return
    for case, left in found:
        tell(f"{case.name}: {case.title}; {left.operate}")
    tell(_WARNING)


def tell_case(name: str, as_json: bool) -> None:
    """One case whole. Raises AssessmentError for a name that is none."""
    from darklantern import cases
    from darklantern.assess import load
    from darklantern.assess.explain import explain

    table, case = load(), cases.load(name)
    measured, decision = case.measured(table), case.decision(table)
    said: dict[str, Answer] = {each.criterion: each for each in (*case.answers, *measured) if each.status == "answered"}
    if as_json:
        told = {"answers": [plain(each) for each in said.values()], "lowest": decision.lowest}
        whole = {"case": name, "title": case.title, "level": decision.operate, "run": decision.run, **told}
        tell_json(
            {**whole, "remarks": list(case.remarks), "sources": [f"{each.says}; {each.at}" for each in case.sources]}
        )
        return
    tell(case.title)
    tell(case.finding)
    for line in _answers(case, table, said):
        tell(line)
    left = explain(decision, table)
    tell(f"level: {left.level}")
    for heading, lines in (("because", left.because), ("would lower it", left.lowering), ("mind", case.remarks)):
        for line in lines:
            tell(f"{heading}: {line}")
    for source in case.sources:
        tell(f"source: {source.says}; {source.at}")
    tell(_WARNING)


def _answers(case: "Case", table: "Table", said: Mapping[str, "Answer"]) -> list[str]:
    lines = []
    for code, criterion in table.criteria.items():
        answer = said.get(code)
        values = " or ".join(answer.values if answer else criterion.values)
        why = f"{answer.kind}; {answer.text}" if answer else f"nobody answered; {case.subject.why_not.get(code, '')}"
        lines.append(f"{code}, {criterion.name}: {values} ({why.rstrip('; ')})")
    return lines
