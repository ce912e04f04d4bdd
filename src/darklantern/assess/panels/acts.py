"""An act that counts for nothing, and why."""

from dataclasses import dataclass

from darklantern.records.exact import Sha256
from darklantern.records.ratings import Person


@dataclass(frozen=True)
class Refused:
    """An act that counts for nothing."""

    id: Sha256
    who: Person
    why: str
