"""An assessment: raters' answers to the criteria, and what the decision table makes of them."""

from typing import Annotated, Literal

import msgspec

from darklantern.records.exact import Name, Sha256, Text, Value

Level = Literal["V0", "V1", "V2", "V3", "V4"]
LEVELS: tuple[Level, ...] = ("V0", "V1", "V2", "V3", "V4")
LEVEL_NAMES: dict[str, str] = {"V0": "Open", "V1": "Commons", "V2": "Compartment", "V3": "Named", "V4": "Private"}

Code = Literal["A", "G", "B", "N", "W", "F", "E", "K", "U", "S", "O"]
"""A criterion; the decision table says what it asks."""

Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d\Z")]


class Answer(Value, frozen=True, kw_only=True):
    """What one rater, or one measurement, says about one criterion.

    `values` is the set that the answer leaves open. Status `unknown` and `error` mean all values,
    whatever `values` says: not measured must never read as a pass.
    """

    criterion: Code
    values: tuple[Name, ...]
    kind: Literal["measured", "judged", "attested"]
    status: Literal["answered", "unknown", "error"] = "answered"
    rater: Name
    protocol: Name
    """name and version of the measurement protocol or rubric"""
    evidence: tuple[Sha256, ...] = ()
    interval: tuple[float, float] | None = None
    text: Text = ""
    example: bool = False
    """true for a demonstration answer by a made-up rater"""


class ClosureCost(Value, frozen=True, kw_only=True):
    """What keeping a finding from others costs, as people state it. Empty means not stated."""

    delay: Text = ""
    """what comes later because of it"""
    who_loses: Text = ""
    """who would use it and may not"""
    rediscovery: Text = ""
    """the odds that others find it within a stated time, and how that was judged"""
    expected_value: Text = ""


class Assessment(Value, frozen=True, kw_only=True):
    """All answers to the criteria for one finding, with the range of levels they leave open."""

    v: Literal[1] = 1
    finding: Sha256
    table: Name
    """id and version of the decision table"""
    answers: tuple[Answer, ...]
    lowest: Level
    operate: Level
    """the closed end of the range, which is the level to act on"""
    run: Literal["go", "metered", "stop"]
    """may it be run on this model: the closed end of that range"""
    binding: tuple[str, ...]
    """the rules that hold the level up"""
    lowering: tuple[str, ...]
    """the single changes of input that would lower it, or the smallest joint ones when no single one does"""
    review_due: Date | None = None
    """when the level must be looked at again; None only at V0, which cannot be taken back"""
    closure_cost: ClosureCost = ClosureCost()
    """stands beside the level and never enters the table"""


class AnswerSet(Value, frozen=True, kw_only=True):
    """Answers from one source, to take into an assessment: what was measured of a subject, or what somebody else
    judged."""

    v: Literal[1] = 1
    source: Name
    """the subject that was measured, with its version; or whose answers they are"""
    answers: tuple[Answer, ...]
