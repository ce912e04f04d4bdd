"""The room `models`: the product beside nnsight, TransformerLens, pyvene and captum; writes docs/results/models.md."""

from typing import Any

from models import driver, lines, report


def run() -> list[dict[str, Any]]:
    """Ask every worker, write the page, return the bench lines."""
    results = driver.collect()
    found = lines.lines(results)
    report.write(results, found)
    return found
