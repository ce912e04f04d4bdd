"""K: how far below the frontier is the model that is interpreted?"""

from functools import partial
from math import inf, isfinite, log10
from typing import Final

from darklantern.assess.protocols.answers import answered, failed, grade, not_measured, span
from darklantern.assess.protocols.subject import Subject, Training
from darklantern.assess.protocols.trials import Outcome, Outcomes, Protocol, Trial
from darklantern.assess.table import Table
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer
from darklantern.records.exact import Sha256

ID: Final = "training-compute/1"


def frontier_distance(
    training_flops: tuple[float, float] | None,
    table: Table,
    evaluation_gap: float | None = None,
    evidence: tuple[Sha256, ...] = (),
) -> Answer:
    """K from training compute, and from an evaluation where there is one.

    `training_flops`: the lowest and highest credible training compute, that of distillation teachers included. Compared
    with the table's dated frontier, in powers of ten. `evaluation_gap`: the share of the way from chance to the
    frontier's score that the model lacks, 0 at the frontier and 1 at chance. An evaluation can only raise the answer: a
    model may perform below its ability.

    That K counts as at the frontier whenever U is direct is the table's rule, not a measurement.
    """
    if training_flops is None:
        return not_measured("K", "training compute is not known")
    least, most = training_flops
    if not 0 < least <= most < inf:
        raise AssessmentError(
            f"expected 0 < lowest ≤ highest training FLOPs, got {least:.3g} and {most:.3g}",
            hint="6 × parameters × tokens is a common estimate; give a bracket of at least a factor of two",
        )
    if evaluation_gap is not None and not isfinite(evaluation_gap):
        return failed("K", ID, "the evaluation gave no number", evidence)
    frontier, limits = table.source.frontier, table.source.thresholds
    orders = log10(frontier.training_flops / most), log10(frontier.training_flops / least)
    raised = 0 if evaluation_gap is None else grade(evaluation_gap, limits.evaluation_gap)
    low, high = (max(raised, grade(end, limits.orders_below_frontier)) for end in (orders[1], orders[0]))
    evaluated = "not evaluated" if evaluation_gap is None else f"evaluation gap {evaluation_gap:.2f}"
    return answered(
        "K",
        table.criterion("K").values[low : high + 1],
        ID,
        f"{least:.2g} to {most:.2g} training FLOPs, {span(orders)} powers of ten below the {frontier.year} frontier "
        f"of {frontier.training_flops:.0e} (an assumption); {evaluated}",
        evidence,
        orders,
    )


def _trials(subject: Subject) -> tuple[Trial, ...]:
    return () if subject.training is None else (Trial("compute", partial(_found, subject.training)),)


def _found(training: Training, _: Outcomes) -> Outcome:
    gap = None if training.evaluation_gap is None else float(training.evaluation_gap())
    return {"flops": list(training.flops), "gap": gap if gap is None or isfinite(gap) else "none"}


def _conclude(subject: Subject, outcomes: Outcomes, table: Table, evidence: tuple[Sha256, ...]) -> Answer:
    if subject.training is None:
        return frontier_distance(None, table)
    found = outcomes["compute"]
    least, most = found["flops"]
    gap = float("nan") if found["gap"] == "none" else found["gap"]
    return frontier_distance((least, most), table, gap, evidence)


FRONTIER: Final = Protocol(
    criterion="K",
    id=ID,
    needs="the lowest and highest credible training compute of the interpreted model",
    trials=_trials,
    conclude=_conclude,
)
