"""One piece of evidence: what was found, its pictures and its figures."""

from collections.abc import Callable
from itertools import groupby

from darklantern.drawing import Bar, Svg, bars, curves, heatmap
from darklantern.drawing.scales import number, whole
from darklantern.errors import RecordError
from darklantern.page.carriers import carriers
from darklantern.page.layout import code, facts, figure, notice, table
from darklantern.page.markup import Html, spaced, tag, together
from darklantern.page.prose import bdi, prose
from darklantern.page.race import Race, race
from darklantern.records.findings import Evidence

MOST_GRIDS = 12
"""heat maps drawn of one piece of evidence"""
MOST_ROWS = 100
"""rows of a table, or sites"""
_SIDES = {"signal": "inside the model", "behaviour": "behavioural monitor", "statistic": "training statistic"}


def evidence_part(number_: int, evidence: Evidence) -> Html:
    """Its summary, then whatever it holds: the race, the heat maps, the circuit, the bars, the figures."""
    name = spaced(tag("span", f"Evidence {number_}", class_="over"), tag("span", evidence.method, dir="auto"))
    heading = tag("h3", name, id=f"evidence-{number_}")
    parts = [heading, prose(evidence.summary)]
    if evidence.series:
        parts += _race(evidence)
    grids = evidence.grids[:MOST_GRIDS]
    parts += [_drawn(grid.name, lambda grid=grid: heatmap(grid)) for grid in grids]  # type: ignore[misc]
    if len(evidence.grids) > MOST_GRIDS:
        parts.append(notice("note", tag("p", f"{len(evidence.grids) - MOST_GRIDS} more grids are in the record.")))
    if evidence.sites and evidence.grids:
        parts.append(_drawn("circuit", lambda: carriers(evidence)))
    parts += _bars(evidence)
    if evidence.sites:
        sites = tag("ul", *(tag("li", code(site)) for site in evidence.sites[:MOST_ROWS]), class_="sites")
        parts += [tag("h4", "Sites"), sites]
    return tag("article", *parts, class_="evidence")


def _drawn(name: str, make: Callable[[], Svg | None]) -> Html:
    """The picture; drawing's refusal in words, because a missing picture would look like a missing result."""
    try:
        picture = make()
    except RecordError as error:
        words = [tag("p", tag("b", "Not drawn: "), bdi(name)), tag("p", error.message), tag("p", error.hint)]
        return notice("note", *words)
    return figure(picture, name) if picture is not None else Html("")


def _race(evidence: Evidence) -> list[Html]:
    ran = race(evidence.series, evidence.events)
    drawn = _drawn("training run", lambda: curves(evidence.series, evidence.events))
    return [_glance(ran), drawn, _alarms(ran)] if ran.runners else [drawn]


def _glance(ran: Race) -> Html:
    """The three steps that the whole picture is about."""
    cells = [
        _step("First alarm inside the model", ran.inside.alarm, ran.inside.name) if ran.inside else Html(""),
        _step("First behavioural alarm", ran.outside.alarm, ran.outside.name) if ran.outside else Html(""),
        _step("Overt behaviour", ran.overt, "anyone would see it") if ran.overt is not None else Html(""),
    ]
    return tag("dl", *cells, class_="glance") if any(cells) else Html("")


def _step(name: str, step: int | None, who: str) -> Html:
    said = [tag("dd", tag("span", "step ", class_="unit"), whole(step or 0)), tag("dd", bdi(who), class_="who")]
    return tag("div", tag("dt", name), *said)


def _alarms(ran: Race) -> Html:
    rows = [
        (
            bdi(each.series.name),
            _SIDES[each.series.role],
            each.series.tier or "–",
            whole(each.series.alarm) if each.series.alarm is not None else tag("span", "no alarm", class_="soft"),
            "–" if each.series.role == "behaviour" else _lead(each.over_behaviour),
            _lead(each.over_overt),
        )
        for each in ran.runners[:MOST_ROWS]
    ]
    first = ran.outside.alarm if ran.outside else None
    against = "none raised an alarm" if first is None else f"the first was at step {whole(first)}"
    return together(
        table(
            "Alarms and their lead",
            ("Name", "Looks at", "Tier", "Alarm, step", "Lead over behaviour", "Lead over overt"),
            rows,
            class_="numbers stack",
        ),
        tag(
            "p",
            f"Lead in training steps. Lead over behaviour counts from the first alarm of any behavioural monitor, "
            f"whatever its tier ({against}); a minus sign means later.",
            class_="note",
        ),
    )


def _lead(steps: int | None) -> Html:
    if steps is None:
        return tag("span", "–", class_="soft")
    return tag("span", "0" if steps == 0 else f"+{steps}" if steps > 0 else whole(steps), class_=_tone(steps))


def _tone(steps: int) -> str:
    return "ahead" if steps > 0 else "late" if steps < 0 else "even"


def _bars(evidence: Evidence) -> list[Html]:
    """Figures of one unit side by side, others in words. One that says it is random is drawn as a control."""
    parts = []
    alone: list[tuple[str, str]] = []
    named = sorted(enumerate(evidence.figures), key=lambda pair: (pair[1].unit, pair[0]))
    for unit, group in groupby((each for _, each in named), key=lambda each: each.unit):
        items = [Bar(label=f.name, value=f.value, control="random" in f.name.lower()) for f in group]
        if unit and len(items) > 1:
            parts.append(_drawn("bars", lambda items=items, unit=unit: _picture(items, unit)))  # type: ignore[misc]
        else:
            alone += [(bdi(each.label), f"{number(each.value, 4)} {unit}") for each in items]
    return [*parts, facts(alone[:MOST_ROWS])] if alone else parts


def _picture(items: list[Bar], unit: str) -> Svg:
    title = "Ablation" if any("ablat" in each.label.lower() for each in items) else "Figures"
    note = "Grey: random sites, for comparison." if any(each.control for each in items) else ""
    return bars(items, title=title, unit=unit, note=note)
