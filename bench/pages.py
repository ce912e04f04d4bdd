"""What pages of results have in common: the machine, and tables."""

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def machine() -> str:
    """What the figures were taken on."""
    info = Path("/proc/cpuinfo")
    rows = info.read_text().splitlines() if info.exists() else []
    processor = next((row.partition(":")[2].strip() for row in rows if row.startswith("model name")), "a processor")
    return f"{platform.system()} {platform.machine()}, {processor}, {os.cpu_count()} cores"


def plain(value: Any) -> str:
    """A cell as it is, a dash for None."""
    return "–" if value is None else str(value)


def short(value: Any) -> str:
    """As `plain`, numbers to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else plain(value)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], cell: Callable[[Any], str] = plain) -> list[str]:
    """The lines of a Markdown table."""
    cells = (heads, ["---"] * len(heads), *([cell(value).replace("|", "\\|") for value in row] for row in rows))
    return [f"| {' | '.join(row)} |" for row in cells]
