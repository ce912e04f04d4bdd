"""`darklantern box`: run what nobody trusts where nothing comes out of it but what was declared, priced in bits."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from darklantern.cli.options import Json

box_app = typer.Typer(
    help="Run what nobody trusts, metered in bits.\n\n"
    "Nothing comes out of a box but symbols that were declared before, each at its price. Docs: box.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Declaration = Annotated[Path, typer.Argument(help="The declaration, a TOML file: docs/box.md has one.")]
InKernel = Annotated[Literal["host", "gvisor"], typer.Option("--kernel", help="The kernel that answers a box's calls.")]
RunFolder = Annotated[
    Path, typer.Argument(help="A run, a folder in PROJECT/runs; or a project, for its last.", metavar="RUN")
]


@box_app.command()
def plan(declaration: Declaration, as_json: Json = False) -> None:
    """Say what a run could cost at most; run nothing.

    Its limits, the rung of the ladder that this machine holds, each price in bits, and what is left of the budget.
    """
    from darklantern.cli.boxes import tell_plan

    tell_plan(declaration, as_json)


@box_app.command()
def run(
    declaration: Declaration,
    resume: Annotated[
        Path | None, typer.Option(help="An earlier run of the very same declaration, whose /box/work it goes on with.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a declaration in a box, and show what is released.

    Ctrl-C, or `darklantern box kill`, ends every process of it at once; what was shown stays spent. It exits with 0
    where it ended by itself without an error, 3 with one, 4 by a limit, 5 by its tripwire, 6 where the outlet closed.
    """
    from darklantern.cli.boxes import run_box

    run_box(declaration, resume, as_json)


@box_app.command()
def view(
    run: RunFolder,
    follow: Annotated[bool, typer.Option("--follow", help="Go on showing it until the run is over.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a run has released so far."""
    from darklantern.cli.box_viewing import tell_released

    tell_released(run, follow, as_json)


@box_app.command()
def kill(
    project: Annotated[Path, typer.Argument(help="The project's folder: one run of it goes on at a time.")],
    as_json: Json = False,
) -> None:
    """End the run of a project that goes on."""
    from darklantern.cli.boxes import kill_run

    kill_run(project, as_json)


@box_app.command()
def report(run: RunFolder, as_json: Json = False) -> None:
    """Tell what a run was, on which rung, and what it cost."""
    from darklantern.cli.boxes import tell_report

    tell_report(run, as_json)


@box_app.command()
def finding(
    run: RunFolder,
    form: Annotated[Path, typer.Argument(help="A new form, for example finding.toml. Nothing is replaced.")],
    as_json: Json = False,
) -> None:
    """Begin a finding with a run as its evidence.

    The form takes along what was released, the report with the bits spent, and how strong the box was; fill in the
    rest. What it printed stays sealed.
    """
    from darklantern.cli.box_finding import write_finding

    write_finding(run, form, as_json)


@box_app.command()
def efficiency(
    project: Annotated[Path, typer.Argument(help="The project's folder.")],
    truths: Annotated[Path, typer.Argument(help="TOML: prior = [0.5, 0.5], and [truth] with a class for each run.")],
    out: Annotated[Path, typer.Option(help="A new file for the answer, which a form takes along.")],
    as_json: Json = False,
) -> None:
    """Tell how much of what runs spent was truth.

    Criterion E, measured: each run is a model in which something is known to be true; its messages are read by a reader
    that counted those of the others, and held against all bits that it spent.
    """
    from darklantern.cli.box_efficiency import tell_efficiency

    tell_efficiency(project, truths, out, as_json)


@box_app.command()
def unseal(
    run: RunFolder,
    count: Annotated[int, typer.Option("--bytes", min=1, help="So many bytes of it at most, from the beginning.")],
    out: Annotated[Path, typer.Option(help="A new file for them.")],
    last: Annotated[bool, typer.Option("--last", help="From the end: where an error says what it is.")] = False,
    as_json: Json = False,
) -> None:
    """Look at what a run printed, at 8 bits a byte."""
    from darklantern.cli.boxes import unseal_run

    unseal_run(run, count, last, out, as_json)


@box_app.command()
def doctor(kernel: InKernel = "host", as_json: Json = False) -> None:
    """Tell which rung this machine holds, by trying."""
    from darklantern.cli.boxes import tell_rung

    tell_rung(kernel, as_json)


@box_app.command()
def selftest(kernel: InKernel = "host", as_json: Json = False) -> None:
    """Attack a box in twenty-five ways.

    Each is shown to work without one first. About half a minute; it ends with an error where an attack works within.
    """
    from darklantern.cli.boxes import attack

    attack(kernel, as_json)


@box_app.command()
def rehearse(declaration: Declaration, as_json: Json = False) -> None:
    """Run the program without a box, to find its faults.

    Nothing holds it and nothing is metered: for a program of your own that you trust.
    """
    from darklantern.cli.boxes import rehearse_box

    rehearse_box(declaration, as_json)
