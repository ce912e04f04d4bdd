"""When a closed level must be looked at again."""

from datetime import date, timedelta

from darklantern.assess.table import Table
from darklantern.records.assessments import Level


def review_due(level: Level, today: date, table: Table) -> str | None:
    """The date in ISO 8601; None at V0, which cannot be taken back.

    The more closed, the sooner, for closing costs more the more people it excludes. The table has
    the days for each level; they are proposals.
    """
    if level == "V0":
        return None
    return (today + timedelta(days=table.source.review_days[level])).isoformat()
