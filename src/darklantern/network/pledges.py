"""The pledge: a person's signed commitment, what a circle asks for, and the record that one was broken.

In: what was asked, what was signed, what was broken. Out: why a pledge does not count, or nothing. A pledge is
evidence of a promise; nothing here enforces it.
"""

import hashlib
import shlex
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from darklantern.network.clock import seconds
from darklantern.network.rosters import Count
from darklantern.records.exact import Name, Reason, Sha256, Time, Value, encode


class PledgeText(Value, frozen=True, kw_only=True):
    """Which commitment: a name, a version and the hash of the exact `Commitment`."""

    name: Name
    version: Count
    text: Sha256


class Commitment(Value, frozen=True, kw_only=True):
    """What one promises, word for word. Any member may put one into the log; it binds whoever signs a pledge to it."""

    v: Literal[1] = 1
    name: Name
    version: Count
    basis: Literal["honour", "nda"]
    """a promise, or a promise beside a signed agreement"""
    reference: Reason | None = None
    """which agreement"""
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=50_000)]

    @property
    def terms(self) -> PledgeText:
        """How circles and pledges name it."""
        return PledgeText(name=self.name, version=self.version, text=hashlib.sha256(encode(self)).hexdigest())


class Pledge(Value, frozen=True, kw_only=True):
    """A person's promise, signed by one of their devices. It binds the person, on all devices.

    Of several to one commitment the last in the log counts: a later `until` renews it, an earlier one takes it back.
    """

    v: Literal[1] = 1
    org: Name
    person: Name
    pledge: PledgeText
    until: Time


class Breach(Value, frozen=True, kw_only=True):
    """That a person has broken a pledge, in all its versions: signed by the network's roots, or by their own org's."""

    v: Literal[1] = 1
    org: Name
    person: Name
    pledge: Name
    time: Time
    reason: Reason
    withdraws: Sha256 | None = None
    """an earlier record of a breach, which no longer holds; nothing else is said then"""


def command(pledge: PledgeText) -> str:
    """What its signer calls."""
    return f"darklantern pledge sign {shlex.quote(pledge.name)} --version {pledge.version}"


def missing(required: PledgeText, signed: Iterable[Pledge], broken: Iterable[Breach], now: int) -> str | None:
    """Why these pledges of one person do not meet `required` at `now`, or None when one does.

    `signed` in the order of the log.
    """
    breach = next((breach for breach in broken if breach.pledge == required.name), None)
    if breach:
        return f"broke the pledge {required.name!r} on {breach.time}: {breach.reason}"
    named = [pledge for pledge in signed if pledge.pledge.name == required.name]
    if not named:
        return f"has not signed the pledge {required.name!r}"
    versions = [pledge for pledge in named if pledge.pledge.version == required.version]
    if not versions:
        return f"has signed {required.name!r}, but not its version {required.version}"
    exact = [pledge for pledge in versions if pledge.pledge.text == required.text]
    if not exact:
        return f"has signed {required.name!r} version {required.version} with another text"
    last = exact[-1]
    return f"pledge {required.name!r} expired on {last.until}" if seconds(last.until) <= now else None
