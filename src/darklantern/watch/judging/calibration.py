"""Collect reference runs and turn them into a calibration."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec

from darklantern.errors import WatchError
from darklantern.records.references import Origin, References, SignalReference, Stratum
from darklantern.watch.digests import judged
from darklantern.watch.judging import detectors
from darklantern.watch.probes import Signal

LEAST: Final = 5
"""runs to standardise on"""
LEAST_CALIBRATED: Final = 19
"""runs to calibrate on, in each arm: they support a false-alarm rate of 1 in 20"""
Contrasts = Mapping[str, Sequence[float]]
"""signal → its contrast at each look of one clean run"""


def versions(framework: str = "torch") -> dict[str, str]:
    """The software that a run's contrasts depend on; `framework` is what it trains in, torch or jax.

    Raises WatchError where that is not installed.
    """
    try:
        return {"python": platform.python_version(), "numpy": version("numpy"), framework: version(framework)}
    except PackageNotFoundError as error:
        raise WatchError(
            f"{error.name} is not installed here, in which the runs were trained",
            hint=f"pip install {error.name}, or collect the runs where they were made",
        ) from error


def calibrate(
    runs: Mapping[int, Contrasts],
    signals: Sequence[Signal],
    standardise_on: Sequence[int],
    recipe: str,
    data: str,
    framework: str = "torch",
    *,
    others: Mapping[str, Mapping[int, Contrasts]] | None = None,
    every: int | None = None,
    steps: Sequence[int] = (),
    origin: Origin | None = None,
    digests: Mapping[str, str] | None = None,
    ranks: int = 1,
) -> References:
    """References from clean `runs` by seed: those in `standardise_on` give mean, spread and scale, the rest maxima.

    The two parts are kept apart so that a new clean run is exchangeable with each calibration run. `others` are runs
    of other harmless arms, by name and seed: all of them give maxima, each arm its own stratum. `every` is the cadence
    in steps, `steps` are those of the looks (a watch's `trace.steps`), and `digests` say what each signal's readings
    come from (a watch's `digests`): without these no rate can be claimed. `ranks` trained together in each run, and
    `origin` says where the runs came from. `framework` is what they were trained in, torch or jax: its version goes
    into the references. Signals that bet need none, and are left out.
    Raises WatchError when a part is too small, the runs' looks differ, or a run has a part on both sides.
    """
    signals = [signal for signal in signals if signal.detector != "betting"]  # a bet needs no references
    arms = dict(others or {})
    rest = {seed: run for seed, run in runs.items() if seed not in standardise_on}
    _check(signals, standardise_on, {"clean": rest, **arms})
    if "clean" in arms:
        raise WatchError("an arm is called 'clean', which names `runs`", hint="give it a name of its own")
    lengths = {len(run[s.name]) for arm in (runs, *arms.values()) for run in arm.values() for s in signals}
    if len(lengths) == 1 and steps and lengths != {len(steps)}:
        raise WatchError(f"{len(steps)} steps for {lengths.pop()} looks", hint="steps=watch.trace.steps of one run")
    if len(lengths) != 1:
        raise WatchError(f"the runs have {sorted(lengths)} looks", hint="all runs must follow one recipe to its end")
    references = {s.name: _reference(s, [runs[seed][s.name] for seed in standardise_on], digests) for s in signals}
    inner = [signal.name for signal in signals if signal.role == "signal" and signal.says == "circuit"]
    outer = [signal.name for signal in signals if signal.name not in inner]
    clean, *strata = (_stratum(name, arm, references, inner, outer) for name, arm in {"clean": rest, **arms}.items())
    return References(
        recipe=recipe,
        data=data,
        every=every,
        steps=tuple(steps),
        ranks=ranks,
        signals=tuple(references[signal.name] for signal in signals),
        standardised_on=tuple(standardise_on),
        calibrated_on=clean.calibrated_on,
        maxima=clean.maxima,
        behaviours=clean.behaviours,
        strata=tuple(strata),
        versions=versions(framework),
        origin=origin or Origin(),
    )


def _reference(signal: Signal, runs: Sequence[Sequence[float]], digests: Mapping[str, str] | None) -> SignalReference:
    # A ratio's logarithm is off by the rounding of its parts, whatever it is itself.
    sizes = [1.0] if signal.compares == "ratio" else [contrast for run in runs for contrast in run]
    grain = detectors.least(signal.grain, sizes)
    assert signal.detector != "betting"  # a bet has no references
    made = detectors.summarise(signal.name, grain, runs, signal.detector)
    digest = judged((digests or {}).get(signal.name, ""), signal, detectors.constants(signal.detector))
    return msgspec.structs.replace(made, digest=digest)


def check_counts(standardise_on: int, name: str, calibrate_on: int) -> None:
    """Raises WatchError where so many runs, the latter of the arm `name`, are too few."""
    if standardise_on < LEAST or calibrate_on < LEAST_CALIBRATED:
        raise WatchError(
            f"expected at least {LEAST} runs to standardise on and {LEAST_CALIBRATED} to calibrate on, got "
            f"{standardise_on} and {calibrate_on}{'' if name == 'clean' else f' of {name}'}",
            hint="run `darklantern watch calibrate` with more runs",
        )


def _check(
    signals: Sequence[Signal],
    standardise_on: Sequence[int],
    arms: Mapping[str, Mapping[int, Contrasts]],
) -> None:
    for name, arm in arms.items():
        check_counts(len(standardise_on), name, len(arm))
        if shared := sorted(arm.keys() & set(standardise_on)):
            raise WatchError(
                f"{len(shared)} seeds of {name}, {shared[0]} for one, are also standardised on, "
                "so a new run would be unlike those behind the threshold",
                hint="run that arm from seeds of its own",
            )


def _stratum(
    name: str,
    arm: Mapping[int, Contrasts],
    references: Mapping[str, SignalReference],
    inner: Sequence[str],
    outer: Sequence[str],
) -> Stratum:
    return Stratum(
        name=name,
        calibrated_on=tuple(arm),
        maxima=tuple(_highest(run, references, inner) for run in arm.values()),
        behaviours={each: tuple(_highest(run, references, [each]) for run in arm.values()) for each in outer},
    )


def _highest(run: Contrasts, references: Mapping[str, SignalReference], names: Sequence[str]) -> float:
    return max((max(detectors.statistics(references[name], run[name])) for name in names), default=0.0)
