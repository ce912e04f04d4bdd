"""Evidence and answers → who may know: a level, its range, and the reasons in words.

In: answers to eleven criteria, measured, judged or attested, and a decision table. Out: the range of
levels that the answers leave open, the closed end to act on, what holds it up and what would lower
it. What nobody knows counts as the worst it can be, so a finding without answers is Private.

What a finding's method does is measured by `protocols`, as far as it can be run; `bits` counts what comes out of a
model.

This room never lowers a level for want of an answer, never lets costs or votes into the table, and reads no file but
its own table and journals. A level is advice to people: they decide, and sealing enforces.
"""

import sys
from inspect import signature
from types import ModuleType

from darklantern.assess.bits import pvi_bits
from darklantern.assess.bounds import Trials
from darklantern.assess.combine import Open, combine
from darklantern.assess.decide import Decision, Lowering, decide
from darklantern.assess.evaluate import Outcome, Rule, evaluate
from darklantern.assess.explain import Explanation, closure_lines, explain
from darklantern.assess.narrowing import Narrowing, narrowing
from darklantern.assess.protocols import (
    Subject,
    Trace,
    breadth_speed,
    capability_needed,
    efficiency,
    fragility,
    frontier_distance,
    not_measured,
)
from darklantern.assess.record import assess, follows, level_follows
from darklantern.assess.review import review_due
from darklantern.assess.table import Table, load, parse

__all__ = [
    "Decision",
    "Explanation",
    "Lowering",
    "Narrowing",
    "Open",
    "Outcome",
    "Rule",
    "Subject",
    "Table",
    "Trace",
    "Trials",
    "assess",
    "breadth_speed",
    "capability_needed",
    "closure_lines",
    "combine",
    "decide",
    "efficiency",
    "evaluate",
    "explain",
    "follows",
    "fragility",
    "frontier_distance",
    "level_follows",
    "load",
    "narrowing",
    "not_measured",
    "parse",
    "pvi_bits",
    "review_due",
]


class _Room(ModuleType):
    """`darklantern.assess` names this room and its main function; calling the room calls the function."""

    __call__ = staticmethod(assess)


__signature__ = signature(assess)  # `inspect` takes the first parameter of a `__call__` for `self`
sys.modules[__name__].__class__ = _Room
