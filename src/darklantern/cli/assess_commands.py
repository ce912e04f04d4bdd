"""`darklantern assess`: what a finding would do in the world, measured where it can be."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.options import Json

assess_app = typer.Typer(
    help="Measure what a finding would do, and see which level follows.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@assess_app.command()
def run(
    finding: Annotated[Path, typer.Argument(help="A form of `darklantern finding new`, filled in as far as you are.")],
    setup: Annotated[
        str, typer.Option(help="FILE.py:FUNCTION of yours that returns a darklantern.assess.Subject; it is run as you.")
    ],
    measure: Annotated[
        list[str] | None, typer.Option(help="Only these criteria: A, B, E, F, G, K, N or W. Repeatable.")
    ] = None,
    within: Annotated[
        str | None, typer.Option(help="Begin no trial that would not be done in this time: 90s, 10min, 2h.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would run, and how long; run nothing.")] = False,
    journal: Annotated[
        Path | None, typer.Option(help="Outcomes so far, kept trial by trial; FINDING.journal.jsonl unless named.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the measured answers go; FINDING.answers.json unless named.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a finding's method by the protocols that apply to it.

    First what each will cost; then trial after trial, each outcome kept in the journal, so that the same command goes
    on where it was stopped. The answers go into a file that the form names with `answers_from`; the level that follows
    is told with them. Protocols and what a subject is: docs/assessing.md.
    """
    from darklantern.cli.measuring import Asked, measure_finding

    measure_finding(finding, setup, Asked(tuple(measure or ()), within, plan, journal, out), as_json)


@assess_app.command()
def case(
    name: Annotated[str | None, typer.Argument(help="One case; all are listed where none is named.")] = None,
    as_json: Json = False,
) -> None:
    """Show worked cases, from measurement to level.

    Six findings about small models that ship with their journals: what was measured, what was judged, which level
    follows and why. Nothing is trained for it; docs/cases.md tells the story of each.
    """
    from darklantern.cli.worked_case import list_cases, tell_case

    if name is None:
        list_cases(as_json)
    else:
        tell_case(name, as_json)


@assess_app.command()
def report(
    finding: Annotated[Path, typer.Argument(help="A form of `darklantern finding new`, filled in as far as you are.")],
    out: Annotated[Path, typer.Option(help="A new HTML file that stands by itself, to read, print or save as PDF.")],
    as_json: Json = False,
) -> None:
    """Write a finding's assessment as one page.

    The level, why, what would lower it, each criterion with whose word it rests on, and what closing costs. It lies in
    the clear, and is as closed as the finding.
    """
    from darklantern.cli.finding_form import prepared
    from darklantern.cli.handing_out import hand_out_new
    from darklantern.cli.kinds import FORM, expecting
    from darklantern.cli.output import tell, tell_json
    from darklantern.page.sheet import alone

    with expecting(finding, FORM):
        made = prepared(finding)
    hand_out_new(out, alone(made.finding.title, made.assessment).encode())
    if as_json:
        tell_json({"file": str(out), "level": made.assessment.operate})
        return
    tell(f"{out}: at {made.assessment.operate}, as the finding; it lies in the clear until you delete it")


@assess_app.command()
def export(
    finding: Annotated[Path, typer.Argument(help="A form of `darklantern finding new`, filled in as far as you are.")],
    out: Annotated[Path, typer.Option(help="A new file: SSVC's selection list, for tools that speak it.")],
    tables: Annotated[
        Path | None, typer.Option(help="A new folder for the decision points and tables that it refers to.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write an assessment as SSVC's JSON.

    It has what the answers leave open; who answered, how, and what closing costs have no place in it.
    """
    from darklantern.cli.ssvc_files import export_form

    export_form(finding, out, tables, as_json)


@assess_app.command("import")
def import_(
    selections: Annotated[Path, typer.Argument(help="SSVC's selection list, over this table's decision points.")],
    rater: Annotated[str, typer.Option(help="Whose answers these are: the list does not say.")],
    out: Annotated[Path, typer.Option(help="A new file that a form takes along with `answers_from`.")],
    finding: Annotated[
        Path | None, typer.Option(help="The finding's form: refuses selections about any other finding.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take the answers in SSVC's JSON as one rater's word."""
    from darklantern.cli.ssvc_files import import_answers

    import_answers(selections, rater, out, finding, as_json)
