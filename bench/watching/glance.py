"""What a busy reader should know of the figures, before all of them: a row for each experiment, and what was missed."""

from collections.abc import Iterator, Sequence

from pages import short, table

from watching.figures import Figures, Lead
from watching.lines import Line


def at_a_glance(found: Sequence[Figures], lines: Sequence[Line]) -> list[str]:
    """The section at the top of the page; nothing where nothing was judged."""
    rows = [row for each in found for row in _rows(each)]
    if not rows:
        return []
    heads = ("", "what forms", "tier", "alarms where it forms", "in clean runs", "steps before the first monitor",
             "left to overt", "inside the model, alone")  # fmt: skip
    about = (
        "Each circuit at its headline rate, held against calibrated monitors of behaviour on the same rows. *Steps* "
        "are the median lead and its 95 % interval: below zero a monitor was quicker. *Left to overt* is the median "
        "share of the time from onset to overt behaviour that was left at the alarm: below zero it came after. *Alone* "
        "is the internal signal that by itself finds most."
    )
    return ["## At a glance", "", about, "", *table(heads, rows), "", _missed(lines)]


def _rows(each: Figures) -> Iterator[tuple[str, ...]]:
    clean = each.experiment.harmless[0]
    for tier in each.tiers:
        lead = each.joint(tier)
        if lead is None:
            continue
        quiet = next(q for q in each.quiet if (q.channel, q.tier, q.arm) == ("joint", tier, clean))
        yield (
            each.experiment.name,
            each.experiment.title,
            tier,
            f"{lead.hits} of {lead.of}",
            f"{quiet.count} of {quiet.of}",
            _steps(lead),
            "–" if lead.left is None else f"{lead.left:.0%}",
            _alone(each, tier),
        )


def _steps(lead: Lead) -> str:
    said = lead.race.summary
    return "–" if said is None else f"{said.median:g} [{said.low:g}, {said.high:g}] to {lead.race.best or 'none'}"


def _alone(each: Figures, tier: str) -> str:
    """The signal of the tier that finds most by itself; of those that find as many, the one that leads by most."""
    alone = [lead for lead in each.leads if lead.channel != "joint" and lead.tier == tier]
    if not alone:
        return "–"
    ahead = lambda lead: lead.race.summary.median if lead.race.summary else float("-inf")  # noqa: E731
    most = max(alone, key=lambda lead: (lead.hits, ahead(lead)))
    return f"{most.channel}, {most.hits} of {most.of}"


def _missed(lines: Sequence[Line]) -> str:
    missed = [each for each in lines if each["ok"] is False and each["value"] is not None]
    if not missed:
        return "No bar was missed."
    said = "; ".join(f"{each['name']} {short(each['value'])} (asked {each['bar']})" for each in missed)
    return f"Missed: {said}. [Why](../decisions/0026-a-trigger-that-works-at-once.md)."
