"""`darklantern forecast`: what raters expect of a finding, what became of it, and what the record tells."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.options import Json

forecast_app = typer.Typer(
    help="What you expect of findings, and what became of them.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(help="The folder of forecasts and follow-ups, one a file.")]
EventName = Annotated[
    str, typer.Argument(help="rediscovery, capability_use, safety_decision, leak or obfuscation.", metavar="EVENT")
]
Months = Annotated[int, typer.Argument(help="6, 12 or 24 months after it was stated.")]
On = Annotated[str | None, typer.Option("--on", help="A day in place of today, as 2026-11-23.")]


@forecast_app.command()
def state(
    folder: Folder,
    finding: Annotated[Path, typer.Argument(help="The finding's form, as you share it.")],
    event: EventName,
    months: Months,
    probability: Annotated[float, typer.Argument(help="Above 0 and below 1.")],
    rater: Annotated[str, typer.Option(help="Your pseudonym, the same each time.")],
    because: Annotated[str, typer.Option(help="Why.")] = "",
    on: On = None,
    as_json: Json = False,
) -> None:
    """Write down how likely an event is for a finding."""
    from darklantern.cli.forecast_folder import state_one

    state_one(folder, finding, (event, months), probability, (rater, because), on, as_json)


@forecast_app.command()
def due(folder: Folder, on: On = None, as_json: Json = False) -> None:
    """List what can be answered by now, and what is overdue."""
    from darklantern.cli.forecast_folder import tell_due

    tell_due(folder, on, as_json)


@forecast_app.command()
def answer(
    folder: Folder,
    finding: Annotated[str, typer.Argument(help="The finding's hash, or the beginning of it.")],
    event: EventName,
    months: Months,
    outcome: Annotated[str, typer.Argument(help="yes, no or unknown; unknown where you could not find out.")],
    by: Annotated[str, typer.Option(help="Who looked.")],
    text: Annotated[str, typer.Option(help="Where, and what was found.")] = "",
    on: On = None,
    as_json: Json = False,
) -> None:
    """Write down what became of it."""
    from darklantern.cli.forecast_folder import answer_one

    answer_one(folder, finding, (event, months), outcome, (by, text), on, as_json)


@forecast_app.command()
def record(
    folder: Folder,
    base_rate: Annotated[
        list[str] | None,
        typer.Option(help="EVENT=SHARE: how often it happens to such findings, from elsewhere. Repeatable."),
    ] = None,
    level: Annotated[list[str] | None, typer.Option(help="Count only findings of these levels. Repeatable.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="A new .svg, .html or .png: how often it happened, by what was stated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell how often what was feared happened.

    And whether forecasts beat the base rate. Counts say how much is unknown; scores say when there is too little to
    tell.
    """
    from darklantern.cli.forecast_folder import tell_record

    tell_record(folder, tuple(base_rate or ()), tuple(level or ()), picture, as_json)


@forecast_app.command()
def power(
    resolved: Annotated[int | None, typer.Option(min=5, max=5000, help="Resolved forecasts.")] = None,
    base_rate: Annotated[float, typer.Option(min=0.01, max=0.5, help="How often it happens.")] = 0.15,
    raters: Annotated[int | None, typer.Option(min=2, max=20, help="Raters of each finding.")] = None,
    items: Annotated[int | None, typer.Option(min=2, max=500, help="Findings that all of them rate.")] = None,
    as_json: Json = False,
) -> None:
    """Simulate how much so much data could tell.

    By so many resolved forecasts, or by so many raters and findings.
    """
    from darklantern.cli.forecast_folder import tell_power

    tell_power(resolved, base_rate, (raters, items), as_json)
