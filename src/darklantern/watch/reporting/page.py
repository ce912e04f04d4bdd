"""The page of one watch: glance, run, alarms, signals, costs, events."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files

from msgspec.structs import replace

from darklantern.counted import counted
from darklantern.drawing import Svg, curves, readings, sparkline
from darklantern.drawing.curves import MOST_EVENTS, MOST_SERIES
from darklantern.drawing.ink import dark_rules
from darklantern.drawing.markup import element, together
from darklantern.drawing.scales import number, whole
from darklantern.errors import RecordError
from darklantern.records.findings import Event, Series
from darklantern.watch.judging.detectors import percent
from darklantern.watch.viewing import SignalView, View

MOST_ROWS = 400
"""rows of a table; the newest are shown"""
_SIDES = {"signal": "inside the model", "behaviour": "behavioural monitor"}
_TIERS = {
    "I0": "knows trusted rows only",
    "I1": "also knows the class of harm",
    "I2": "knows trigger and payload",
}


def report(seen: View, title: str = "Training watch") -> str:
    """`seen` as a whole HTML page. No signal is left out of the tables; a picture holds the first 24."""
    content = [
        _head(seen, title),
        *_warnings(seen),
        _section("The run", _run(seen)),
        *([_section("Alarms", _alarms(seen))] if seen.alarms else []),
        _section("Signals", _standing(seen), *map(_signal, seen.signals)),
        _section("What it costs", _costs(seen)),
        *([_section("Events", _events(seen.events))] if seen.events else []),
        element(
            "footer",
            element(
                "p",
                f"Made by darklantern {version('darklantern')}. It runs no script and asks nobody for anything. "
                "What a watch without reference runs calls an alarm has no stated false-alarm rate.",
            ),
        ),
    ]
    style = _style()
    policy = f"default-src 'none'; style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · Dark Lantern"),
        element("style", Svg(style)),
    )
    return f"<!doctype html>\n{element('html', head, element('body', element('main', *content)), lang='en')}\n"


@cache
def _style() -> str:
    sheet = files("darklantern.watch.reporting").joinpath("report.css").read_text(encoding="utf-8")
    return f"{sheet}@media (prefers-color-scheme: dark) {{ {dark_rules()} }}\n"


def _head(seen: View, title: str) -> Svg:
    undone = f", {seen.undone} more undone by rollbacks" if seen.undone else ""
    monitors = [each for each in seen.signals if each.signal.role == "behaviour"]
    hidden = f", and {counted(seen.held_out, 'held-out monitor')} that no report shows" if seen.held_out else ""
    said = (
        f"Step {whole(seen.step)}: {counted(seen.looks, 'look')}{undone}, "
        f"{counted(len(seen.signals) - len(monitors), 'signal')} inside the model, "
        f"{counted(len(monitors), 'behavioural monitor')}{hidden}."
    )
    return element(
        "header", element("p", "Dark Lantern", class_="mark"), element("h1", title), element("p", said), _glance(seen)
    )


def _glance(seen: View) -> Svg:
    costs = seen.costs
    inside, outside = (seen.first(role) for role in ("signal", "behaviour"))
    cells = [
        _fact("Alarms", str(len(seen.alarms))),
        _fact("First signal inside over its threshold", _first(seen, "signal", inside)),
        _fact("First behavioural monitor", _first(seen, "behaviour", outside)),
    ]
    if costs is not None:
        spent = "–" if costs.overhead is None else f"{costs.overhead:.1%}"
        cells.append(_fact("Cost" if costs.budget is None else f"Cost, of a budget of {costs.budget:.1%}", spent))
    if seen.screened_rows or any(event.label == "rollback" for event in seen.events):
        cells.append(_fact("Rows left out", whole(seen.screened_rows)))
    return element("dl", *cells, class_="glance")


def _first(seen: View, role: str, step: int | None) -> str:
    """Where a signal of that role was first over its threshold; "never" only where one could have been."""
    if step is not None:
        return f"step {whole(step)}"
    held = [each for each in seen.signals if each.signal.role == role and each.threshold is not None]
    return "never" if any(each.judged_looks for each in held) else "–"


def _warnings(seen: View) -> list[Svg]:
    said = []
    if seen.unjudged:
        said.append(("Not judged yet: ", seen.unjudged))
    if seen.uncalibrated:
        some = any(each.threshold is not None and each.threshold.calibrated for each in seen.signals)
        head = "Not every channel claims a false-alarm rate: " if some else "No false-alarm rate is claimed: "
        said.append((head, seen.uncalibrated))
    if seen.stopped:
        said.append(("The watch ended the run: ", seen.stopped))
    return [element("p", element("b", what), why, class_="warn") for what, why in said]


def _run(seen: View) -> Svg:
    if not seen.signals or not seen.signals[0].steps:
        return element("p", "There was no look yet.")
    judged = [each for each in map(_judged, seen.signals) if each.steps]
    if not judged:
        return element("p", f"There is no curve yet. {seen.unjudged}.")
    series, left = judged[:MOST_SERIES], len(judged) - MOST_SERIES
    events = [event for event in seen.events if event.label != "uncalibrated"][:MOST_EVENTS]
    note = f"{counted(left, 'more signal')} below. " if left > 0 else ""
    words = "What a rollback undid is drawn faded. " if seen.undone else ""
    made = _drawn(lambda: curves(series, events, title="Statistics against their thresholds"), "training run")
    return together(made, *([element("p", note + words, class_="note")] if note or words else []))


def _judged(each: SignalView) -> Series:
    """Its curve, at looks where it says something."""
    looks = each.judged_looks
    steps, values = tuple(each.steps[look] for look in looks), tuple(each.statistic[look] for look in looks)
    return replace(each.series, steps=steps, values=values)


def _alarms(seen: View) -> Svg:
    """Each alarm, and what the watch did about it: the events up to the next alarm. In a replay it could do nothing."""
    items = []
    raised = [at for at, event in enumerate(seen.events) if event.label == "alarm"]
    for number_, text in enumerate(seen.alarms):
        after: Sequence[Event] = ()
        if number_ < len(raised):
            until = raised[number_ + 1] if number_ + 1 < len(raised) else len(seen.events)
            after = seen.events[raised[number_] + 1 : until]
        done = [
            element("li", element("b", event.label), f" at step {whole(event.step)}: {event.text}") for event in after
        ]
        kept = "Nothing but to keep the record: training went on."
        done = done or [element("li", kept if seen.costs is not None else "Read after the fact: nothing was done.")]
        items.append(element("li", element("p", text[:1].upper() + text[1:]), element("ul", *done)))
    return element("ol", *items, class_="alarms")


def _standing(seen: View) -> Svg:
    rows = []
    for each in seen.signals:
        limit = each.threshold
        curve = Svg("")
        if judged := _judged(each).values:
            curve = sparkline(judged, threshold=None if limit is None else limit.value, label=each.name)
        never = "none" if judged and limit is not None else "–"
        rate = "–" if limit is None else percent(limit.alpha) if limit.calibrated else "not calibrated"
        rows.append(
            (
                each.name,
                each.signal.tier,
                _SIDES[each.signal.role],
                curve,
                number(each.statistic[-1]) if each.judged(-1) else "–",
                "–" if limit is None else number(limit.value),
                rate,
                never if each.alarm is None else element("b", whole(each.alarm), class_="late"),
            )
        )
    heads = ("Signal", "Tier", "Looks at", "Statistic", "Now", "Threshold", "False alarms a run", "First over it, step")
    return _table("Where each signal stands", heads, rows)


def _signal(each: SignalView) -> Svg:
    signal = each.signal
    facts = [
        ("Reads", signal.reads),
        ("Placebo", signal.placebo),
        ("Source", signal.source),
        ("Costs a look", signal.cost),
        ("Statistic in", each.unit),
        ("Alarm rests on", each.threshold.reason if each.threshold else "nothing: it raises none"),
        ("Claims", "novelty, which new but harmless data raises too" if signal.says == "novelty" else ""),
    ]
    said = f"{signal.tier}, {_TIERS[signal.tier]} · {_SIDES[signal.role]}"
    placebos = [reading.placebo for reading in each.readings]
    made = Svg("")
    if each.readings:
        values = [reading.value for reading in each.readings]
        with_placebo = placebos if signal.placebo or any(placebos) else None
        heading = "Value and placebo" if with_placebo else "Value"
        made = _drawn(lambda: readings(heading, signal.unit, each.steps, values, with_placebo), each.name)
    return element(
        "article",
        element("h3", each.name),
        element("p", said, class_="note"),
        made,
        element("dl", *(_fact(name, text) for name, text in facts if text), class_="facts"),
    )


def _costs(seen: View) -> Svg:
    costs = seen.costs
    rows = [(each.name, each.signal.cost or "not stated", _SIDES[each.signal.role]) for each in seen.signals]
    stated = _table(
        "Passes that each signal asks of a look (F forward, B backward)", ("Signal", "Cost", "Looks at"), rows
    )
    if costs is None:
        return together(element("p", "Read after the fact, from checkpoints: training was not held up."), stated)
    count = seen.looks + seen.undone
    measured = [
        ("Share of training time", "not measured yet" if costs.overhead is None else f"{costs.overhead:.2%}"),
        *([] if costs.budget is None else [("Budget", f"{costs.budget:.2%}")]),
        ("Steps between looks", "–" if costs.every is None else whole(costs.every)),
        ("Time in looks", f"{costs.looking_s:.1f} s"),
        ("Time in training steps", f"{costs.training_s:.1f} s"),
        ("Each look, on average", f"{1000 * costs.looking_s / count:.0f} ms" if count else "–"),
    ]
    return together(
        element("dl", *(_fact(name, value) for name, value in measured), class_="facts"),
        element(
            "p",
            "Time in looks counts the self-test, the copies of training states and the screening too.",
            class_="note",
        ),
        stated,
    )


def _events(events: Sequence[Event]) -> Svg:
    rows = [
        (whole(event.step), event.label, element("div", event.text.removeprefix(f"step {event.step}: ")))
        for event in events[-MOST_ROWS:]
    ]
    return _table("What the watch said and did", ("Step", "Event", "Text"), rows)


# Small parts


def _section(name: str, *content: Svg) -> Svg:
    return element("section", element("h2", name), *content)


def _fact(name: str, value: str) -> Svg:
    return element("div", element("dt", name), element("dd", value))


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Svg:
    """A table whose first column names its rows; on a phone each cell names its column."""
    body = []
    for row in rows:
        cells = [element("td", _cell(cell), data_label=name) for name, cell in zip(heads[1:], row[1:], strict=True)]
        body.append(element("tr", element("th", row[0], scope="row"), *cells))
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in heads)))
    return element("table", element("caption", caption), head, element("tbody", *body))


def _cell(cell: str) -> Svg:
    return cell if isinstance(cell, Svg) else element("span", cell)


def _drawn(make: Callable[[], Svg], name: str) -> Svg:
    """The picture, in a box that scrolls by itself; drawing's refusal in words: a gap would say nothing."""
    try:
        picture = make()
    except RecordError as error:
        return element("p", element("b", f"Not drawn, {name}: "), f"{error.message}. {error.hint}", class_="warn")
    return element(
        "figure", element("div", picture, class_="scroll", tabindex="0", role="group", aria_label=_plain(name))
    )


def _plain(name: str) -> str:
    """For an attribute, which holds our own words only elsewhere."""
    return "".join(character for character in name if character.isprintable())[:200]
