"""`darklantern box finding`: a run of a box as evidence in a form: what was released, what it cost, how it was held.

Everything that goes along was paid for when it was released: the steps, and the report, in which nothing else comes
from the box.
"""

import json
import shlex
import time
from pathlib import Path

import msgspec

from darklantern.cli.box_viewing import run_in
from darklantern.cli.handing_out import check_new, hand_out_new
from darklantern.cli.output import tell, tell_json
from darklantern.records.assessments import Answer, AnswerSet
from darklantern.records.exact import encode, plain

_MICRO = 1_000_000


def write_finding(folder: Path, form: Path, as_json: bool) -> None:
    """The form, and three files beside it. Raises StoreError for what is there already, and for no finished run."""
    from darklantern.assess import load
    from darklantern.box.running.releasing import read_released
    from darklantern.cli.blank_form import blank
    from darklantern.network.clock import text
    from darklantern.replication import TABLE

    run = run_in(folder)
    report, steps = run.told(), read_released(run.released)
    released, told, answers = (form.with_suffix(f".{name}.json") for name in ("released", "report", "answers"))
    for each in (form, released, told, answers):
        check_new(each)
    hand_out_new(released, msgspec.json.encode([plain(each) for each in steps]) + b"\n")
    hand_out_new(told, encode(report) + b"\n")
    hand_out_new(answers, encode(_attested(report.rung, report.held)) + b"\n")
    empty = blank(load(), TABLE, text(int(time.time())))
    begun = empty.replace('#answers_from = ["answers.json"]', f"answers_from = [{json.dumps(answers.name)}]")
    evidence = _evidence(report.spec, report.inputs, (released.name, told.name), report.microbits, report.rung)
    hand_out_new(form, (begun + evidence).encode())
    if as_json:
        tell_json({"form": str(form), "files": [each.name for each in (released, told, answers)]})
        return
    tell(f"{form}: fill in what you claim; what was released, the report and the box's strength go along")
    tell(f"`darklantern finding assess {shlex.quote(str(form))}` says which level follows")


def _attested(rung: str, held: tuple[str, ...]) -> AnswerSet:
    """Partial: the walls were tried before the run, and the host's kernel is beneath all of them."""
    kernel = "gVisor's kernel is in between, and the host's beneath" if rung == "G" else "its kernel is the host's"
    answer = Answer(
        criterion="S",
        values=("partial",),
        kind="attested",
        rater="darklantern box",
        protocol="box-rung/1",
        text=f"rung {rung}; tried from inside before the run and held: {', '.join(held)}; {kernel}",
    )
    return AnswerSet(source="darklantern box", answers=(answer,))


def _evidence(spec: str, inputs: str, files: tuple[str, ...], microbits: int, rung: str) -> str:
    return f"""
[[evidence]]
method = "a run in a box"
summary = "Run on rung {rung}; all that came out of it are the steps in {files[0]}, at the prices of its declaration."
# Of the declaration, and of all that went in.
model = "{spec}"
data = "{inputs}"
seed = 0
files = {json.dumps(list(files))}

[[evidence.figures]]
name = "spent"
value = {microbits / _MICRO}
unit = "bits"
"""
