"""From an alarm to a finding: what signals read before the rise and at the alarm, what was done, how to run it again.

In: a watch at an alarm. Out: a Finding and its artifacts, handed to whoever asked for findings. Nothing is written to a
disk here; what is done with a finding is for its keeper, and `cli` has the one that seals it into a library.
"""

import getpass
import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from darklantern.errors import DarkLanternError, WatchError
from darklantern.records.findings import Artifact, Event, Evidence, Figure, Finding, Provenance, Recipe
from darklantern.watch import table
from darklantern.watch.alarms import Alarm
from darklantern.watch.attach.tap import Tap
from darklantern.watch.changed import changed
from darklantern.watch.examples import Examples, Pool
from darklantern.watch.judging.calibration import versions
from darklantern.watch.looking_again import Noting, look_again
from darklantern.watch.monitors import HeldOut, described, npy, trusted_artifacts
from darklantern.watch.probes import Now, Probe, Reading
from darklantern.watch.viewing import SignalView, View, view

FUNCTION: Final = ("watch.look", 1)
TOLERANCE: Final = 0.02
"""absolute, in a signal's unit, at most: other machines sum floats in another order"""
LONGEST: Final = 150
"""characters of a signal's name in a figure's"""
MOST_SPANS: Final = 8


@dataclass(frozen=True)
class Filed:
    """A finding, and its artifacts' bytes by hash."""

    finding: Finding
    artifacts: Mapping[str, bytes]


@dataclass(frozen=True)
class Weights:
    """How a model's weights become an artifact, and a model again, so that an alarm's readings can be run again."""

    kind: str
    """what the table of `darklantern rerun` calls this class of models: "ByteLM" """
    dumps: Callable[[], bytes]
    """the weights now, as safetensors"""
    loads: Callable[[bytes], Any]
    """a model from them"""


@dataclass(frozen=True)
class Filing:
    """What is done with findings: `dl.watch(..., on_finding=Filing(keep))`, or `on_finding=keep`."""

    keep: Callable[[Filed], Any]
    """is handed each finding, once the reaction is known"""
    author: str = ""
    """the user's name on this machine, unless given"""
    weights: Weights | None = None
    """without it a finding tells what was read, and cannot be run again. Costs a copy of the weights at the first look
    and at each alarm, and four passes there"""

    def __post_init__(self) -> None:
        if not callable(self.keep):
            raise WatchError(
                f"on_finding: expected a function that is handed each finding, or Filing of one, got {self.keep!r}",
                hint="on_finding=findings.append",
            )


def as_filing(on_finding: Any) -> Filing | None:
    """What is to be done with findings; None where nobody wants any. Raises WatchError for what is neither."""
    return on_finding if on_finding is None or isinstance(on_finding, Filing) else Filing(on_finding)


@dataclass
class Taken:
    """What must be taken at an alarm, before the reaction changes it."""

    alarm: Alarm
    model: str
    """hash of the weights at the alarm"""
    events: int
    """said before the alarm"""
    at: bytes | None = None
    """the weights, as an artifact"""
    tested: list[dict[str, Any]] | None = None
    """spans that probes asked for; None where no spans are counted"""
    unsaid: list[Probe] = field(default_factory=list)
    """probes that asked for spans at an alarm that must show none: they are not run again"""


@dataclass
class Filer:
    """Files the alarms of one watch."""

    filing: Filing | None
    tap: Tap
    probes: tuple[Probe, ...]
    trusted: Examples
    data: str
    seed: int
    taken: list[Taken] = field(default_factory=list)
    _first: bytes | None = None

    def begin(self) -> None:
        """The first look is done: what it saw is what later ones are held against."""
        if self.filing is not None and self.filing.weights is not None:
            self._first = self.filing.weights.dumps()

    def take(self, watch: Any, alarm: Alarm, spans: Any) -> Taken | None:
        """Everything of an alarm that a reaction may change; None where nobody wants findings."""
        if self.filing is None:
            return None
        made = Taken(alarm, self.tap.digest(), len(watch.events))
        if self.filing.weights is not None:
            made.at = self.filing.weights.dumps()
            hides = alarm.held_out and not watch.settings.held_out_screens
            made.tested, made.unsaid = self._tested(alarm.step, spans, hides)
        self.taken.append(made)
        return made

    def file(self, watch: Any, taken: Taken, author: str = "", time: str = "") -> Filed:
        """The finding of an alarm, once the reaction is known."""
        assert self.filing is not None
        seen, alarm = view(watch), taken.alarm
        provenance = Provenance(
            model=taken.model,
            data=self.data or _digest(npy(self.trusted.inputs)),
            seed=self.seed,
            code=version("darklantern"),
            versions=versions(self.tap.framework),
            machine=f"{platform.system()} {platform.machine()}",
        )
        again, artifacts = self._again(seen, taken, provenance)
        made = Finding(
            title=f"Alarm at step {alarm.step}: {_short(alarm.signal)}",
            claim=_claim(alarm),
            author=author or self.filing.author or getpass.getuser(),
            time=time or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            evidence=(
                self._watched(seen, taken, provenance),
                *_investigated(watch, alarm, provenance),
                *([again] if again else []),
                *self._changed(taken, provenance),
                _reaction(seen, taken, provenance),
            ),
            tags=("watch", "alarm", *(["held-out monitor"] if alarm.held_out else [])),
        )
        return Filed(made, artifacts)

    def _tested(self, step: int, spans: Any, hides: bool) -> tuple[list[dict[str, Any]] | None, list[Probe]]:
        """What the probes asked of the spans at this look, and which of them asked, where that `hides` the answers.

        They are asked once more, and note down the answers.
        """
        if spans is None:
            return None, []
        tested: list[dict[str, Any]] = []
        unsaid: list[Probe] = []
        for probe in self._shown():
            noting: Any = Noting(spans)
            probe.inputs(Now(step, Pool(self.trusted, self.seed), None, noting))
            if noting.tested and hides:
                unsaid.append(probe)
            else:
                tested += [each for each in noting.tested if each not in tested]
        return tested, unsaid

    def _watched(self, seen: View, taken: Taken, provenance: Provenance) -> Evidence:
        alarm = taken.alarm
        before, at = _looks(seen, alarm)
        said = [f"{str(alarm)[:1].upper()}{str(alarm)[1:]}."]
        where = f"at step {seen.signals[0].steps[before]} and " if before is not None else ""
        said.append(f"What {len(seen.signals)} signals and monitors read {where}at the alarm is among the figures.")
        if before is None:
            said.append("There is no look from before the rise.")
        if seen.held_out:
            said.append(f"{seen.held_out} more that are held out are not shown.")
        if not self.data:
            said.append("The hash of the data is that of the trusted examples.")
        figures = [Figure(name="alarm", value=float(alarm.step), unit="step")]
        for each in seen.signals:
            figures += _figures(each, before, at)
        return Evidence(
            method="watch",
            summary=" ".join(said),
            provenance=provenance,
            sites=tuple(dict.fromkeys(site for probe in self._shown() for site in probe.sites)),
            figures=tuple(figures),
            series=seen.series,
            events=tuple(sorted(seen.events, key=lambda event: event.step)),
        )

    def _again(self, seen: View, taken: Taken, provenance: Provenance) -> tuple[Evidence | None, dict[str, bytes]]:
        """What can be run again: the readings that come again from the weights alone, as tried here and now."""
        weights = self.filing.weights if self.filing else None
        if weights is None or taken.at is None or self._first is None:
            return None, {}
        known = [probe for probe in self._shown() if table.listed(probe) and probe not in taken.unsaid]
        found: dict[str, Reading] = {}
        failed = ""
        try:
            remade = [table.made(probe.name, table.stated(probe), self.trusted) for probe in known]
            if remade:
                first, model = weights.loads(self._first), weights.loads(taken.at)
                step = taken.alarm.step
                found = look_again(first, model, remade, self.trusted, taken.tested, step=step, seed=self.seed)
        except DarkLanternError as error:
            failed = f" Running it again failed when it was tried: {error.message}."
        _, at = _looks(seen, taken.alarm)
        same, other = _compared(seen, at, found)
        if not same:
            return None, {}
        roles, artifacts = trusted_artifacts(self.trusted)
        blobs = {"model": taken.at, "first": self._first}
        kept = {role: _digest(data) for role, data in blobs.items()}
        artifacts |= {kept[role]: data for role, data in blobs.items()}
        tensors = tuple(
            Artifact(
                name=f"{role}-step-{taken.alarm.step}.safetensors",
                media="application/safetensors",
                sha256=kept[role],
                size=len(blobs[role]),
            )
            for role in blobs
        )
        left = f" Not from weights alone: {', '.join(other)}." if other else ""
        evidence = Evidence(
            method=FUNCTION[0],
            summary=(
                f"One pass over the weights at the alarm, step {taken.alarm.step}, held against those at attach, gives "
                f"the readings again.{left}{failed}"
            ),
            provenance=provenance,
            figures=tuple(same),
            artifacts=(*tensors, *described(roles, artifacts, "application/x-npy", ".npy")),
            recipe=Recipe(
                function=FUNCTION[0],
                version=FUNCTION[1],
                arguments={
                    "kind": weights.kind,
                    "probes": [{"probe": probe.name, "settings": table.stated(probe)} for probe in known],
                    "spans": taken.tested,
                    "step": taken.alarm.step,
                    "seed": self.seed,
                },
                artifacts={**kept, **roles},
            ),
        )
        return evidence, artifacts

    def _changed(self, taken: Taken, provenance: Provenance) -> list[Evidence]:
        """What changed inside the model since the watch was attached; nothing where no weights were kept."""
        weights = self.filing.weights if self.filing else None
        if weights is None or taken.at is None or self._first is None:
            return []
        first, model = weights.loads(self._first), weights.loads(taken.at)
        return [changed(first, model, self.trusted, self.seed, provenance)]

    def _shown(self) -> list[Probe]:
        return [probe for probe in self.probes if not isinstance(probe, HeldOut)]


def _investigated(watch: Any, alarm: Alarm, provenance: Provenance) -> list[Evidence]:
    """What investigations found at the alarm, in their own words."""
    found: list[Any] = next((each for known, each in watch.investigated if known is alarm), [])
    return [Evidence(method=each.name, summary=str(each.result), provenance=provenance) for each in found]


def finding(watch: Any, alarm: Alarm, author: str = "", time: str = "") -> Filed:
    """The finding of one of a watch's alarms, signed with `author`, and its artifacts.

    `time` is UTC to the second, now unless given. Raises WatchError where the watch was given no `on_finding`: then
    nothing was taken at the alarm, and the weights may be others by now.
    """
    taken = next((each for each in watch.filer.taken if each.alarm is alarm), None)
    if taken is None:
        raise WatchError(
            f"nothing was taken at the alarm of step {alarm.step}",
            hint="give the watch on_finding=, for example on_finding=findings.append",
        )
    return watch.filer.file(watch, taken, author, time)


def readings_figures(name: str, unit: str, reading: Reading) -> tuple[Figure, Figure]:
    """The two figures of one reading, named as `watch.look` names them when it runs again."""
    pairs = ((f"{_short(name)}: value", reading.value), (f"{_short(name)}: placebo", reading.placebo))
    value, placebo = (Figure(name=n, value=v, unit=unit, tolerance=tolerance(v)) for n, v in pairs)
    return value, placebo


def tolerance(value: float) -> float:
    """What a difference of a reading may come to: a hundredth, so that it can be exceeded for small readings too."""
    return min(TOLERANCE, 1e-4 + 0.01 * abs(value))


def _looks(seen: View, alarm: Alarm) -> tuple[int | None, int | None]:
    """Indices of the last clean look, and of the alarm's, among all looks."""
    steps = seen.signals[0].steps if seen.signals else ()
    at = next((look for look in reversed(range(len(steps))) if steps[look] == alarm.step), None)
    if at is None or alarm.clean is None:
        return None, at
    earlier = [look for look in range(at) if steps[look] <= alarm.clean.step]
    return (earlier[-1] if earlier else None), at


def _figures(each: SignalView, before: int | None, at: int | None) -> list[Figure]:
    """Value, placebo and statistic, at the last clean look and at the alarm."""
    found = []
    for look, when in ((before, "before"), (at, "at the alarm")):
        if look is None:
            continue
        name, unit = _short(each.name), each.signal.unit
        found += [
            Figure(name=f"{name}: value {when}", value=each.readings[look].value, unit=unit),
            Figure(name=f"{name}: placebo {when}", value=each.readings[look].placebo, unit=unit),
        ]
        if each.threshold is not None and each.threshold.value > 0:
            share = each.statistic[look] / each.threshold.value
            found.append(Figure(name=f"{name} {when}", value=share, unit="statistic over its threshold"))
    return found


def _compared(seen: View, at: int | None, found: Mapping[str, Reading]) -> tuple[list[Figure], list[str]]:
    """Figures of the readings that came again, and the names of the others."""
    same: list[Figure] = []
    other: list[str] = []
    for each in seen.signals:
        if at is None or each.name not in found:
            other.append(repr(each.name))
            continue
        claimed, again = each.readings[at], found[each.name]
        pairs = ((claimed.value, again.value), (claimed.placebo, again.placebo))
        if all(abs(one - two) <= tolerance(one) / 2 for one, two in pairs):
            same += readings_figures(each.name, each.signal.unit, claimed)
        else:
            other.append(repr(each.name))
    return same, other


def _reaction(seen: View, taken: Taken, provenance: Provenance) -> Evidence:
    """What the watch did about the alarm, and what it cost."""
    since = seen.events[taken.events :]
    until = next((n for n, event in enumerate(since) if event.label == "alarm" and n > 0), len(since))
    done = [event for event in since[:until] if event.label != "alarm"]
    said = "; ".join(f"{event.label} at step {event.step}: {event.text}" for event in done)
    costs = seen.costs
    figures = []
    if costs is not None:
        figures = [
            Figure(name="share of training time that looks took", value=costs.overhead or 0.0, unit="share"),
            *(
                []
                if costs.budget is None
                else [Figure(name="share that they may take", value=costs.budget, unit="share")]
            ),
            Figure(name="time in looks", value=costs.looking_s, unit="s"),
            Figure(name="time in training steps", value=costs.training_s, unit="s"),
        ]
    return Evidence(
        method="reaction",
        summary=f"{said[:1].upper()}{said[1:]}." if said else "The record was kept and training went on.",
        provenance=provenance,
        figures=tuple(figures),
        events=tuple(sorted((Event(step=e.step, label=e.label, text=e.text) for e in done), key=lambda e: e.step)),
    )


def _claim(alarm: Alarm) -> str:
    means = "a circuit that forms" if alarm.says == "circuit" else "novelty, which new but harmless data brings too"
    said = f"A watch raised an alarm, which claims {means}. "
    said += f"{str(alarm)[:1].upper()}{str(alarm)[1:]}."
    if alarm.suspects:
        spans = ", ".join(f"{each.quoted} in {each.count} rows" for each in alarm.suspects[:MOST_SPANS])
        said += f" Spans that stand out in what was trained on since the last clean state: {spans}."
    elif alarm.held_out:
        said += " Of the rows trained on since the last clean state nothing is told."
    elif alarm.screen is not None:
        said += f" What was trained on since the last clean state stands out by {alarm.screen}."
    else:
        said += " Nothing of the rows trained on since the last clean state stands out."
    return said


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
