"""Collect reference runs and turn them into a calibration."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from darklantern.errors import WatchError
from darklantern.records.references import References, SignalReference
from darklantern.watch import detectors
from darklantern.watch.probes import Signal

Contrasts = Mapping[str, Sequence[float]]
"""signal → its contrast at each look of one clean run"""


def versions(framework: str = "torch") -> dict[str, str]:
    """The software that a run's contrasts depend on; `framework` is what it trains in, torch or jax."""
    return {"python": platform.python_version(), "numpy": version("numpy"), framework: version(framework)}


def calibrate(
    runs: Mapping[int, Contrasts],
    signals: Sequence[Signal],
    standardise_on: Sequence[int],
    recipe: str,
    data: str,
    framework: str = "torch",
) -> References:
    """References from clean `runs` by seed: those in `standardise_on` give mean and spread, the rest maxima.

    The two parts are kept apart so that a new clean run is exchangeable with each calibration run.
    `framework` is what they were trained in, torch or jax: its version goes into the references.
    Raises WatchError when a part is too small or the runs' looks differ.
    """
    rest = [seed for seed in runs if seed not in standardise_on]
    if len(standardise_on) < 5 or len(rest) < 19:
        raise WatchError(
            f"expected at least 5 runs to standardise on and 19 to calibrate on, got {len(standardise_on)} and "
            f"{len(rest)}",
            hint="run `darklantern watch calibrate` with more runs",
        )
    lengths = {len(values) for run in runs.values() for values in run.values()}
    if len(lengths) != 1:
        raise WatchError(f"the runs have {sorted(lengths)} looks", hint="all runs must follow one recipe to its end")
    references = {
        signal.name: detectors.summarise(
            signal.name, signal.grain, [runs[seed][signal.name] for seed in standardise_on]
        )
        for signal in signals
    }
    inner = [signal.name for signal in signals if signal.role == "signal"]
    outer = [signal.name for signal in signals if signal.role == "behaviour"]
    return References(
        recipe=recipe,
        data=data,
        signals=tuple(references[signal.name] for signal in signals),
        standardised_on=tuple(standardise_on),
        calibrated_on=tuple(rest),
        maxima=tuple(_highest(runs[seed], references, inner) for seed in rest),
        behaviours={name: tuple(_highest(runs[seed], references, [name]) for seed in rest) for name in outer},
        versions=versions(framework),
    )


def _highest(run: Contrasts, references: Mapping[str, SignalReference], names: Sequence[str]) -> float:
    return max(max(detectors.statistics(references[name], run[name])) for name in names)
