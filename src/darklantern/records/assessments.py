"""An assessment: raters' answers to the criteria, and what the decision table makes of them."""

from typing import Literal

from darklantern.records.exact import Name, Sha256, Text, Value

Level = Literal["V0", "V1", "V2", "V3", "V4"]
LEVELS: tuple[Level, ...] = ("V0", "V1", "V2", "V3", "V4")
LEVEL_NAMES: dict[str, str] = {"V0": "Open", "V1": "Commons", "V2": "Compartment", "V3": "Named", "V4": "Private"}


class Answer(Value, frozen=True, kw_only=True):
    """What one rater, or one measurement, says about one criterion.

    `values` is the set that the answer leaves open. Status `unknown` and `error` mean all values,
    whatever `values` says: not measured must never read as a pass.
    """

    criterion: Literal["A", "G", "B", "N", "W", "F", "E", "K", "U", "S", "O"]
    values: tuple[str, ...]
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
    """the single changes of input that would lower it"""
