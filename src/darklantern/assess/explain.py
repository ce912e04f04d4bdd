"""A decision in words: plain text for a terminal, a page or a record.

Pure: structured values in, sentences out. Nothing here decides, colours or prints.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from darklantern.assess.combine import Open
from darklantern.assess.decide import Decision, Lowering
from darklantern.assess.evaluate import Rule
from darklantern.assess.table import Raise, Table
from darklantern.records.assessments import LEVEL_NAMES, Assessment, Level

RUN_WORDS = {
    "go": "may be run on this model",
    "metered": "may be run on this model in a sandbox, through a metered outlet",
    "stop": "may not be run on this model",
}


@dataclass(frozen=True)
class Explanation:
    """Why this level, and what would lower it. Each string is one line without its label."""

    level: str
    """the level to act on, and the range it closes"""
    because: tuple[str, ...]
    """smallest sets of answers, each enough on its own to hold the level up"""
    rules: tuple[str, ...]
    """the lines of the table that give the level"""
    raised: tuple[str, ...]
    """answers that counted as more closed than they were given"""
    lowering: tuple[str, ...]
    """single answers that would lower it, or the smallest joint ones when no single one does"""
    narrowest: str
    """what to find out first; empty when no unknown can lower the level"""
    run: str
    disputed: tuple[str, ...]
    """answers that have nothing in common with a measurement"""
    examples: str
    """which answers came from made-up raters; empty when none did"""

    def lines(self) -> tuple[str, ...]:
        """The whole explanation, one labelled sentence for each line."""
        return (
            self.level,
            *_labelled("because", self.because),
            *_labelled("rule", self.rules),
            *_labelled("counted", self.raised),
            *_labelled("lower", self.lowering),
            *_labelled("find out first", (self.narrowest,) if self.narrowest else ()),
            *_labelled("run", (self.run,)),
            *_labelled("disputed", self.disputed),
            *_labelled("examples", (self.examples,) if self.examples else ()),
        )


def explain(decision: Decision, table: Table) -> Explanation:
    """The decision in words, with criteria named by code and name."""
    examples = [_name(table, code) for code, left in decision.open.items() if left.example]
    return Explanation(
        level=_level(decision),
        because=tuple(_and(_counts(table, decision.open[code]) for code in codes) for codes in decision.reasons),
        rules=tuple(rule_line(rule, table) for rule in decision.outcome.binding),
        raised=tuple(
            f"{_name(table, code)} counts as {value} {_while(rule, table)}: {rule.because}"
            for rule in decision.outcome.raised
            for code, value in rule.raises.items()
        ),
        lowering=lowering_lines(decision, table),
        narrowest=_narrowest(decision, table),
        run=RUN_WORDS[decision.run],
        disputed=tuple(
            f"{_name(table, code)}: an answer has nothing in common with the measurement; all of it stays open"
            for code, left in decision.open.items()
            if left.disputed
        ),
        examples=f"made-up raters answered {_and(examples)}; this is no real assessment" if examples else "",
    )


def rule_line(rule: Rule, table: Table) -> str:
    """One rule of the table, in words. A floor holds from its condition on, so its condition says "at least"."""
    if rule.id == "base":
        return f"base gives {named(rule.level)}: " + _and(
            f"{table.names[code]} is {value}" for code, value in rule.condition.items()
        )
    condition = _and(f"{table.names[code]} is at least {value}" for code, value in rule.condition.items())
    return f"{rule.id} gives {named(rule.level)}: {condition} ({rule.because})"


def lowering_lines(decision: Decision, table: Table) -> tuple[str, ...]:
    """The changes that would lower the level, in words; says so when it takes more than one answer."""
    if decision.lowering:
        return tuple(_change(lowering, table) for lowering in decision.lowering)
    return tuple(f"no single answer, but {_change(lowering, table)}" for lowering in decision.together)


def closure_lines(assessment: Assessment) -> tuple[str, ...]:
    """What keeping the finding from others costs; what nobody has said is shown as not stated. Empty at V0."""
    if assessment.review_due is None:
        return ()
    cost = assessment.closure_cost
    said = {
        "delay": cost.delay,
        "who loses": cost.who_loses,
        "rediscovery": cost.rediscovery,
        "expected value": cost.expected_value,
    }
    return (
        f"review due: {assessment.review_due}",
        *(f"cost of closure, {label}: {text or 'not stated'}" for label, text in said.items()),
    )


def named(level: Level) -> str:
    """The level with its name: `V4 Private`."""
    return f"{level} {LEVEL_NAMES[level]}"


def _level(decision: Decision) -> str:
    if all(len(left.values) == 1 for left in decision.open.values()):
        return named(decision.operate)
    if decision.lowest == decision.operate:
        return f"{named(decision.operate)}, whatever the open answers turn out to be"
    return f"{named(decision.operate)}, the closed end of {decision.lowest} to {decision.operate}"


def _counts(table: Table, left: Open) -> str:
    """How one criterion came to count as it does."""
    name = _name(table, left.criterion)
    if left.values == table.scales[left.criterion]:
        return f"{name} is unknown (counts as {left.closed})"
    if len(left.values) > 1:
        return f"{name} may be {' or '.join(left.values)} (counts as {left.closed})"
    return f"{name} is {left.closed}"


def _change(lowering: Lowering, table: Table) -> str:
    answers = _and(f"{_name(table, code)} were {value}" for code, value in lowering.answers.items())
    return f"it would be {named(lowering.level)} if {answers}"


def _narrowest(decision: Decision, table: Table) -> str:
    if decision.narrowest is None:
        return ""
    codes = _and(_name(table, code) for code in decision.narrowest.answers)
    return f"{codes}; at best, it would be {named(decision.narrowest.level)}"


def _while(rule: Raise, table: Table) -> str:
    return "while " + _and(f"{_name(table, code)} counts as {value}" for code, value in rule.at_least.items())


def _name(table: Table, code: str) -> str:
    return f"{code} ({table.names[code]})"


def _and(parts: Iterable[str]) -> str:
    *head, last = parts
    return f"{', '.join(head)} and {last}" if head else last


def _labelled(label: str, texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{label}: {text}" for text in texts)
