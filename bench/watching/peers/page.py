"""The side by side as a page for people: docs/results/watch_peers.md. Reads lines, reckons nothing anew."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pages import machine, short, table

from watching.experiments import EXPERIMENTS
from watching.lines import Line
from watching.peers.room import ALPHA

OURS = "darklantern"


def write(path: Path, found: Mapping[str, Sequence[Line]]) -> None:
    """Write the page of what was found: experiment, or "overhead" → its lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(found))


def page(found: Mapping[str, Sequence[Line]]) -> str:
    """The whole page."""
    ran = {name: lines for name, lines in found.items() if name in EXPERIMENTS}
    parts = [
        _head(),
        _at_a_glance(ran),
        *(_experiment(name, lines) for name, lines in ran.items()),
        _overhead(found.get("overhead", ())),
        _missing(found),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head() -> list[str]:
    software = f"Python {platform.python_version()}, " + ", ".join(f"{n} {version(n)}" for n in ("torch", "numpy"))
    return [
        "# Watching beside others",
        "",
        f"Made by `make bench ROOM=watch_peers`; {datetime.now(UTC):%Y-%m-%d}, {machine()}; {software}.",
        "",
        "The loops and seeds of [E1–E5](watch.md), with each peer attached as its manual says, in an environment of "
        "its own. *Own alarm* is what the peer raises by itself; where its manual says to begin after a warm-up, *past "
        "the onset* counts none from before anything was planted, which is in its favour. *Run maximum* holds "
        f"everything that the peer writes down, each stream up and down, against {ALPHA:.0%} false alarms a run by the "
        "rule that our own signals are held to: our detectors, over its clean runs. river and ruptures get the streams "
        "of our signals.",
        "",
        "Thresholds here rest on fewer runs than those of [the suite](watch.md), which have references of each "
        "harmless arm besides; here none has, ours neither. So an alarm in a harmless arm says what a method makes of "
        "data that are new and do no harm, and not how often a watch with whole references would alarm.",
    ]


def _at_a_glance(ran: Mapping[str, Sequence[Line]]) -> list[str]:
    cells: dict[str, dict[str, str]] = {}
    for name, lines in ran.items():
        for line in _judged(lines):
            cells.setdefault(_who(line), {})[name] = f"{line['detail']['hits']} / {_harmless(line)}"
    if not cells:
        return []
    about = "Poisoned runs that it found / runs that it alarmed in of arms other than clean that do no harm."
    rows = [(who, *(of.get(name, "–") for name in ran)) for who, of in cells.items()]
    return ["## At a glance", "", about, "", *table(("", *ran), rows)]


def _experiment(name: str, lines: Sequence[Line]) -> list[str]:
    rows = []
    for line in _judged(lines):
        said = line["detail"]
        arms = ", ".join(f"{arm} {alarms}" for arm, alarms in said["harmless_alarms"].items()) or "–"
        rows.append(
            (_who(line), said["hits"], said["false_alarms"], arms,
             *(_steps(said[lead]) for lead in ("lead_over_ours", "lead_to_overt")))
        )  # fmt: skip
    if not rows:
        return []
    heads = ("", "found", "clean runs with an alarm", "other harmless arms", "steps before our alarm, 95 %",
             "steps before overt behaviour, 95 %")  # fmt: skip
    about = f"{EXPERIMENTS[name].title.capitalize()}. Steps are medians, misses as minus the window."
    return [f"## {name}", "", about, "", *table(heads, rows)]


def _overhead(lines: Sequence[Line]) -> list[str]:
    rows = [
        (line["name"].removeprefix("peers overhead "), short(line["value"]),
         short(line["detail"]["with_processes_it_started"]), _version(line))
        for line in lines
        if line["value"] is not None
    ]  # fmt: skip
    if not rows:
        return []
    about = (
        "Processor time added to a training step, in percent, on one transformer of two layers and 128 dimensions, a "
        "run without and one with taking turns: the median of windows. Ours has its default signals."
    )
    heads = ("at so many steps a look", "% of a step", "with processes that it started", "version")
    return ["## What each costs", "", about, "", *table(heads, rows)]


def _missing(found: Mapping[str, Sequence[Line]]) -> list[str]:
    rows = [
        (line["name"], line["detail"]["reason"]) for lines in found.values() for line in lines if line["value"] is None
    ]
    return ["## What is not there", "", *table(("", "why"), rows)] if rows else []


def _judged(lines: Sequence[Line]) -> Iterator[Line]:
    return (line for line in lines if line["value"] is not None)


def _who(line: Line) -> str:
    who = line["name"].split(" · ", 1)[1]
    return f"**{who}**" if who.startswith(OURS) else who


def _version(line: Line) -> str:
    return line["peer_version"] or "–"


def _harmless(line: Line) -> str:
    counts = [said.split(" of ") for said in line["detail"]["harmless_alarms"].values()]
    return f"{sum(int(alarms) for alarms, _ in counts)} of {sum(int(of) for _, of in counts)}" if counts else "–"


def _steps(said: dict[str, object] | None) -> str:
    if said is None:
        return "–"
    low, high = said["interval"]  # type: ignore[misc]
    return f"{said['median']:g} [{low:g}, {high:g}]"
