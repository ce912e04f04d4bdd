"""Thresholds, frozen: what reference runs support, in a file that is committed before any other run is judged by it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from darklantern.files import write_whole
from darklantern.records.references import References, SignalReference, Stratum
from darklantern.watch import Signal
from darklantern.watch.digests import judged
from darklantern.watch.judging import detectors
from watching import judging
from watching.running import Ran

ALPHA = 0.05
"""the rate at which each channel is judged, for a whole clean run"""
TIERS = ("I0", "I1")
STRIDES = (1, 2, 4, 8)
"""of the looks that are taken, each so many-th is kept"""
DIGITS = 9
"""that a number keeps in the file"""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """The references at one cadence."""

    steps: tuple[int, ...]
    signals: tuple[SignalReference, ...]
    maxima: dict[str, dict[str, tuple[float, ...]]]
    """tier of a joint statistic, or a signal by itself → arm → the maximum in each run"""


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """All thresholds of one experiment."""

    experiment: str
    mark: str
    """what decides its runs besides seed and arm"""
    source: str
    """hash of the source that runs come of, when these were frozen: what is judged was made by the same"""
    sources: dict[str, int]
    """source → reference runs that were made under it"""
    digests: dict[str, str]
    """signal → hash of what its readings come from, as a watch has it, of a run from seed 0"""
    judged_by: str
    """hash of what makes alarms and figures of readings: detectors, onset, end, arms, numbers of runs"""
    alpha: float
    every: int
    standardised: int
    """clean runs behind mean and spread: the first ones"""
    seeds: dict[str, tuple[int, ...]]
    """arm → the seeds of its runs"""
    versions: dict[str, str]
    levels: dict[str, Level]
    """stride → references"""

    @property
    def sha256(self) -> str:
        """Of the file that `write` makes of it."""
        return hashlib.sha256(dumps(self)).hexdigest()

    @property
    def under(self) -> dict[str, str]:
        """What each run that is judged by these was made under."""
        return {"source": self.source, "thresholds": self.sha256}

    def references(self, tier: str, stride: int = 1) -> References:
        """As `judging.references` made them."""
        level = self.levels[str(stride)]
        names = [reference.name for reference in level.signals]
        clean, *others = self.seeds
        held_for = hashlib.sha256(self.mark.encode()).hexdigest()
        return References(
            recipe=held_for,
            data=held_for,
            every=self.every * stride,
            steps=level.steps,
            signals=level.signals,
            standardised_on=self.seeds[clean][: self.standardised],
            calibrated_on=self.seeds[clean][self.standardised :],
            maxima=level.maxima[tier][clean],
            behaviours={name: level.maxima[name][clean] for name in names},
            strata=tuple(
                Stratum(
                    name=arm,
                    calibrated_on=self.seeds[arm],
                    maxima=level.maxima[tier][arm],
                    behaviours={name: level.maxima[name][arm] for name in names},
                )
                for arm in others
            ),
            versions=self.versions,
        )

    def to_watch_with(
        self, tier: str, signals: Sequence[Signal], inner: Sequence[str], digests: Mapping[str, str]
    ) -> References:
        """References for a watch of `signals`: what shares in its joint statistic is no channel of its own there.

        `digests` are those of the run that is watched. Probes draw from its seed, as they drew from each reference
        run's: so their digests are as many as seeds, and all that they say but the seed is compared by `digests` here.
        """
        made = self.references(tier)
        kinds = {signal.name: signal for signal in signals}
        told = tuple(
            msgspec.structs.replace(
                each, digest=judged(digests.get(each.name, ""), kinds[each.name], detectors.constants(each.detector))
            )
            for each in made.signals
            if each.name in kinds
        )

        def outer(held: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
            return {name: maxima for name, maxima in held.items() if name not in inner}

        strata = tuple(msgspec.structs.replace(each, behaviours=outer(each.behaviours)) for each in made.strata)
        return msgspec.structs.replace(made, signals=told, behaviours=outer(made.behaviours), strata=strata)

    def runs(self, arm: str) -> int:
        """That a threshold rests on in an arm."""
        clean = next(iter(self.seeds))
        return len(self.seeds[arm]) - (self.standardised if arm == clean else 0)


def freeze(
    name: str,
    every: int,
    mark: str,
    clean: tuple[str, Sequence[Ran]],
    strata: Mapping[str, Sequence[Ran]],
    seeds: Mapping[str, Sequence[int]],
    signals: Sequence[Signal],
    standardise: int,
    source: str = "",
    sources: Mapping[str, int] | None = None,
    judged_by: str = "",
    digests: Mapping[str, str] | None = None,
) -> Frozen:
    """Thresholds from reference runs: those of the `clean` arm, of which `standardise` only say what is usual.

    The last four are as `Frozen` has them.
    """
    arm, runs = clean
    levels, versions = {}, dict[str, str]()
    for stride in STRIDES:
        made = {
            tier: judging.references(runs, strata, signals, standardise, mark, every, stride, tier) for tier in TIERS
        }
        one = made[TIERS[-1]]
        versions = one.versions
        maxima = {tier: {arm: each.maxima, **{s.name: s.maxima for s in each.strata}} for tier, each in made.items()}
        maxima |= {
            signal: {arm: highest, **{s.name: s.behaviours[signal] for s in one.strata}}
            for signal, highest in one.behaviours.items()
        }
        levels[str(stride)] = Level(steps=one.steps, signals=one.signals, maxima=maxima)
    frozen = Frozen(
        experiment=name,
        mark=mark,
        source=source,
        sources=dict(sources or {}),
        digests=dict(digests or {}),
        judged_by=judged_by,
        alpha=ALPHA,
        every=every,
        standardised=standardise,
        seeds={each: tuple(given) for each, given in seeds.items()},
        versions=versions,
        levels=levels,
    )
    return loads(dumps(frozen))  # what is judged by is what the file says, to its last digit


def dumps(frozen: Frozen) -> bytes:
    """As JSON, with a line for each signal's mean and spread, and for each arm's maxima."""
    said = json.dumps(_rounded(msgspec.to_builtins(frozen)), separators=(",", ":"))
    return said.replace("{", "{\n").replace("],", "],\n").encode() + b"\n"


def loads(data: bytes) -> Frozen:
    """What `dumps` wrote. Raises msgspec's ValidationError for anything else."""
    return msgspec.json.decode(data, type=Frozen)


def write(path: Path, frozen: Frozen) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, dumps(frozen))


def digest(path: Path) -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
