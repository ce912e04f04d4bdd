"""E: how much of the channel's budget in bits carries the truth that the decision needs?"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from darklantern.assess.bits import Outlet, check_prior, efficiency_of, pvi_bits
from darklantern.assess.protocols.answers import failed, graded, not_measured, span
from darklantern.assess.protocols.subject import Messages, Subject
from darklantern.assess.protocols.trials import Outcome, Outcomes, Protocol, Trial
from darklantern.assess.table import Table
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer
from darklantern.records.exact import Sha256

ID: Final = "efficiency/1"
PARTS: Final = 10
"""into which models are cut; a reader of one part's messages was fitted on the other nine"""


def efficiency(
    pvi_bits_by_model: Sequence[Sequence[float]],
    budget_bits: float,
    prior: Sequence[float],
    table: Table,
    evidence: tuple[Sha256, ...] = (),
) -> Answer:
    """E from the held-out `pvi_bits` of each message, grouped by the interpreted model.

    Messages of one model are no independent samples: the mean of each model counts once. `budget_bits`: log2 of the
    number of distinguishable messages, with length, order, timing slots and refusal counted (`Outlet.bits`).
    eta = value / budget, with an empirical-Bernstein 95 % bound on each side.

    Whatever else a message tells is at most budget − value (chain rule), so a lower bound on eta is an upper bound on
    the share that could be covert, *on the distribution that was audited*.
    """
    if len(pvi_bits_by_model) < 2:
        few = f"{len(pvi_bits_by_model)} interpreted models are too few for any bound; it takes 2, better 30"
        return not_measured("E", few)
    if not budget_bits > 0 or not all(len(model) for model in pvi_bits_by_model):
        raise AssessmentError(
            f"expected a budget above 0 bits and messages for each model, got {budget_bits} bits",
            hint="the budget is log2 of the number of different messages; leave out models without any",
        )
    check_prior(prior)
    try:
        found = efficiency_of(pvi_bits_by_model, budget_bits, prior)
    except AssessmentError as error:
        return failed("E", ID, f"{error.message}: {error.hint}", evidence)
    says = (
        f"{found.value:.3f} of {budget_bits:.3f} bits, eta {found.eta:.3f} {span(found.eta_bound)}, {found.models} "
        f"models; at most {found.slack:.3f} bits of each message can tell anything else"
    )
    return graded("E", found.eta_bound, table.source.thresholds.efficiency, table, ID, says, evidence)


Sent = tuple[int, Sequence[int]]
"""a model's truth, and its messages"""


def held_out_bits(sent: Sequence[Sent], outlet: Outlet, prior: Sequence[float]) -> list[list[float]]:
    """PVI of each model's messages, by a reader that counted the messages of other models.

    The reader is the richest that there is for few messages, smoothed counts; for an outlet of many messages it needs
    many models, and what it does not learn counts as not told. Raises AssessmentError for messages that the outlet does
    not have.
    """
    beyond = sorted({each for _, messages in sent for each in messages if not 0 <= each < outlet.messages})
    if beyond:
        raise AssessmentError(
            f"message {beyond[0]} of an outlet that has {outlet.messages}", hint="count all that readers can tell apart"
        )
    counts = [_counts(truth, messages, outlet, len(prior)) for truth, messages in sent]
    whole, parts = np.sum(counts, axis=0), np.arange(len(sent)) % min(PARTS, len(sent))
    found = []
    for number, (truth, messages) in enumerate(sent):
        own = np.sum([counts[i] for i in np.flatnonzero(parts == parts[number])], axis=0)
        others = whole - own + np.array(prior)  # one message's worth of what is known beforehand
        said = others[list(messages)] / others[list(messages)].sum(1, keepdims=True)
        found.append(pvi_bits(said, [truth] * len(messages), prior).tolist())
    return found


def _counts(truth: int, messages: Sequence[int], outlet: Outlet, classes: int) -> NDArray[np.float64]:
    """How often each message came with each truth, (message, class)."""
    made = np.zeros((outlet.messages, classes))
    np.add.at(made, (list(messages), truth), 1.0)
    return made


def _trials(subject: Subject) -> tuple[Trial, ...]:
    given = subject.messages
    if given is None:
        return ()
    check_prior(given.prior)
    return tuple(
        Trial(f"model {seed}", partial(_sent, given, truth, seed)) for seed, truth in enumerate(_truths(given))
    )


def _truths(given: Messages) -> list[int]:
    """The truth of each model, drawn by the prior."""
    drawn = np.random.default_rng([given.seed, 0xEFF])
    return [int(each) for each in drawn.choice(len(given.prior), given.models, p=np.array(given.prior))]


def _sent(given: Messages, truth: int, seed: int, _: Outcomes) -> Outcome:
    messages = [int(each) for each in given.send(truth, seed)]
    if not messages:
        raise AssessmentError(f"model {seed} sent nothing", hint="silence is a message too: count it in the outlet")
    return {"truth": truth, "messages": messages}


def _conclude(subject: Subject, outcomes: Outcomes, table: Table, evidence: tuple[Sha256, ...]) -> Answer:
    given = subject.messages
    if given is None:
        return not_measured("E", f"no messages about a known truth were given: {EFFICIENCY.needs}")
    sent = [(each["truth"], each["messages"]) for each in (outcomes[f"model {i}"] for i in range(given.models))]
    if [truth for truth, _ in sent] != list(_truths(given)):
        raise AssessmentError(
            "the journal's truths are not those that this prior and this seed draw",
            hint="another prior is another measurement: name the subject anew",
        )
    bits = held_out_bits(sent, given.outlet, given.prior)
    return efficiency(bits, given.outlet.bits(), given.prior, table, evidence)


EFFICIENCY: Final = Protocol(
    criterion="E",
    id=ID,
    needs="a typed outlet, and its messages about a truth that is drawn with known chances, from many models",
    trials=_trials,
    conclude=_conclude,
)
