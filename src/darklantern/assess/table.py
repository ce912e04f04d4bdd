"""The decision table: plain data, checked when loaded.

One JSON file holds everything a reviewer may want to change: criteria, raises, sub-tables row by
row, floors, review times and thresholds. `parse` refuses a table with a missing or doubled row, a
row that opens when an input closes, or an input that never matters. These are the checks of SSVC's
own tooling; ours run at load because `decide` relies on them.

Values and outcomes are listed from open to closed everywhere; that order is the only arithmetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Annotated, Final, Literal, NoReturn

import msgspec

from darklantern.errors import AssessmentError
from darklantern.records.assessments import LEVELS, Level
from darklantern.records.exact import Name, Value

Kind = Literal["measured", "judged", "attested"]
Run = Literal["go", "metered", "stop"]
RUNS: tuple[Run, ...] = ("go", "metered", "stop")

Positive = Annotated[float, msgspec.Meta(gt=0)]
Days = Annotated[int, msgspec.Meta(ge=1)]


class Criterion(Value, frozen=True, kw_only=True):
    """One question, with its possible answers from open to closed."""

    code: Name
    name: Name
    question: Name
    values: tuple[Name, ...]
    kinds: tuple[Kind, ...]
    """the kinds of answer that count: an attestation is no measurement"""


class Raise(Value, frozen=True, kw_only=True):
    """Under a condition on some criteria, another counts as at least so closed."""

    id: Name
    at_least: dict[str, str]
    raises: dict[str, str]
    because: Name


class SubTable(Value, frozen=True, kw_only=True):
    """Every combination of the inputs, each with its outcome in the last column."""

    code: Name
    name: Name
    inputs: tuple[Name, ...]
    outcomes: tuple[Name, ...]
    rows: tuple[tuple[str, ...], ...]


class Floor(Value, frozen=True, kw_only=True):
    """Under a condition, the level is at least so closed. Monotone by its form."""

    id: Name
    at_least: dict[str, str]
    level: Level
    because: Name


class Thresholds(Value, frozen=True, kw_only=True):
    """Where measured numbers become values. Proposals, not validated."""

    about: Name
    efficiency: tuple[float, float]
    retention: tuple[float, float]
    orders_below_frontier: tuple[float, float]
    """powers of ten of training compute"""
    evaluation_gap: tuple[float, float]
    """share of the way from chance to the frontier's score that is missing"""
    broad_share: float
    fast_ratio: float
    explained_r2: float
    """of predictions of unseen interventions"""
    uplift_compute: float
    """share of compute that a gain in capability is worth"""


class Frontier(Value, frozen=True, kw_only=True):
    """The most compute a model is assumed to have been trained with, and whose word that is."""

    training_flops: Positive
    year: int
    source: Annotated[str, msgspec.Meta(min_length=1)]


class Source(Value, frozen=True, kw_only=True):
    """The file as written."""

    id: Name
    about: Name
    criteria: tuple[Criterion, ...]
    raises: tuple[Raise, ...]
    tables: tuple[SubTable, ...]
    floors: tuple[Floor, ...]
    review_days: dict[Literal["V1", "V2", "V3", "V4"], Days]
    thresholds: Thresholds
    frontier: Frontier


@dataclass(frozen=True)
class Table:
    """A checked table. Made by `parse`, so that having one means that it is total and monotone."""

    source: Source
    criteria: Mapping[str, Criterion]
    names: Mapping[str, str]
    """criterion or sub-table → its name in words"""
    scales: Mapping[str, tuple[str, ...]]
    """criterion or sub-table → its values or outcomes, open to closed"""
    cells: Mapping[str, Mapping[tuple[str, ...], str]]
    """sub-table → inputs → outcome"""

    @property
    def id(self) -> str:
        return self.source.id

    def rank(self, code: str, value: str) -> int:
        """How closed `value` is on the scale of `code`; 0 is the most open."""
        return self.scales[code].index(value)

    def criterion(self, code: str) -> Criterion:
        """The criterion of that code, or AssessmentError with the codes that there are."""
        if code not in self.criteria:
            raise AssessmentError(
                f"{code!r} is not a criterion of {self.id}", hint=f"the criteria are {', '.join(self.criteria)}"
            )
        return self.criteria[code]


_SHIPPED: Final = {"0.1.0": "table_v0_1_0.json"}
"""version → file: a version may come from a peer, and no name of a file is made from it"""


@cache
def load(version: str = "0.1.0") -> Table:
    """The table that ships with this package. Reads package data, once."""
    if version not in _SHIPPED:
        raise AssessmentError(
            f"no decision table {version} in this version of darklantern", hint=f"there is {', '.join(_SHIPPED)}"
        )
    return parse(files("darklantern.assess").joinpath(_SHIPPED[version]).read_bytes())


def parse(data: bytes) -> Table:
    """A checked table from JSON.

    Raises AssessmentError unless every sub-table is total, has each row once, never opens when an
    input closes, and lets every input matter; and unless every name it uses is defined.
    """
    try:
        source = msgspec.json.decode(data, type=Source)
    except msgspec.DecodeError as error:
        raise AssessmentError(
            f"this is no decision table: {error}", hint="see docs/spec/assessment.md for the parts of a table"
        ) from error

    scales: dict[str, tuple[str, ...]] = {}
    for criterion in source.criteria:
        _define(scales, criterion.code, criterion.values)
        if not criterion.kinds:
            _refuse(f"criterion {criterion.code} accepts no kind of answer")
    codes = set(scales)
    cells = {}
    for sub in source.tables:
        cells[sub.code] = checked_cells(sub, scales)
        _define(scales, sub.code, sub.outcomes)
    for code, expected in (("BASE", LEVELS), ("RUN", RUNS)):
        if scales.get(code) != expected:
            _refuse(f"sub-table {code} must have the outcomes {', '.join(expected)}")
    for rule in source.raises:
        _check_names(rule.id, {**rule.at_least, **rule.raises}, {c: v for c, v in scales.items() if c in codes})
    for floor in source.floors:
        _check_names(floor.id, floor.at_least, scales)
    if set(source.review_days) != set(LEVELS[1:]):
        _refuse("every level above V0 needs a review time")
    limits = source.thresholds
    for pair in (limits.efficiency, limits.retention, limits.orders_below_frontier, limits.evaluation_gap):
        if pair[0] <= pair[1]:
            _refuse(f"thresholds {pair} do not fall from open to closed")
    criteria = {criterion.code: criterion for criterion in source.criteria}
    names = {c.code: c.name for c in source.criteria} | {sub.code: sub.name for sub in source.tables}
    return Table(source, criteria, names, scales, cells)


def _define(scales: dict[str, tuple[str, ...]], code: str, values: tuple[str, ...]) -> None:
    if code in scales:
        _refuse(f"{code} is defined twice")
    if len(values) < 2 or len(set(values)) < len(values):
        _refuse(f"{code} needs two or more different values")
    scales[code] = values


def _check_names(rule: str, condition: Mapping[str, str], scales: Mapping[str, tuple[str, ...]]) -> None:
    if not condition:
        _refuse(f"{rule} has no condition")
    for code, value in condition.items():
        if value not in scales.get(code, ()):
            _refuse(f"{rule} names {code}={value}, which is not defined")


def checked_cells(sub: SubTable, scales: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """The rows as a mapping, once they are known to be total, single, monotone and to use every input."""
    for code in sub.inputs:
        if code not in scales:
            _refuse(f"sub-table {sub.code} reads {code}, which is not defined before it")
    cells = {row[:-1]: row[-1] for row in sub.rows}
    if len(cells) < len(sub.rows):
        _refuse(f"sub-table {sub.code} has {len(sub.rows) - len(cells)} rows twice")
    expected = set(product(*(scales[code] for code in sub.inputs)))
    if set(cells) != expected:
        odd = sorted(set(cells) ^ expected)[0]
        _refuse(f"sub-table {sub.code} is not total: row {odd} is missing or is no combination of its inputs")
    for inputs, outcome in cells.items():
        if outcome not in sub.outcomes:
            _refuse(f"sub-table {sub.code} gives {outcome!r} for {inputs}, which is not among its outcomes")
    for position, code in enumerate(sub.inputs):
        matters = False
        for inputs, outcome in cells.items():
            later = scales[code][scales[code].index(inputs[position]) + 1 :]
            if later:
                closer = cells[inputs[:position] + later[:1] + inputs[position + 1 :]]
                if sub.outcomes.index(closer) < sub.outcomes.index(outcome):
                    _refuse(f"sub-table {sub.code} opens from {outcome} to {closer} when {code} closes at {inputs}")
                matters = matters or closer != outcome
        if not matters:
            _refuse(f"input {code} never matters in sub-table {sub.code}")
    return cells


def _refuse(message: str) -> NoReturn:
    raise AssessmentError(message, hint="a table must be total and monotone, with every name defined; see the message")
