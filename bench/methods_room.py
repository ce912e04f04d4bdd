"""The room `methods`: the product beside the packages that people use for each; writes docs/results/methods.md."""

from typing import Any

from methods import driver, lines, report


def run() -> list[dict[str, Any]]:
    """Ask every worker, write the page, return the bench lines."""
    results = driver.collect()
    found = lines.lines(results)
    report.write(results, found)
    return found
