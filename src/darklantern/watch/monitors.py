"""Monitors that come from the library, and monitors that nobody is shown.

In: a finding whose evidence names one of our probes and its settings. Out: a probe to watch with. No code comes with a
finding, and no pickle: the name is looked up in `table`, the settings are JSON, trusted rows are an artifact by hash.

A held-out monitor takes part in a watch, and may raise its alarm, without being shown: the watch's repr, its live view,
reports, writers, alarms, events and findings say "a held-out monitor" and nothing else of it. That keeps it from being
trained against, knowingly or not, and is what a team needs whose model's makers must not know what they are watched by:

- The monitor is written down and sealed by those who hold it, into a circle without the model's makers:
  `monitor_evidence` says what to seal. It, its prompts and its canaries stay out of every corpus.
- The watch runs in a process, and its calibration (`References`, which name every signal) lies in a folder, of those
  who hold the monitor. Whoever can read that process's memory can read the monitor: what is here hides it from the
  outputs, not from a debugger. The makers of the model get the report, the live view and the findings.
- Its rollback leaves out what it suspects, and what stands out in the rows, which is named nowhere: not in the alarm,
  the screen, events, the log, the report or findings, and `screen.json`, by which a trainer goes on that cannot rewind,
  is not written. `Settings(held_out_screens=True)` has all of that in clear again, but what the monitor itself
  suspects. Whoever sees the batches sees which rows went.
- Which spans stand out in the rows is counted from the rows and the trusted ones, without the monitor. A shown probe
  that tests some of them, such as a SpanProbe, notes them at every look, alarm or not (`w.notes`); only the finding of
  a held-out monitor's alarm leaves it out of what can be run again. Hold it out too where the makers must not see them.
- A signal of it is called by a hash and a number in the trace and in References. The hash is of its probe's settings
  and names: whoever guesses all of these can tell that they guessed right.
- Errors before the first step name sites, so attach is tried by those who hold the monitor. Of any later failure of
  the monitor's own code only the kind of error is told.
- Each alarm of it tells the makers one bit. Who can start runs at will can search for what does not alarm: count the
  runs, and change the monitor.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import DarkLanternError, RecipeError, WatchError
from darklantern.records.findings import Artifact, Evidence, Finding, Provenance, Recipe
from darklantern.watch import table
from darklantern.watch.examples import Array, Examples, examples
from darklantern.watch.probes import HELD_OUT, Asked, Now, Probe, Reading
from darklantern.watch.screening import Screen
from darklantern.watch.seen import Floats, Seen

T = TypeVar("T")
FUNCTION: Final = ("watch.probe", 1)
NPY: Final = "application/x-npy"


class HeldOut(Probe):
    """Another probe, whose signals are shown nowhere. `held_out` makes it."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        names = [signal.name for signal in probe.signals]
        key = _short(repr([type(probe).__qualname__, sorted(table.stated(probe).items()), names]))
        self._names = {name: f"held-out {key}: {number}" for number, name in enumerate(names, 1)}
        self.signals = tuple(replace(s, name=self._names[s.name], held_out=True) for s in probe.signals)
        self.sites, self.lenses, self.weights = probe.sites, probe.lenses, probe.weights
        self.output, self.window = probe.output, probe.window
        self.counts_spans, self.takes_fresh = probe.counts_spans, probe.takes_fresh

    def __repr__(self) -> str:
        return f"<{HELD_OUT}>"

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._probe.settings

    def inputs(self, now: Now) -> Asked:
        return _sealed(lambda: self._probe.inputs(now))

    def read(self, seen: Seen) -> Sequence[Reading]:
        return _sealed(lambda: tuple(self._probe.read(seen)))

    def note(self, seen: Seen) -> Any:
        return _sealed(lambda: self._probe.note(seen))

    def screen(self, note: Any) -> Screen | None:
        found = _sealed(lambda: self._probe.screen(note))
        return None if found is None else HeldOutScreen(found)

    def scores(self, seen: Seen) -> Mapping[str, tuple[Floats, Floats]]:
        return _sealed(lambda: {self._names[name]: scores for name, scores in self._probe.scores(seen).items()})


class HeldOutScreen:
    """What is suspected where a held-out monitor alarms, which it does not describe. No file holds it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        return _sealed(lambda: self._screen.suspect(examples))

    def __repr__(self) -> str:
        return f"<what {HELD_OUT} suspects>"

    def __str__(self) -> str:
        return f"examples that {HELD_OUT} suspects"


def held_out(probe: Probe) -> Probe:
    """`probe` as a held-out monitor: it may alarm, and is shown nowhere."""
    return probe if isinstance(probe, HeldOut) else HeldOut(probe)


def monitor(
    finding: Finding, artifacts: Mapping[str, bytes] | None = None, trusted: Any = None, *, shown: bool = False
) -> Probe:
    """The probe that a finding describes, held out unless `shown`. With a library, by id:

        opened = library.finding(id)
        probe = darklantern.watch.monitor(opened.finding, artifacts)

    `artifacts` are the finding's, hash → bytes; `trusted` are examples for a probe whose finding brings none.
    Raises RecipeError for a finding that describes no probe or several, one that is not in the local table, an
    artifact that is missing or has another hash, and settings that are altered or of another version.
    """
    found = [e.recipe for e in finding.evidence if e.recipe is not None and e.recipe.function == FUNCTION[0]]
    if len(found) != 1 or found[0].version != FUNCTION[1]:
        said = f"{len(found)} probes" if len(found) != 1 else f"one by {FUNCTION[0]} v{found[0].version}"
        raise RecipeError(
            f"expected a finding that describes one probe by {FUNCTION[0]} v{FUNCTION[1]}, this one describes {said}",
            hint="a monitor's evidence is made by darklantern.watch.monitors.monitor_evidence",
        )
    (recipe,) = found
    name, settings = recipe.arguments.get("probe"), recipe.arguments.get("settings")
    if not isinstance(name, str) or not isinstance(settings, Mapping) or len(recipe.arguments) != 2:
        raise RecipeError(
            "expected a recipe of `probe`, a name, and `settings`", hint="the record was altered, or is not a monitor's"
        )
    given = trusted_rows(recipe.artifacts, artifacts or {})
    if given is None and trusted is not None:
        given = examples(trusted, "trusted examples")
    probe = table.made(name, settings, given)
    return probe if shown else held_out(probe)


def monitor_evidence(
    probe: Probe, summary: str, provenance: Provenance, trusted: Any = None
) -> tuple[Evidence, dict[str, bytes]]:
    """What to seal so that `monitor` gives `probe` back elsewhere, and its artifacts by hash.

    `trusted` are the examples that the probe was made from; without them whoever watches brings their own.
    Raises RecipeError for a probe of a kind that is not in the local table: a function of a user's own.
    """
    if not table.listed(probe):
        raise RecipeError(
            f"{type(probe).__name__} is not in the local table of probes, so no other machine could make it",
            hint=f"those in it are {', '.join(sorted(table.WHERE))}",
        )
    given = None if trusted is None else examples(trusted, "trusted examples")
    table.made(probe.name, table.stated(probe), given)
    roles, artifacts = trusted_artifacts(given)
    recipe = Recipe(
        function=FUNCTION[0],
        version=FUNCTION[1],
        arguments={"probe": probe.name, "settings": table.stated(probe)},
        artifacts=roles,
    )
    evidence = Evidence(
        method="monitor",
        summary=summary,
        provenance=provenance,
        sites=tuple(probe.sites),
        artifacts=described(roles, artifacts, NPY, ".npy"),
        recipe=recipe,
    )
    return evidence, artifacts


def trusted_artifacts(given: Examples | None) -> tuple[dict[str, str], dict[str, bytes]]:
    """Role → hash and hash → bytes of trusted examples, as .npy. A mask is part of the rows then: as padding ids."""
    if given is None:
        return {}, {}
    inputs = given.tokens if given.are_tokens else given.inputs
    parts = {"trusted": npy(inputs)} | ({} if given.targets is None else {"trusted targets": npy(given.targets)})
    roles = {role: hashlib.sha256(data).hexdigest() for role, data in parts.items()}
    return roles, {roles[role]: data for role, data in parts.items()}


def trusted_rows(roles: Mapping[str, str], artifacts: Mapping[str, bytes]) -> Examples | None:
    """The other way round; None where a recipe brings none. Raises RecipeError."""
    if "trusted" not in roles:
        return None
    held = {}
    for role in ("trusted", "trusted targets"):
        if role not in roles:
            continue
        data = artifacts.get(roles[role])
        if data is None:
            raise RecipeError(f"the monitor's artifact {role!r} is not here", hint="fetch the artifact, then retry")
        if hashlib.sha256(data).hexdigest() != roles[role]:
            raise RecipeError(
                f"the monitor's artifact {role!r} has other bytes than its recipe says", hint="fetch it again"
            )
        held[role] = of_npy(data, role)
    try:
        return examples(Examples(held["trusted"], held.get("trusted targets")), "trusted examples")
    except WatchError as error:
        raise RecipeError(f"the artifact 'trusted' holds no examples: {error.message}", hint=error.hint) from error


def described(
    roles: Mapping[str, str], artifacts: Mapping[str, bytes], media: Any, ending: str
) -> tuple[Artifact, ...]:
    """Records of artifacts, named by their roles."""
    return tuple(
        Artifact(name=role.replace(" ", "-") + ending, media=media, sha256=sha256, size=len(artifacts[sha256]))
        for role, sha256 in roles.items()
    )


def npy(array: Array) -> bytes:
    """An array as NumPy's own file; whole numbers in the fewest bytes that hold them."""
    if array.dtype.kind in "ui" and array.size:
        smallest = np.result_type(np.min_scalar_type(array.min()), np.min_scalar_type(array.max()))
        array = array.astype(smallest)
    file = BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def of_npy(data: bytes, what: str) -> Array:
    """The array in the bytes of NumPy's file, which never holds a pickle here. Raises RecipeError."""
    try:
        made: Array = np.load(BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError) as error:
        raise RecipeError(f"the artifact {what!r} is no NumPy file: {error}", hint="fetch it again") from error
    return made.astype(np.int64) if made.dtype.kind in "ui" else made


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _sealed(do: Callable[[], T]) -> T:
    """What `do` gives; of a failure only its kind: its message may hold the probe's name, its sites or its rows.

    Raised where the failure is no longer handled: `from None` would still leave it, words and all, as `__context__`.
    """
    try:
        return do()
    except Exception as error:  # noqa: BLE001 - whatever it is, another is raised below, without its words
        kind = "an error of its own" if isinstance(error, DarkLanternError) else type(error).__name__
    raise WatchError(f"{HELD_OUT} failed: {kind}", hint="those who hold the monitor can try it alone")
