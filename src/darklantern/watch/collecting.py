"""References from the folders of runs: what a calibration is made of, for a training loop of one's own.

In: folders that watches wrote with `run=`. Out: References, or which run is unlike the others and in what.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from darklantern.errors import StoreError, WatchError
from darklantern.files import read_plain
from darklantern.records.exact import decode
from darklantern.records.references import Origin, References, check_references
from darklantern.watch.digests import hashed
from darklantern.watch.judging.calibration import LEAST, Contrasts, calibrate, check_counts
from darklantern.watch.recording import LOOKS, Begun, Recorded, recorded

LARGEST: Final = 1 << 28
"""bytes of references that are read"""


def load(path: str | Path) -> References:
    """The references in a file, as `darklantern watch calibrate` writes it. Raises StoreError, RecordError: the latter
    also where what they say cannot be."""
    try:
        found = decode(References, read_plain(Path(path), LARGEST))
    except OSError as error:
        raise StoreError(
            f"cannot read the references {path}: {error.strerror}", hint="`darklantern watch calibrate` makes them"
        ) from error
    check_references(found)
    return found


def collect(
    runs: Sequence[Path | str],
    harmless: Mapping[str, Sequence[Path | str]] | None = None,
    *,
    recipe: str = "",
    data: str = "",
    standardise: int | None = None,
    made: str = "",
) -> References:
    """What the clean `runs` support, and those of other harmless arms by name; a folder may hold several runs.

    The first `standardise` of the clean ones by seed, a fifth unless given, say what is usual; the others, and all of
    the arms, how high it comes. `recipe` and `data` are texts or hashes, for runs that did not say theirs.
    Raises WatchError for a run that is unlike the first in signals, settings, steps, recipe or versions, that has the
    seed of another, or reads the same as another to the last digit; and where there are too few.
    """
    clean = [recorded(folder) for folder in _folders(runs)]
    arms = {name: [recorded(folder) for folder in _folders(held)] for name, held in (harmless or {}).items()}
    everyone = [run for held in (clean, *arms.values()) for run in held]
    if not clean:
        raise WatchError("expected folders of clean runs, got none", hint="name those that watches with run= wrote")
    for run in clean[1:]:
        _check_alike(clean[0], run)
    for run in everyone[len(clean) :]:
        _check_alike(clean[0], run, but="data")  # an arm differs from the clean runs in that
    _check_distinct(everyone)
    begun = clean[0].begun
    seeds = sorted(run.begun.seed for run in clean)
    first = _standardising(seeds, standardise)
    framework = next(iter(begun.versions.keys() - {"python", "numpy"}), "torch")
    found = calibrate(
        _by_seed(clean),
        begun.signals,
        seeds[:first],
        _said("recipe", begun.recipe, recipe),
        _said("data", begun.data, data),
        framework,
        others={name: _by_seed(held) for name, held in arms.items()},
        every=begun.every,
        steps=clean[0].steps,
        origin=Origin(code=version("darklantern"), made=made),
        digests=begun.digests,
        ranks=begun.ranks,
    )
    return msgspec.structs.replace(found, versions=dict(begun.versions))


def check_pair(first: Recorded, run: Recorded) -> None:
    """Raises WatchError where `collect` would refuse two clean runs together."""
    _check_alike(first, run)
    _check_distinct((first, run))


def check_seeds(
    seeds: Sequence[int], harmless: Mapping[str, Sequence[Path | str]] | None = None, *, standardise: int | None = None
) -> None:
    """Before clean runs of `seeds` are spent: raises WatchError where `collect` would refuse them for their number, or
    for the runs of the harmless arms, which are there: too few, unlike each other, or with seeds among these."""
    arms = {name: [recorded(folder) for folder in _folders(held)] for name, held in (harmless or {}).items()}
    first = _standardising(seeds, standardise)
    check_counts(len(seeds[:first]), "clean", len(seeds[first:]))
    there = [run for arm in arms.values() for run in arm]
    for name, arm in arms.items():
        if name == "clean":
            raise WatchError("an arm is called 'clean', which names the runs of --seeds", hint="give it another name")
        check_counts(first, name, len(arm))
        for run in arm:
            _check_alike(there[0], run, but="data")
            if run.begun.seed in seeds:
                raise WatchError(
                    f"the run of {name} in {run.folder} has seed {run.begun.seed}, which is also one of --seeds",
                    hint="each run has a seed of its own: choose others for the clean runs",
                )
    _check_distinct(there)


def _standardising(seeds: Sequence[int], asked: int | None) -> int:
    """How many of the runs say what is usual."""
    return max(LEAST, len(seeds) // 5) if asked is None else asked


def _folders(given: Iterable[Path | str]) -> list[Path]:
    """Folders of runs; one that is none of its own stands for those in it."""
    found: list[Path] = []
    for folder in map(Path, given):
        inner = [] if (folder / LOOKS).exists() else sorted(path.parent for path in folder.glob(f"*/{LOOKS}"))
        found += inner or [folder]
    return list(dict.fromkeys(found))


def _by_seed(runs: Sequence[Recorded]) -> dict[int, Contrasts]:
    return {run.begun.seed: run.contrasts for run in sorted(runs, key=lambda run: run.begun.seed)}


def _said(what: str, theirs: str, given: str) -> str:
    """The hash that the runs stated, or the one that was given for them."""
    ours = hashed(given)
    if not theirs and not ours:
        raise WatchError(
            f"neither the runs nor you say the {what}, and a claim holds for one only",
            hint=f'watch(..., {what}="...") in your script, or --{what}: a text that names it, or a hash',
        )
    if theirs and ours and theirs != ours:
        raise WatchError(
            f"the runs state another {what} than you: {theirs[:12]}… and {ours[:12]}…",
            hint=f"leave --{what} out where the runs state it",
        )
    return theirs or ours


def _check_alike(first: Recorded, run: Recorded, but: str = "") -> None:
    ours, theirs = first.begun, run.begun
    parts = {
        "signals": (ours.signals, theirs.signals),
        _SETTINGS: (ours.digests, theirs.digests),
        "steps between looks": (ours.every, theirs.every),
        "steps of looks": (first.steps, run.steps),
        "recipe": (ours.recipe, theirs.recipe),
        "data": (ours.data, theirs.data),
        "number of ranks": (ours.ranks, theirs.ranks),
        "versions": (ours.versions, theirs.versions),
    }
    for what, (one, other) in parts.items():
        if one != other and what != but:
            of_probes = what == _SETTINGS
            if what in ("recipe", "data"):
                differ = f": {_named(theirs, what)} and {_named(ours, what)}"
            else:
                differ = settings_difference(ours, theirs) if of_probes else difference(one, other)
            raise WatchError(
                f"the run in {run.folder} has other {what} than the one in {first.folder}{differ}",
                hint=_FIXED
                if of_probes
                else "all runs must follow one recipe to its end, and differ in their seeds alone",
            )


_SETTINGS = "settings of probes or watch"
_FIXED = (
    "give a probe the same settings in all runs, and one fixed seed, such as SpanProbe(rows, seed=0): a run's own seed "
    "is for its first weights and the order of its data"
)


def settings_difference(ours: Begun, theirs: Begun) -> str:
    """Which settings of which signals differ, the other run's first."""
    told = []
    for name in sorted(
        key for key in {*ours.digests, *theirs.digests} if ours.digests.get(key) != theirs.digests.get(key)
    ):
        one, other = ours.settings.get(name, {}), theirs.settings.get(name, {})
        apart = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
        said = ", ".join(f"{key} {other.get(key)} and {one.get(key)}" for key in apart[:3])
        told.append(f"{name!r} ({said or 'its probe, its rows, or what the watch keeps for it'})")
    return f": of {', '.join(told[:3])}"


def _named(begun: Begun, what: str) -> str:
    """A run's recipe or data by its own text, where that is known, else by the start of its hash."""
    if text := begun.texts.get(what):
        return repr(text)
    held: str = getattr(begun, what)
    return f"{held[:12]}…" if held else "none"


def difference(one: object, other: object) -> str:
    """In what two values differ, the other's first."""
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) != len(other):
        return f": {len(other)} and {len(one)}"
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        apart = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
        return f": of {', '.join(map(repr, apart[:3]))}"
    return f": {other} and {one}" if isinstance(one, int | None) and isinstance(other, int | None) else ""


def _check_distinct(runs: Sequence[Recorded]) -> None:
    seeds: dict[int, Recorded] = {}
    curves: dict[str, Recorded] = {}
    for run in runs:
        if (twin := seeds.setdefault(run.begun.seed, run)) is not run:
            raise WatchError(
                f"the runs in {twin.folder} and {run.folder} have one seed, {run.begun.seed}",
                hint="watch(..., seed=...) says the seed that a run was trained with; each has one of its own",
            )
        if (twin := curves.setdefault(repr([look.readings for look in run.looks]), run)) is not run:
            raise WatchError(
                f"the runs in {twin.folder} and {run.folder} read the same to the last digit",
                hint="does the seed reach the model's first weights and the order of the data?",
            )
