"""The room `assess`: the table by brute force, bits against exact channels, raters against the peers' statistics."""

from typing import Any

from assessing import lines, raters


def run() -> list[dict[str, Any]]:
    """All lines; some minutes."""
    return [*lines.table(), *lines.information(), *raters.lines()]
