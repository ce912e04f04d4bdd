"""What a user gave to `darklantern.watch`, read and checked, before anything of the run is touched.

In: its arguments. Out: the terms on which a run is watched, and what is looked at, of which a Watch is made. A
reference run has terms of its own: it looks, keeps its record, and does nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from darklantern.errors import WatchError
from darklantern.records.references import References, check_references
from darklantern.watch import reactions
from darklantern.watch.anchoring import caveat
from darklantern.watch.attach.tap import Tap
from darklantern.watch.collecting import load
from darklantern.watch.default_signals import choose
from darklantern.watch.examples import Examples, Reader, trusted_examples
from darklantern.watch.filing import Filed, Filing, as_filing
from darklantern.watch.inquiring import Case, Investigation, named
from darklantern.watch.own_signals import as_probes
from darklantern.watch.probes import Probe, Signal
from darklantern.watch.reactions import OnAlarm, Reaction
from darklantern.watch.repeating import asked_for
from darklantern.watch.settings import Settings


@dataclass(frozen=True)
class Terms:
    """On what a run is watched: what its looks are held against, what is done, where it is kept."""

    settings: Settings
    references: References | None
    on_alarm: OnAlarm
    investigate: Sequence[Investigation]
    filing: Filing | None
    run: str | Path | None
    seed: int
    """by which its record names it"""
    is_reference: bool = False

    @property
    def every(self) -> int | None:
        """Steps between looks, where they are known before."""
        return self.settings.every or (self.references.every if self.references else None)


@dataclass(frozen=True)
class Subject:
    """What is looked at."""

    trusted: Examples
    probes: Sequence[Probe]
    by_default: str
    """which signals these are, and why no others, where the user named none"""

    @property
    def signals(self) -> list[Signal]:
        """Of all probes."""
        return [signal for probe in self.probes for signal in probe.signals]


def terms(
    settings: Settings,
    references: References | str | Path | None,
    *,
    on_alarm: OnAlarm,
    investigate: Sequence[Callable[[Case], Any]],
    on_finding: Filing | Callable[[Filed], Any] | None,
    run: str | Path | None,
    hang_after: float | None,
    goes_on: bool,
    seed: int,
) -> Terms:
    """Raises WatchError for what could never be done, in a reference run too; StoreError, RecordError of references."""
    reactions.check(on_alarm)
    given = Terms(settings, None, on_alarm, [each for _, each in named(investigate)], as_filing(on_finding), run, seed)
    if hang_after is not None and run is None:
        raise WatchError(
            f"hang_after={hang_after:g} is for a watchdog, which only a run with a folder has",
            hint='run="a name" as well',
        )
    if (reference := asked_for()) is not None:
        if settings.every is None:
            raise WatchError(
                "a reference run looks at steps that are known before: settings.every is None",
                hint="watch(..., settings=Settings(every=...)); a watch with the references takes it from them",
            )
        alone = replace(settings, on_failure="raise")  # nobody waits beside it
        return Terms(alone, None, Reaction.LOG, [], None, reference.folder, reference.seed, is_reference=True)
    if goes_on and run is None:
        raise WatchError(
            "a watch goes on from what another left in the folder of their run, and was given none",
            hint='watch(..., run="runs/x", goes_on=True, step=...), with the folder of the process before',
        )
    return replace(given, references=_read(references))


def subject(tap: Tap, trusted: Any, batch: Reader | None, signals: Any) -> Subject:
    """What `signals` read of the model behind `tap`, or the usual ones for None. Raises WatchError."""
    known_good = trusted_examples(trusted, reader=batch)
    if signals is not None:
        return Subject(known_good, as_probes(signals), "")
    chosen = choose(tap, known_good)  # alike in runs of all seeds, as a claim needs
    return Subject(known_good, list(chosen.probes), str(chosen))


def to_say(terms: Terms, subject: Subject, step: int) -> list[str]:
    """Of the signals, as the watch attaches."""
    of_scratch = terms.references is None and not terms.is_reference and not step
    said = [f"by default {subject.by_default}" if subject.by_default else ""]
    return list(filter(None, [*said, caveat(subject.signals) if of_scratch else ""]))


def _read(references: References | str | Path | None) -> References | None:
    if references is None:
        return None
    if isinstance(references, str | Path):
        return load(references)
    check_references(references)
    return references
