"""B: does it carry over to unseen architectures, and arrive before the next checkpoint?"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Final

from darklantern.assess.bounds import Trials, median_bounds, wilson
from darklantern.assess.protocols.answers import answered, not_measured, span
from darklantern.assess.protocols.subject import Subject
from darklantern.assess.protocols.trials import Outcome, Outcomes, Protocol, Trial
from darklantern.assess.table import Table
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer
from darklantern.records.exact import Sha256

ID: Final = "breadth-speed/1"


def breadth_speed(
    families: Trials | None,
    result_seconds: Sequence[float],
    checkpoint_seconds: float | None,
    table: Table,
    evidence: tuple[Sha256, ...] = (),
) -> Answer:
    """B from how many families it worked on, and from times to a validated result.

    `families`: unseen architecture families on which it worked without retuning. Broad if Wilson's lower 95 % bound
    reaches `broad_share`: 7 of 8 do, 6 of 8 do not. `result_seconds`: repeated times to a validated result. Fast if the
    upper 90 % bound of their median is below `checkpoint_seconds`; that takes four runs or more. Half a measurement
    leaves the other half open.
    """
    if families is None and not result_seconds:
        return not_measured("B", "neither breadth nor speed was measured")
    if families is not None and not 0 <= families.successes <= families.total > 0:
        raise AssessmentError(
            f"{families.successes} of {families.total} families is no share", hint="give Trials(successes, total)"
        )
    if result_seconds and (checkpoint_seconds is None or checkpoint_seconds <= 0 or min(result_seconds) < 0):
        raise AssessmentError(
            f"expected times ≥ 0 and a checkpoint interval > 0, got {checkpoint_seconds}", hint="both are in seconds"
        )
    broad = wilson(families) if families else (0.0, 1.0)
    times = median_bounds(result_seconds)
    ratio = (times[0] / checkpoint_seconds, times[1] / checkpoint_seconds) if checkpoint_seconds else (0.0, inf)
    limits = table.source.thresholds
    surely = (broad[0] >= limits.broad_share) + (ratio[1] < limits.fast_ratio)
    possibly = (broad[1] >= limits.broad_share) + (ratio[0] < limits.fast_ratio)
    breadth = f"{families.successes} of {families.total} families, share {span(broad)}" if families else "not measured"
    speed = f"median of {len(result_seconds)} runs {span(ratio)} checkpoint intervals"
    return answered(
        "B",
        table.criterion("B").values[2 - possibly : 3 - surely],
        ID,
        f"breadth: {breadth}; speed: {speed if result_seconds else 'not measured'}",
        evidence,
    )


def _trials(subject: Subject) -> tuple[Trial, ...]:
    given = subject.families
    if given is None:
        return ()
    made = [Trial(f"family {name}", partial(_timed, prepare), name) for name, prepare in given.unseen.items()]
    first = next(iter(given.unseen.items()), None)
    if first is not None:
        name, prepare = first
        made += [Trial(f"again {name} {number}", partial(_timed, prepare), name) for number in range(given.repeats)]
    return tuple(made)


def _timed(prepare: Callable[[], Callable[[], bool]], _: Outcomes) -> Outcome:
    run = prepare()
    began = time.perf_counter()
    worked = bool(run())
    return {"worked": worked, "seconds": time.perf_counter() - began}


def _conclude(subject: Subject, outcomes: Outcomes, table: Table, evidence: tuple[Sha256, ...]) -> Answer:
    given = subject.families
    if given is None or not given.unseen:
        return not_measured("B", f"no families were given: {BREADTH.needs}")
    tried = [outcomes[f"family {name}"] for name in given.unseen]
    # A result that is wrong is none, however soon it came.
    timed = [each["seconds"] if each["worked"] else inf for each in outcomes.values()]
    seconds = [] if given.checkpoint_seconds is None else timed
    shares = Trials(sum(each["worked"] for each in tried), len(tried))
    return breadth_speed(shares, seconds, given.checkpoint_seconds, table, evidence)


BREADTH: Final = Protocol(
    criterion="B",
    id=ID,
    needs="families of architectures that the method was not made for, and the time between checkpoints",
    trials=_trials,
    conclude=_conclude,
)
