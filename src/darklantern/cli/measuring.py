"""`darklantern assess run`: costs first, then trials with a bar, then answers in a file and the level they lead to."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from darklantern.cli.kinds import FORM, expecting
from darklantern.cli.library_option import say
from darklantern.cli.options import check_place
from darklantern.cli.output import tell, tell_json
from darklantern.cli.own_code import called
from darklantern.counted import counted
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer, AnswerSet
from darklantern.records.exact import encode, plain

if TYPE_CHECKING:
    from darklantern.assess.protocols import Plan, Subject

_FIRST: Final = 3
"""criteria that are told to find out first"""
_UNITS: Final = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Asked:
    """What the command line said."""

    measure: tuple[str, ...]
    within: str | None
    plan: bool
    journal: Path | None
    out: Path | None


def measure_finding(form: Path, setup: str, asked: Asked, as_json: bool) -> None:
    """Say what it costs, measure, write the answers, and tell the level with them. Raises DarkLanternError."""
    from darklantern.assess import decide, explain, load
    from darklantern.assess.protocols import bars, journal, measured, planned
    from darklantern.cli.finding_form import prepared, read_form
    from darklantern.files import write_whole

    with expecting(form, FORM):
        read_form(form)
    table, seconds = load(), None if asked.within is None else duration(asked.within)
    out = asked.out or form.with_suffix(".answers.json")
    kept = asked.journal or form.with_suffix(".journal.jsonl")
    for place in (out, kept):
        check_place(place)
    subject, code = subject_of(setup), hashlib.sha256(Path(setup.rpartition(":")[0]).read_bytes()).hexdigest()
    criteria = asked.measure or None
    with journal(kept if not asked.plan or kept.exists() else None, subject.name, code) as notes:
        plans = planned(subject, notes, criteria)
        if not as_json:
            tell_plans(plans)
            tell_first(form, planned(subject, notes), out)
        if other := notes.otherwise():
            say(
                f"{counted(other, 'outcome')} in {kept} came from another version of {setup}, and count all the same: "
                f"name the subject anew (it is {subject.name!r}) where the change would have found something else"
            )
        if asked.plan:
            if as_json:
                tell_json([_plain_plan(each) for each in plans])
            return
        with bars() as progress:
            answers = measured(subject, notes, table, criteria, seconds, progress)
    # What was measured before of other criteria stands: a run of some is no reason to forget the others.
    kept_answers = _others(out, subject.name, {each.criterion for each in answers})
    made = AnswerSet(source=subject.name, answers=(*kept_answers, *answers))
    write_whole(out, encode(made) + b"\n")
    if as_json:
        tell_json(plain(made))
        return
    tell_answers(answers)
    tell(f"kept in {out}")
    found = read_form(form)
    if str(out.name) not in found.answers_from:
        tell(f'a line in {form} takes it along: answers_from = ["{out.name}"]')
    with expecting(form, FORM):
        said = prepared(form).assessment.answers
    whole = (*(each for each in said if each not in made.answers), *made.answers)
    for line in explain(decide(whole, table), table).lines():
        tell(line)


def subject_of(setup: str) -> "Subject":
    """The subject that the user's own function gives. Raises AssessmentError."""
    from darklantern.assess import Subject

    found = called(setup, AssessmentError)
    if not isinstance(found, Subject):
        raise AssessmentError(
            f"expected {setup} to return a darklantern.assess.Subject, got {type(found).__name__}",
            hint="docs/assessing.md shows one",
        )
    return found


def duration(text: str) -> float:
    """Seconds. Raises AssessmentError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|min|h)", text.strip())
    if found is None:
        raise AssessmentError(f"expected a time, got {text!r}", hint="90s, 10min or 2h")
    return float(found[1]) * _UNITS[found[2]]


def tell_plans(plans: "Sequence[Plan]") -> None:
    """What each criterion would cost."""
    for each in plans:
        tell(f"{each.protocol.criterion}, {each.protocol.id}: {each.says}")


def tell_first(form: Path, plans: "Sequence[Plan]", out: Path) -> None:
    """What narrows the form's level most, and most for its cost as far as that is known."""
    from darklantern.assess import combine, load, narrowing
    from darklantern.cli.finding_form import prepared

    table = load()
    left = combine(prepared(form, to_come=out).assessment.answers, table)
    costs: dict[str, float | None] = {each.protocol.criterion: each.seconds for each in plans if each.left}
    known = any(seconds is not None for seconds in costs.values())
    found = [each for each in narrowing(left, table, costs if known else None) if each.expected > 0]
    for each in found[:_FIRST]:
        name = f"{each.criterion} ({table.names[each.criterion]})"
        said = f"{name} narrows the range by {each.expected:.2f} levels on average"
        whose = "" if each.criterion in costs else ", and is people's to answer"
        tell(said + whose, lead="find out first: " if each is found[0] else "then: ")
    if left and not found:
        tell("no single answer narrows the range", lead="find out first: ")


def tell_answers(answers: Sequence[Answer]) -> None:
    """What each measurement leaves open."""
    for each in answers:
        said = " or ".join(each.values) if each.status == "answered" else "not measured"
        said = "the measurement failed" if each.status == "error" else said
        tell(f"{each.criterion}: {said}; {each.text}")


def _others(out: Path, subject: str, criteria: set[str]) -> tuple[Answer, ...]:
    from darklantern.records.exact import decode

    if not out.exists():
        return ()
    before = decode(AnswerSet, out.read_bytes().strip())
    if before.source != subject:
        raise AssessmentError(
            f"{out} has what was measured of {before.source!r}, and this is {subject!r}", hint="another --out"
        )
    return tuple(each for each in before.answers if each.criterion not in criteria)


def _plain_plan(plan: "Plan") -> dict[str, object]:
    protocol = plan.protocol
    return {
        "criterion": protocol.criterion,
        "protocol": protocol.id,
        "trials": len(plan.trials),
        "left": len(plan.left),
        "seconds": plan.seconds,
        "needs": None if plan.trials else protocol.needs,
    }
