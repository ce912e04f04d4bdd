"""The five levels as DESIGN section 6 has them: who may know, how to mark it, how to keep it."""

from dataclasses import dataclass

from darklantern.records.assessments import Level


@dataclass(frozen=True, slots=True)
class Audience:
    """One row of the table of levels."""

    who: str
    tlp: str
    custody: str


AUDIENCES: dict[Level, Audience] = {
    "V0": Audience("public", "TLP:CLEAR", "none"),
    "V1": Audience("all vetted members", "TLP:GREEN", "RAND SL2"),
    "V2": Audience("named organisations", "TLP:AMBER+STRICT", "RAND SL3"),
    "V3": Audience("named persons", "TLP:RED", "RAND SL3, aim SL4"),
    "V4": Audience("the originator; others only by metered query", "TLP:RED", "aim RAND SL4–5"),
}
