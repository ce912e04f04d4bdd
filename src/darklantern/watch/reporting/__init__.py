"""A watch as one HTML file that needs nothing else: no script, nothing fetched, readable in light and dark.

In: a View, which holds no held-out monitor. Out: the page as text; the same view gives the same page. Names and texts
of others are escaped, and the page's own policy forbids all but its one style sheet.
"""

from darklantern.watch.reporting.page import report

__all__ = ["report"]
