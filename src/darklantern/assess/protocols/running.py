"""Run what applies to a subject: what it will cost first, then trial after trial, then answers."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from darklantern.assess.protocols.answers import not_measured
from darklantern.assess.protocols.breadth import BREADTH
from darklantern.assess.protocols.efficiency import EFFICIENCY
from darklantern.assess.protocols.explanation import EXPLANATION
from darklantern.assess.protocols.frontier import FRONTIER
from darklantern.assess.protocols.journal import Journal
from darklantern.assess.protocols.knowledge import KNOWLEDGE
from darklantern.assess.protocols.necessity import NECESSITY
from darklantern.assess.protocols.new_capability import NEW_CAPABILITY
from darklantern.assess.protocols.subject import Subject
from darklantern.assess.protocols.trials import Outcome, Protocol, Trial
from darklantern.assess.protocols.uplift import UPLIFT
from darklantern.assess.table import Table
from darklantern.counted import counted
from darklantern.errors import AssessmentError, DarkLanternError
from darklantern.records.assessments import Answer

PROTOCOLS: Final = (FRONTIER, NEW_CAPABILITY, KNOWLEDGE, EFFICIENCY, EXPLANATION, NECESSITY, BREADTH, UPLIFT)
"""one for each criterion that can be measured; cheap ones first"""

Progress = Callable[[str, int, int], None]
"""(criterion, trials done, trials in all)"""


@dataclass(frozen=True)
class Plan:
    """What one protocol would run on a subject."""

    protocol: Protocol
    trials: tuple[Trial, ...]
    left: tuple[Trial, ...]
    """those that the journal does not have yet"""
    seconds: float | None
    """of what is left, by trials of the same kind that ran; None while none has"""

    @property
    def says(self) -> str:
        """In words."""
        if not self.trials:
            return f"not measurable: it takes {self.protocol.needs}"
        done = len(self.trials) - len(self.left)
        if not self.left:
            return f"measured: {counted(done, 'trial')}"
        cost = "not known before the first of them ran" if self.seconds is None else f"about {_time(self.seconds)}"
        return counted(len(self.left), "trial") + (f" after {done}" if done else "") + f", {cost}"


def planned(subject: Subject, journal: Journal, criteria: Iterable[str] | None = None) -> tuple[Plan, ...]:
    """What would run, for all criteria or some. Runs nothing. Raises AssessmentError for one without a protocol."""
    chosen = _chosen(criteria)
    return tuple(_plan(protocol, subject, journal) for protocol in PROTOCOLS if protocol.criterion in chosen)


def measured(
    subject: Subject,
    journal: Journal,
    table: Table,
    criteria: Iterable[str] | None = None,
    within: float | None = None,
    progress: Progress = lambda *_: None,
) -> tuple[Answer, ...]:
    """An answer for each criterion that has a protocol, or for those named; outcomes in the journal are not run again.

    `within` so many seconds: a trial begins only while time is left and, as far as others of its kind tell, it would be
    done in time; what is unfinished then says so as not measured. A trial that raises ends the run; the journal keeps
    all before it.
    """
    deadline = None if within is None else time.monotonic() + within
    answers = []
    for plan in planned(subject, journal, criteria):
        protocol = plan.protocol
        _run(plan, journal, deadline, progress)
        left = _plan(protocol, subject, journal).left
        if left:
            done = len(plan.trials) - len(left)
            answers.append(
                not_measured(protocol.criterion, f"{done} of {len(plan.trials)} trials ran in the time given")
            )
            continue
        outcomes = journal.outcomes(protocol.id)
        evidence = (journal.evidence(protocol.id)[1],) if plan.trials else ()
        keys = {trial.key: outcomes[trial.key] for trial in plan.trials}
        answer = protocol.conclude(subject, keys, table, evidence)
        why = subject.why_not.get(protocol.criterion)
        answers.append(not_measured(protocol.criterion, why) if why and answer.status == "unknown" else answer)
    return tuple(answers)


def _run(plan: Plan, journal: Journal, deadline: float | None, progress: Progress) -> None:
    protocol, total = plan.protocol, len(plan.trials)
    for number, trial in enumerate(plan.left):
        progress(protocol.criterion, total - len(plan.left) + number, total)
        if deadline is not None and not _in_time(deadline, journal.seconds(protocol.id).get(trial.alike)):
            return
        began = time.monotonic()
        outcome = _outcome(protocol, trial, journal)
        journal.add(protocol.id, trial.key, trial.alike, outcome, time.monotonic() - began)
    if total:
        progress(protocol.criterion, total, total)


def _outcome(protocol: Protocol, trial: Trial, journal: Journal) -> Outcome:
    try:
        return trial.run(journal.outcomes(protocol.id))
    except DarkLanternError:
        raise
    except Exception as error:
        raise AssessmentError(
            f"{protocol.criterion}, {trial.key}: the subject's own code failed: {type(error).__name__}: {error}",
            hint="the outcomes before it are kept; mend it, and the same run goes on from here",
        ) from error


def _in_time(deadline: float, alike: list[float] | None) -> bool:
    expected = sum(alike) / len(alike) if alike else 0.0
    return time.monotonic() + expected < deadline


def _plan(protocol: Protocol, subject: Subject, journal: Journal) -> Plan:
    trials, done = protocol.trials(subject), journal.outcomes(protocol.id)
    left = tuple(trial for trial in trials if trial.key not in done)
    ran = journal.seconds(protocol.id)
    known = [sum(ran[trial.alike]) / len(ran[trial.alike]) for trial in left if trial.alike in ran]
    # Kinds that have not run yet are taken for the mean of those that have.
    seconds = sum(known) / len(known) * len(left) if known else 0.0 if not left else None
    return Plan(protocol, trials, left, seconds)


def _chosen(criteria: Iterable[str] | None) -> set[str]:
    measurable = {protocol.criterion for protocol in PROTOCOLS}
    chosen = measurable if criteria is None else set(criteria)
    if unknown := sorted(chosen - measurable):
        raise AssessmentError(
            f"{', '.join(unknown)} cannot be measured by a protocol of this version",
            hint=f"those that can are {', '.join(sorted(measurable))}; U, S and O are people's to answer",
        )
    return {str(each) for each in chosen}


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
