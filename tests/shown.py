"""What a page says that something prints, compared with what it prints."""

import re


def matches(expected: list[str], found: list[str]) -> bool:
    """Whether the lines are the same: `…` stands for anything in a line, on its own for any lines."""
    pattern = "".join(r"(.*\n)*" if line == "…" else elided(line) + r"\n" for line in expected)
    return re.fullmatch(pattern, "".join(line + "\n" for line in found)) is not None


def elided(line: str) -> str:
    return ".*".join(map(re.escape, line.split("…")))
