"""Measure the worked cases anew, and write what came out: python tools/worked_cases.py [--again] [NAME ...]

Journals and outcomes go into src/darklantern/cases/data, tables into docs/results/cases.md and docs/cases.md. Without
`--again` a journal that is there is gone on with, so that a run which was stopped does nothing twice and a whole one
only writes the tables. About 20 minutes of one core for all.
"""

import json
import platform
import re
import sys
from datetime import date
from pathlib import Path

import numpy as np
import torch

from darklantern import cases
from darklantern.assess import load
from darklantern.assess.protocols import PROTOCOLS, journal, measured
from darklantern.assess.protocols.journal import kept
from darklantern.cases.telling import level_lines, outcome, table_lines

ROOT = Path(__file__).parent.parent
DATA = ROOT / "src" / "darklantern" / "cases" / "data"


def main(asked: list[str]) -> None:
    """Measure the cases that are named, or all; then write every table."""
    torch.set_num_threads(1)
    again = "--again" in asked
    for name in [each for each in asked if each != "--again"] or cases.names():
        measure(name, again)
    write_results()
    write_page()


def measure(name: str, again: bool) -> None:
    """Run what the journal lacks, and keep what came out beside it."""
    path, table, case = DATA / f"{name}.jsonl", load(), cases.load(name)
    if again:
        path.unlink(missing_ok=True)
    with journal(path, case.subject.name) as notes:
        measured(case.subject, notes, table, progress=lambda *done: print(name, *done, flush=True))
    path.with_name(path.name + ".lock").unlink()
    told = DATA / f"{name}.toml"
    head = told.read_text().partition("[expected]")[0]
    found = outcome(cases.load(name), table)
    lines = [f"{key} = {json.dumps(found[key])}" for key in ("lowest", "operate", "run")]
    lines += ["", "[expected.measured]", *(f"{code} = {json.dumps(each)}" for code, each in found["measured"].items())]
    told.write_text(head + "\n".join(["[expected]", *lines]) + "\n")


def write_results() -> None:
    """docs/results/cases.md."""
    table = load()
    made = [
        "# Worked cases: what was measured",
        "",
        f"Made by `python tools/worked_cases.py`; {date.today()}, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}; one thread.",
        "",
        "Six findings about this package's own small models, for [a page that tells them](../cases.md). Thresholds are "
        "proposals that nobody has validated. What is judged or attested is an example answer by the authors, and no "
        "panel's. Intervals are those of the protocols, 95 % unless the text says otherwise.",
    ]
    for name in cases.names():
        case = cases.load(name)
        notes = kept(case.journal, case.subject.name)
        seconds = sum(sum(map(sum, notes.seconds(each.id).values())) for each in PROTOCOLS)
        trials = sum(len(notes.outcomes(each.id)) for each in PROTOCOLS)
        made += ["", f"## {case.title}", "", f"`{name}`, {trials} trials in {seconds / 60:.1f} minutes.", ""]
        made += [*table_lines(case, table, full=True), "", *level_lines(case.decision(table), table)]
    (ROOT / "docs" / "results" / "cases.md").write_text("\n".join(made) + "\n")


def write_page() -> None:
    """The tables in docs/cases.md, each between its two marks."""
    page, table = ROOT / "docs" / "cases.md", load()
    text = page.read_text()
    for name in cases.names():
        case = cases.load(name)
        lines = [*table_lines(case, table), "", *level_lines(case.decision(table), table)]
        mark = f"<!-- {name}: written by tools/worked_cases.py -->"
        block = "\n".join([mark, "", *lines, "", f"<!-- end of {name} -->"])
        text = re.sub(f"{re.escape(mark)}.*?<!-- end of {name} -->", lambda _, b=block: b, text, flags=re.DOTALL)
    page.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
