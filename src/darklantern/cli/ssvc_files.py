"""`darklantern assess export` and `import`: SSVC's JSON in files."""

import time
from pathlib import Path

import msgspec

from darklantern.cli.handing_out import check_new, hand_out_new
from darklantern.cli.options import read
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.errors import StoreError
from darklantern.records.assessments import AnswerSet
from darklantern.records.exact import encode


def export_form(form: Path, out: Path, tables: Path | None, as_json: bool) -> None:
    """Write the selection list of a form's assessment, and the tables. Raises DarkLanternError."""
    from darklantern.assess import load
    from darklantern.assess.ssvc import selections
    from darklantern.cli.finding_form import prepared
    from darklantern.cli.kinds import FORM, expecting
    from darklantern.network.clock import text

    check_new(out)
    with expecting(form, FORM):
        made = prepared(form).assessment
    table = load()
    hand_out_new(out, _json(selections(made, table, text(int(time.time())))))
    if tables is not None:
        _write_tables(tables)
    if as_json:
        tell_json({"file": str(out), "tables": str(tables) if tables is not None else None})
        return
    tell(f"{out}: what the answers leave open; who answered and how is not in it")
    if tables is not None:
        tell(f"{tables}: the decision points and tables that it refers to")


def import_answers(file: Path, rater: str, out: Path, form: Path | None, as_json: bool) -> None:
    """Write the answers of a selection list as one rater's, of a form's finding if given. Raises DarkLanternError."""
    from darklantern.assess import load
    from darklantern.assess.ssvc import read_selections
    from darklantern.cli.finding_form import prepared

    of = None if form is None else prepared(form).assessment.finding
    answers = read_selections(read(file), load(), rater, finding=of)
    hand_out_new(out, encode(AnswerSet(source=rater, answers=answers)) + b"\n")
    if as_json:
        tell_json({"file": str(out), "answers": len(answers)})
        return
    tell(f"{out}: {counted(len(answers), 'answer')} of {rater}")
    if form is None:
        tell("which finding they are about was not checked: --finding does")
    tell(f'a line in a form takes them along: answers_from = ["{out.name}"]')


def _write_tables(folder: Path) -> None:
    from darklantern.assess import load
    from darklantern.assess.ssvc import decision_point, decision_table, level_table

    table = load()
    try:
        folder.mkdir()
    except OSError as error:
        raise StoreError(f"cannot make {folder}: {error.strerror}", hint="a new folder, beside others") from error
    for code in (*table.scales, "LEVEL"):
        hand_out_new(folder / f"{code}.json", _json(decision_point(table, code)))
    for sub in table.source.tables:
        hand_out_new(folder / f"DT_{sub.code}.json", _json(decision_table(table, sub.code)))
    hand_out_new(folder / "DT_LEVEL.json", _json(level_table(table)))


def _json(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
