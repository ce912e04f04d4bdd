"""Settings that are swept, from loose to strict. Standard library only."""


def _geometric(low: float, high: float, count: int) -> list[float]:
    return [low * (high / low) ** (i / (count - 1)) for i in range(count)]


GRIDS = {
    "ADWIN": _geometric(0.05, 40.0, 24),
    "Page-Hinkley": _geometric(1.0, 300.0, 24),
    "PELT": _geometric(1.0, 60.0, 16),
}
"""−log10 of ADWIN's delta, Page–Hinkley's threshold, PELT's penalty"""
