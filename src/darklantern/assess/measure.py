"""Logged numbers → answers, by the measurement protocols that this version can carry out: G, B, F, E, K.

Each answer keeps every value that its interval does not exclude, so that little data stays wide and
its closed end is the value that the definition asks for. What was not measured becomes an answer
with status `unknown`, never a guess. A, N, W and the measured part of U have no protocol here yet.

Numbers come from whoever ran the measurement: nothing here runs a model, and nothing here can tell
an honest log from a false one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, log10

from darklantern.assess.bounds import Trials, empirical_bernstein, median_bounds, wilson
from darklantern.assess.information import pvi_range
from darklantern.assess.table import Table
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer, Code
from darklantern.records.exact import Sha256

RATER = "darklantern"


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What applying a finding's method executed, on each size of model that was tried."""

    parameters_executed: int
    parameters_total: int
    tokens_sampled: int
    """tokens that a model generated; reading given text samples none"""
    external_actions: int
    """tool calls, requests, anything that leaves the process"""
    sandboxed: bool
    changes_weights: bool
    """the method itself trains or edits a model that is kept"""
    raises_dangerous_capability: bool | None
    """by a dangerous-capability evaluation before and after; None if none was run"""
    works_at: tuple[int, ...]
    """parameter counts at which the method succeeded"""
    fails_at: tuple[int, ...] = ()


def not_measured(criterion: Code, why: str) -> Answer:
    """The answer of a measurement that was not made. Says nothing, so that people's answers count."""
    return Answer(
        criterion=criterion,
        values=(),
        kind="measured",
        status="unknown",
        rater=RATER,
        protocol=f"{criterion}/none",
        text=why,
    )


def capability_needed(trace: Trace | None, table: Table, evidence: tuple[Sha256, ...] = ()) -> Answer:
    """G: does the work need a new capability or a deployment? From an execution trace.

    - creates: it acted outside a sandbox, or raised a dangerous-capability evaluation.
    - none: it sampled nothing, acted on nothing, changed no weights, and works at the smallest size.
    - contained: anything between.

    A method that changes weights and was not evaluated may create; a method tried at one size has
    not shown that the smallest is enough; one that works at no size tried may need a larger model.
    """
    if trace is None:
        return not_measured("G", "no execution trace was logged")
    sizes = trace.works_at + trace.fails_at
    if (
        not 0 <= trace.parameters_executed <= trace.parameters_total
        or min(trace.tokens_sampled, trace.external_actions) < 0
    ):
        raise AssessmentError(
            f"a trace cannot execute {trace.parameters_executed} of {trace.parameters_total} parameters, "
            f"sample {trace.tokens_sampled} tokens and act {trace.external_actions} times",
            hint="counts are not negative, and a parameter that runs twice counts once",
        )
    none, contained, creates = table.criterion("G").values
    quiet = trace.tokens_sampled == trace.external_actions == 0 and not trace.changes_weights
    if trace.raises_dangerous_capability or (trace.external_actions and not trace.sandboxed):
        values: tuple[str, ...] = (creates,)
    elif not trace.works_at or (trace.changes_weights and trace.raises_dangerous_capability is None):
        values = (contained, creates)
    elif quiet and min(trace.works_at) == min(sizes):
        values = (none,) if len(set(sizes)) > 1 else (none, contained)
    else:
        values = (contained,)
    smallest = f"works from {min(trace.works_at):,} parameters" if trace.works_at else "works at no size tried"
    return _answer(
        "G",
        values,
        "execution-trace/1",
        f"{trace.parameters_executed:,} of {trace.parameters_total:,} parameters executed, "
        f"{trace.tokens_sampled:,} tokens sampled, {trace.external_actions:,} external actions "
        f"({'sandboxed' if trace.sandboxed else 'no sandbox'}); {smallest}, {len(set(sizes))} sizes tried",
        evidence,
    )


def breadth_speed(
    families: Trials | None,
    result_seconds: Sequence[float],
    checkpoint_seconds: float | None,
    table: Table,
    evidence: tuple[Sha256, ...] = (),
) -> Answer:
    """B: does it carry over to unseen architectures, and arrive before the next checkpoint?

    `families`: unseen architecture families on which it worked without retuning. Broad if Wilson's
    lower 95 % bound reaches `broad_share`: 7 of 8 do, 6 of 8 do not. `result_seconds`: repeated
    times to a validated result. Fast if the upper 90 % bound of their median is below
    `checkpoint_seconds`; that takes four runs or more. Half a measurement leaves the other half open.
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
    breadth = f"{families.successes} of {families.total} families, share {_span(broad)}" if families else "not measured"
    speed = f"median of {len(result_seconds)} runs {_span(ratio)} checkpoint intervals"
    return _answer(
        "B",
        table.criterion("B").values[2 - possibly : 3 - surely],
        "breadth-speed/1",
        f"breadth: {breadth}; speed: {speed if result_seconds else 'not measured'}",
        evidence,
    )


def fragility(
    detects: bool,
    naive: Trials | None,
    informed: Trials | None,
    optimised: Trials | None,
    chance: float,
    table: Table,
    evidence: tuple[Sha256, ...] = (),
) -> Answer:
    """F: does it still work against a model that knows it?

    Detections against a `naive` model, one `informed` by training on the tool's own documents, and
    one `optimised` against the tool with full access. Retention r = (worse of the two − chance) /
    (naive − chance). A finding with no detection role is robust. **Untested is broken**, by
    definition and not by a guess: until somebody has tried, nothing is known to survive publication.
    The interval divides opposite ends of Wilson's 95 % intervals, which covers at least 90 %.
    """
    values = table.criterion("F").values
    if not detects:
        return _answer("F", values[:1], "retention/1", "the finding has no role in detection", evidence)
    if naive is None or informed is None or optimised is None:
        untested = "untested against a model that knows it, which counts as broken"
        return _answer("F", values[2:], "retention/1", untested, evidence)
    if not all(0 <= t.successes <= t.total > 0 for t in (naive, informed, optimised)) or not 0 <= chance < 1:
        raise AssessmentError(
            f"expected shares and a chance in [0, 1), got {naive}, {informed}, {optimised}, {chance}",
            hint="give Trials(successes, total) for each and the success rate of guessing",
        )
    before, *after = (wilson(trials) for trials in (naive, informed, optimised))
    against = min(low for low, _ in after), min(high for _, high in after)
    if before[1] <= chance:
        return _answer("F", values[2:], "retention/1", "detects no better than chance to begin with", evidence)
    low = (against[0] - chance) / (before[1] - chance)
    high = (against[1] - chance) / (before[0] - chance) if before[0] > chance else inf
    return _graded(
        "F",
        (low, high),
        table.source.thresholds.retention,
        table,
        "retention/1",
        f"retention {_span((low, high))}",
        evidence,
    )


def efficiency(
    pvi_bits_by_model: Sequence[Sequence[float]],
    budget_bits: float,
    prior: Sequence[float],
    table: Table,
    evidence: tuple[Sha256, ...] = (),
) -> Answer:
    """E: which share of the channel's budget carries the truth that the decision needs?

    `pvi_bits_by_model`: held-out `pvi_bits` of each message, grouped by the interpreted model,
    because messages of one model are no independent samples: the mean of each model counts once.
    `budget_bits`: log2 of the number of distinguishable messages, with length, order, timing slots
    and refusal counted. eta = value / budget, with an empirical-Bernstein 95 % bound on each side.

    Whatever else a message tells is at most budget − value (chain rule), so a lower bound on eta is
    an upper bound on the share that could be covert, *on the distribution that was audited*.
    """
    models = [list(bits) for bits in pvi_bits_by_model]
    if len(models) < 2:
        return not_measured("E", f"{len(models)} interpreted models are too few for any bound; it takes 2, better 30")
    if not budget_bits > 0 or not isfinite(budget_bits) or not all(models):
        raise AssessmentError(
            f"expected a budget above 0 bits and messages for each model, got {budget_bits} bits",
            hint="the budget is log2 of the number of different messages; leave out models without any",
        )
    low, high = pvi_range(prior)
    if not all(low - 1e-9 <= bits <= high + 1e-9 for model in models for bits in model):
        return _failed(
            "E", "efficiency/1", f"a PVI lies outside {_span((low, high))} bits, the range of this prior", evidence
        )
    means = [sum(model) / len(model) for model in models]
    bound = empirical_bernstein(means, low, high)
    if bound[0] > budget_bits:
        text = f"at least {bound[0]:.3g} bits cannot pass a budget of {budget_bits:.3g}: prior or budget is wrong"
        return _failed("E", "efficiency/1", text, evidence)
    eta = (bound[0] / budget_bits, min(1.0, bound[1] / budget_bits))
    value = sum(means) / len(means)
    return _graded(
        "E",
        eta,
        table.source.thresholds.efficiency,
        table,
        "efficiency/1",
        f"{value:.3f} of {budget_bits:.3f} bits, eta {value / budget_bits:.3f} {_span(eta)}, {len(models)} models; "
        f"at most {budget_bits - max(bound[0], 0.0):.3f} bits of each message can tell anything else",
        evidence,
    )


def frontier_distance(
    training_flops: tuple[float, float] | None,
    table: Table,
    evaluation_gap: float | None = None,
    evidence: tuple[Sha256, ...] = (),
) -> Answer:
    """K: how far below the frontier is the interpreted model?

    `training_flops`: the lowest and highest credible training compute, that of distillation teachers
    included. Compared with the table's dated frontier, in powers of ten. `evaluation_gap`: the share
    of the way from chance to the frontier's score that the model lacks, 0 at the frontier and 1 at
    chance. An evaluation can only raise the answer: a model may perform below its ability.

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
        return _failed("K", "training-compute/1", "the evaluation gave no number", evidence)
    frontier, limits = table.source.frontier, table.source.thresholds
    orders = log10(frontier.training_flops / most), log10(frontier.training_flops / least)
    raised = 0 if evaluation_gap is None else _grade(evaluation_gap, limits.evaluation_gap)
    low, high = (max(raised, _grade(end, limits.orders_below_frontier)) for end in (orders[1], orders[0]))
    evaluated = "not evaluated" if evaluation_gap is None else f"evaluation gap {evaluation_gap:.2f}"
    return _answer(
        "K",
        table.criterion("K").values[low : high + 1],
        "training-compute/1",
        f"{least:.2g} to {most:.2g} training FLOPs, {_span(orders)} powers of ten below the {frontier.year} frontier "
        f"of {frontier.training_flops:.0e} (an assumption); {evaluated}",
        evidence,
        orders,
    )


def _graded(
    criterion: Code,
    interval: tuple[float, float],
    thresholds: tuple[float, float],
    table: Table,
    protocol: str,
    text: str,
    evidence: tuple[Sha256, ...],
) -> Answer:
    """Every value between the grades of the interval's two ends; more is more open."""
    most_open, most_closed = _grade(interval[1], thresholds), _grade(interval[0], thresholds)
    return _answer(
        criterion, table.criterion(criterion).values[most_open : most_closed + 1], protocol, text, evidence, interval
    )


def _grade(number: float, thresholds: tuple[float, float]) -> int:
    return sum(number < least for least in thresholds)


def _answer(
    criterion: Code,
    values: tuple[str, ...],
    protocol: str,
    text: str,
    evidence: tuple[Sha256, ...],
    interval: tuple[float, float] | None = None,
) -> Answer:
    return Answer(
        criterion=criterion,
        values=values,
        kind="measured",
        rater=RATER,
        protocol=protocol,
        evidence=evidence,
        # A record has no infinity; an unbounded interval is told in the text.
        interval=interval if interval and all(map(isfinite, interval)) else None,
        text=text,
    )


def _failed(criterion: Code, protocol: str, text: str, evidence: tuple[Sha256, ...]) -> Answer:
    return Answer(
        criterion=criterion,
        values=(),
        kind="measured",
        status="error",
        rater=RATER,
        protocol=protocol,
        evidence=evidence,
        text=text,
    )


def _span(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.3g}, {interval[1]:.3g}]"
