"""What the answers so far come to: a range of levels, what holds its closed end up, what would lower it.

The range is over *all* completions of the open answers. `table.parse` has checked that no
sub-table opens when an input closes, so the lowest level is at the corner where every criterion
takes its most open possible value and the highest at the opposite corner: two evaluations stand for
up to 78,732. The tests compare this with brute force.

"Because" and "would lower it" are two faces of one monotone function, read at the closed corner:
a *reason* is a smallest set of criteria that hold the level up whatever the others are; a
*lowering* is a smallest set that, answered more openly, brings it down.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations, product

from darklantern.assess.combine import Open, combine
from darklantern.assess.evaluate import Outcome, evaluate
from darklantern.assess.table import Run, Table
from darklantern.records.assessments import Answer, Level


@dataclass(frozen=True)
class Lowering:
    """Answers that together, with all else unchanged, would lower the level to act on."""

    answers: Mapping[str, str]
    """criterion → value"""
    level: Level
    """the level that would then be acted on"""


@dataclass(frozen=True)
class Decision:
    """What the answers come to. `operate` is the level to act on: the closed end of the range."""

    open: Mapping[str, Open]
    """criterion → what its answers leave open"""
    unknown: tuple[str, ...]
    """criteria on which nothing is excluded"""
    lowest: Level
    operate: Level
    run: Run
    outcome: Outcome
    """how the table comes to `operate`: facts, raises and binding rules"""
    reasons: tuple[tuple[str, ...], ...]
    """each a smallest set of criteria that, counted as they are, hold `operate` whatever the others are"""
    lowering: tuple[Lowering, ...]
    """the single answers that would lower `operate`: for each level they can reach, the least open one"""
    together: tuple[Lowering, ...]
    """the smallest joint changes that would, when no single one does"""
    narrowest: Lowering | None
    """what to find out first: the fewest unknown criteria, and among those the ones that would lower
    `operate` most, each at its most open value; None when no unknown can lower it"""


def decide(answers: Iterable[Answer], table: Table) -> Decision:
    """The decision that these answers leave.

    Costs a few milliseconds: three searches over sets of criteria, smallest sets first. Raises
    AssessmentError for an answer that the table does not have.
    """
    left = combine(answers, table)
    closed = {code: criterion.closed for code, criterion in left.items()}
    lowest, outcome = ends(left, table)
    unknown = tuple(code for code, criterion in left.items() if criterion.values == table.scales[code])
    lowering = _lowering(table, closed)
    return Decision(
        open=left,
        unknown=unknown,
        lowest=lowest.level,
        operate=outcome.level,
        run=outcome.run,
        outcome=outcome,
        reasons=_reasons(table, closed),
        lowering=tuple(change for change in lowering if len(change.answers) == 1),
        together=tuple(change for change in lowering if len(change.answers) > 1),
        narrowest=_narrowest(table, closed, unknown),
    )


def ends(left: Mapping[str, Open], table: Table) -> tuple[Outcome, Outcome]:
    """The two ends of the range: every criterion at its most open value left, and at its most closed one."""
    most_open = evaluate(table, {code: criterion.values[0] for code, criterion in left.items()})
    return most_open, evaluate(table, {code: criterion.closed for code, criterion in left.items()})


def _reasons(table: Table, closed: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """The smallest sets of criteria that alone, with all others at their most open, give the level."""
    level = evaluate(table, closed).level
    most_open = {code: table.scales[code][0] for code in closed}

    def holds(codes: Collection[str]) -> bool:
        return evaluate(table, {**most_open, **{code: closed[code] for code in codes}}).level == level

    sets = _smallest([code for code in closed if closed[code] != most_open[code]], holds)
    return tuple(codes for codes in sets if codes)


def _lowering(table: Table, closed: Mapping[str, str]) -> list[Lowering]:
    """For each smallest set of criteria that can lower the level, one change for each level it can reach."""
    movable = [code for code in closed if closed[code] != table.scales[code][0]]
    return [
        _least(table, closed, opened.answers, target)
        for opened in _openings(table, closed, movable)
        for target in _reachable(table, closed, opened)
    ]


def _narrowest(table: Table, closed: Mapping[str, str], unknown: Collection[str]) -> Lowering | None:
    return min(_openings(table, closed, unknown), key=lambda opened: opened.level, default=None)


def _openings(table: Table, closed: Mapping[str, str], codes: Collection[str]) -> list[Lowering]:
    """The smallest sets among `codes` that lower the level, each with its most open values."""
    level = evaluate(table, closed).level

    def opened(chosen: Iterable[str]) -> Lowering:
        return _changed(table, closed, {code: table.scales[code][0] for code in chosen})

    return [opened(chosen) for chosen in _smallest(codes, lambda chosen: opened(chosen).level < level)]


def _reachable(table: Table, closed: Mapping[str, str], opened: Lowering) -> list[Level]:
    """The levels that some values of these criteria give, below the present one."""
    level = evaluate(table, closed).level
    choices = product(*(table.scales[code] for code in opened.answers))
    levels = {_changed(table, closed, dict(zip(opened.answers, values, strict=True))).level for values in choices}
    return sorted(found for found in levels if found < level)


def _least(table: Table, closed: Mapping[str, str], codes: Iterable[str], target: Level) -> Lowering:
    """The change that reaches `target` with each answer, in turn, as closed as that allows."""
    answers = {code: table.scales[code][0] for code in codes}
    for code in answers:
        for value in table.scales[code]:
            if _changed(table, closed, {**answers, code: value}).level > target:
                break
            answers[code] = value
    return _changed(table, closed, answers)


def _changed(table: Table, closed: Mapping[str, str], answers: Mapping[str, str]) -> Lowering:
    return Lowering(answers, evaluate(table, {**closed, **answers}).level)


def _smallest(codes: Collection[str], holds: Callable[[Collection[str]], bool]) -> tuple[tuple[str, ...], ...]:
    """All sets of the least size for which `holds` is true; () if it holds for none.

    `holds` must be monotone: what fails for all codes fails for every subset, which settles it at once.
    """
    if not holds(codes):
        return ()
    sizes = (tuple(filter(holds, combinations(codes, size))) for size in range(len(codes) + 1))
    return next(found for found in sizes if found)
