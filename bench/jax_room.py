"""The room `jax`: the product beside each framework's own jit and captures; writes docs/results/jax.md."""

from typing import Any

from on_jax import driver, lines, report


def run() -> list[dict[str, Any]]:
    """Ask every worker, write the page, return the bench lines."""
    results = driver.collect()
    found = lines.lines(results)
    report.write(results, found)
    return found
