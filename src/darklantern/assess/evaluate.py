"""One value for every criterion → a level, by the table and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from darklantern.assess.table import RUNS, Raise, Run, Table
from darklantern.errors import AssessmentError
from darklantern.records.assessments import LEVELS, Level


@dataclass(frozen=True)
class Rule:
    """One line of the table that gives a level: the cell before floors, or a floor."""

    id: str
    level: Level
    condition: Mapping[str, str]
    because: str
    """why a floor is there; empty for the cell, whose row is its own reason"""


@dataclass(frozen=True)
class Outcome:
    """What one full assignment comes to, and by which rules."""

    level: Level
    run: Run
    facts: Mapping[str, str]
    """what each criterion counted as, and what each sub-table gave"""
    raised: tuple[Raise, ...]
    """the raises that changed an answer"""
    binding: tuple[Rule, ...]
    """the rules that give this level; none at V0, which nothing holds up"""


def evaluate(table: Table, assignment: Mapping[str, str]) -> Outcome:
    """The outcome of one value for every criterion.

    Raises AssessmentError for a code or value that the table does not have, or one that is missing.
    """
    _check_assignment(table, assignment)
    facts = dict(assignment)

    # 1. A raise looks at the answers as given, never at another raise: order cannot matter.
    raised = []
    for rule in table.source.raises:
        if _holds(table, rule.at_least, assignment) and not _holds(table, rule.raises, facts):
            for code, value in rule.raises.items():
                facts[code] = max(facts[code], value, key=partial(table.rank, code))
            raised.append(rule)

    # 2. Each sub-table adds its outcome to the facts; BASE reads the earlier ones.
    for sub in table.source.tables:
        facts[sub.code] = table.cells[sub.code][tuple(facts[code] for code in sub.inputs)]

    # 3. The level is the most closed of the base cell and the floors that hold.
    rules = [_base_rule(table, facts)]
    rules += [
        Rule(floor.id, floor.level, floor.at_least, floor.because)
        for floor in table.source.floors
        if _holds(table, floor.at_least, facts)
    ]
    level = max(rule.level for rule in rules)
    binding = tuple(rule for rule in rules if rule.level == level and level != LEVELS[0])
    return Outcome(level, RUNS[table.rank("RUN", facts["RUN"])], facts, tuple(raised), binding)


def _holds(table: Table, at_least: Mapping[str, str], facts: Mapping[str, str]) -> bool:
    return all(table.rank(code, facts[code]) >= table.rank(code, value) for code, value in at_least.items())


def _base_rule(table: Table, facts: Mapping[str, str]) -> Rule:
    base = next(sub for sub in table.source.tables if sub.code == "BASE")
    level = LEVELS[table.rank("BASE", facts["BASE"])]
    return Rule("base", level, {code: facts[code] for code in base.inputs}, "")


def _check_assignment(table: Table, assignment: Mapping[str, str]) -> None:
    for code, value in assignment.items():
        if value not in table.criterion(code).values:
            raise AssessmentError(
                f"{value!r} is not a value of criterion {code}",
                hint=f"{code} is one of {', '.join(table.scales[code])}",
            )
    missing = [code for code in table.criteria if code not in assignment]
    if missing:
        raise AssessmentError(
            f"no value for {', '.join(missing)}", hint="`decide` takes partial answers; `evaluate` needs all criteria"
        )
