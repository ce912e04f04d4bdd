"""The pledge: a person's signed commitment, and the one that a circle asks for.

In: what was asked and what was signed. Out: why a pledge does not count, or nothing. A pledge is
evidence of a promise; nothing here enforces it.
"""

from collections.abc import Iterable
from typing import Literal

from darklantern.network.clock import seconds
from darklantern.network.rosters import Count
from darklantern.records.exact import Name, Sha256, Time, Value


class PledgeText(Value, frozen=True, kw_only=True):
    """Which commitment: a name, a version and the SHA-256 of the exact text."""

    name: Name
    version: Count
    text: Sha256


class Pledge(Value, frozen=True, kw_only=True):
    """A person's promise, signed by one of their devices. It binds the person, on all devices."""

    v: Literal[1] = 1
    org: Name
    person: Name
    pledge: PledgeText
    until: Time


def missing(required: PledgeText, signed: Iterable[Pledge], now: int) -> str | None:
    """Why these pledges of one person do not meet `required` at `now`, or None when one does."""
    named = [pledge for pledge in signed if pledge.pledge.name == required.name]
    if not named:
        return f"has not signed the pledge {required.name!r}"
    versions = [pledge for pledge in named if pledge.pledge.version == required.version]
    if not versions:
        return f"has signed {required.name!r}, but not its version {required.version}"
    exact = [pledge for pledge in versions if pledge.pledge.text == required.text]
    if not exact:
        return f"has signed {required.name!r} version {required.version} with another text"
    latest = max(exact, key=lambda pledge: seconds(pledge.until))
    return f"pledge {required.name!r} expired on {latest.until}" if seconds(latest.until) <= now else None
