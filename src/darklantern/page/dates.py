"""Times as people read them. Their authors claim them; nothing is decided by them."""

from datetime import datetime

from darklantern.page.markup import Html, tag

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
"""Spelled here, because strftime's follow the machine's locale."""


def moment(time: str, *, clock: bool = True) -> Html:
    """`2026-11-21T03:30:00Z` as `21 November 2026, 03:30 UTC`; what is no such time stays as it is."""
    try:
        read = datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ")  # the record's own format, and no other
    except ValueError:
        return tag("bdi", time)
    day = f"{read.day} {_MONTHS[read.month - 1]} {read.year}"
    return tag("time", f"{day}, {read:%H:%M} UTC" if clock else day, datetime=time)
