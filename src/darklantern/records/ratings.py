"""What a panel of raters does about one finding: ratings that are committed to before they are shown, votes, overrides.

Each act is one record, signed and sealed like every word about the finding. An act names the panel by the id of the act
that opened it. No level is ever typed: answers are, and the table concludes.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from darklantern.records.assessments import Code, Date, Level
from darklantern.records.exact import Name, Reason, Sha256, Text, Time, Value, encode

Role = Literal["member", "outside", "red_team"]
"""outside: of another organisation than the finding's author. Red team: answers what a capabilities organisation would
do"""

OverrideCode = Literal["already_public", "emergency", "law", "table_is_wrong", "other"]
LEAST_RATERS = 3
NONCE = 64
"""hexadecimal digits"""


class Person(Value, frozen=True, kw_only=True, order=True):
    """Somebody, as the roster knows them."""

    org: Name
    person: Name


class Rater(Value, frozen=True, kw_only=True):
    """Who is asked, in which role, and who may step in for them."""

    who: Person
    role: Role
    substitute: Person | None = None


class Rated(Value, frozen=True, kw_only=True):
    """One rater's answer to one criterion. `unknown` is every value: someone looked and could not tell."""

    criterion: Code
    values: tuple[Name, ...]
    unknown: bool = False
    text: Text = ""


class Rating(Value, frozen=True, kw_only=True):
    """What one rater says of a finding, whole."""

    finding: Sha256
    table: Name
    rater: Person
    """so that a copy of somebody else's is none of one's own"""
    round: Literal[1, 2]
    answers: tuple[Rated, ...]
    red_team: Text = ""
    """what would a capabilities organisation do with it? Asked of the red team"""

    def __post_init__(self) -> None:
        if len({each.criterion for each in self.answers}) < len(self.answers):
            raise ValueError("expected one answer to a criterion")


class PanelOpened(Value, frozen=True, kw_only=True, tag_field="act", tag="panel"):
    """A panel begins: three raters or more, one from outside, one of a red team."""

    finding: Sha256
    table: Name
    level: Level
    """at which the finding is now"""
    raters: Annotated[tuple[Rater, ...], msgspec.Meta(min_length=LEAST_RATERS, max_length=50)]
    commit_by: Time
    reveal_by: Time
    second_by: Time

    def __post_init__(self) -> None:
        people = [each.who for each in self.raters]
        people += [each.substitute for each in self.raters if each.substitute is not None]
        if len(set(people)) < len(people):
            raise ValueError("expected each person once among raters and substitutes")
        if not {"outside", "red_team"} <= {each.role for each in self.raters}:
            raise ValueError("expected a rater from outside and one of a red team")
        if not self.commit_by < self.reveal_by < self.second_by:
            raise ValueError("expected deadlines one after the other")


class Committed(Value, frozen=True, kw_only=True, tag_field="act", tag="commitment"):
    """A first-round rating exists and will not change: SHA-256 of its exact bytes and a nonce."""

    panel: Sha256
    commitment: Sha256


class Revealed(Value, frozen=True, kw_only=True, tag_field="act", tag="reveal"):
    """What was committed to."""

    panel: Sha256
    rating: Rating
    nonce: Annotated[str, msgspec.Meta(pattern=rf"^[0-9a-f]{{{NONCE}}}\Z")]


class RatedAgain(Value, frozen=True, kw_only=True, tag_field="act", tag="second_round"):
    """A second-round rating, by somebody who has seen all first ones."""

    panel: Sha256
    rating: Rating


class Adjudicated(Value, frozen=True, kw_only=True, tag_field="act", tag="adjudication"):
    """What a disagreement comes to, as its author sees it. It takes two who see it so, one from outside."""

    panel: Sha256
    criterion: Code
    values: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    text: Reason


class Voted(Value, frozen=True, kw_only=True, tag_field="act", tag="vote"):
    """For or against opening the finding at a level."""

    panel: Sha256
    level: Level
    agrees: bool
    text: Text = ""


class Closed(Value, frozen=True, kw_only=True, tag_field="act", tag="closing"):
    """It is more dangerous than it seemed: it counts as this closed at once, for thirty days unless seconded."""

    panel: Sha256
    level: Level
    text: Reason


class Seconded(Value, frozen=True, kw_only=True, tag_field="act", tag="second"):
    """Somebody else sees a closing so too: it stays."""

    panel: Sha256
    closing: Sha256


class Overridden(Value, frozen=True, kw_only=True, tag_field="act", tag="override"):
    """Another level than the panel's, for a reason and a time. It takes two who sign the same, one from outside."""

    panel: Sha256
    before: Level
    after: Level
    code: OverrideCode
    text: Reason
    expires: Date


Act = PanelOpened | Committed | Revealed | RatedAgain | Adjudicated | Voted | Closed | Seconded | Overridden


@dataclass(frozen=True)
class Done:
    """An act as it stands in the circle's log."""

    id: Sha256
    who: Person
    """whose key signed it, by the roster"""
    time: Time
    """its author's word"""
    act: Act


def commitment(rating: Rating, nonce: str) -> Sha256:
    """SHA-256 of a rating's exact bytes and the nonce's 32 bytes, which keeps short ratings from being guessed."""
    return hashlib.sha256(encode(rating) + bytes.fromhex(nonce)).hexdigest()
