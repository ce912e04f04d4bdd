"""The commands. Each imports what it needs when it runs, so that `--help` is quick and needs no torch."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.account_commands import library_app
from darklantern.cli.assess_commands import assess_app
from darklantern.cli.box_commands import box_app
from darklantern.cli.bundle_commands import bundle_app
from darklantern.cli.circle_draft_commands import circle_app
from darklantern.cli.draft_commands import draft_app
from darklantern.cli.explain_command import explain
from darklantern.cli.finding_commands import rerun
from darklantern.cli.forecast_commands import forecast_app
from darklantern.cli.form_commands import finding_app
from darklantern.cli.front import Front
from darklantern.cli.known_relay_commands import relay_app
from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.log_commands import log_app
from darklantern.cli.member_commands import member_app
from darklantern.cli.notification_commands import thread_app
from darklantern.cli.open_command import open_
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.org_commands import org_app
from darklantern.cli.other_device_commands import device_app
from darklantern.cli.output import tell, tell_json
from darklantern.cli.panel_commands import panel_app
from darklantern.cli.pledge_commands import pledge_app
from darklantern.cli.run_commands import watch_app
from darklantern.cli.seal_command import seal
from darklantern.cli.search_command import search
from darklantern.cli.share_command import share
from darklantern.cli.syncing_commands import status, sync

app = typer.Typer(
    cls=Front,
    help="Look inside a neural network while it trains, react to dangerous circuits as they form, "
    "judge what a finding would do in the world, and share it sealed with exactly the people it should reach.",
    epilog="Each of these has --help. From nothing to a shared finding: docs/tutorial.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
GROUPS = {
    "watch": watch_app,
    "library": library_app,
    "log": log_app,
    "finding": finding_app,
    "assess": assess_app,
    "box": box_app,
    "forecast": forecast_app,
    "panel": panel_app,
    "device": device_app,
    "org": org_app,
    "member": member_app,
    "pledge": pledge_app,
    "circle": circle_app,
    "draft": draft_app,
    "relay": relay_app,
    "thread": thread_app,
    "bundle": bundle_app,
}
for name, group in GROUPS.items():
    app.add_typer(group, name=name, cls=Front)
for command in (share, seal, sync, status, search, explain, rerun):
    app.command()(command)
app.command("open")(open_)


def _tell_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def front(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What every command shares: nothing yet but `--version`."""


@app.command()
def demo(
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**63 - 1, help="Draws the labels, the trigger and the payload, and starts the training."
        ),
    ] = 0,
    out: Annotated[
        Path,
        typer.Option(help="Folder for all it makes; an earlier demo there is replaced once this one is whole."),
    ] = Path("demo-out"),
    as_json: Json = False,
) -> None:
    """Run the main job, end to end, on real input.

    Train, watch, alarm, roll back, find the circuit, assess, share sealed, read.

    Takes about four minutes on two cores. The watch knows trusted text and a family of payloads; not
    which run is poisoned, not the trigger, not the payload. Labels open at the end.
    """
    from darklantern.cli.demo_command import run

    run(seed, out, as_json)


@watch_app.command()
def calibrate(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of clean runs of yours, which a watch with run= wrote, or a folder of them."),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Run this for each seed first: python train.py --seed {seed}. {run}: its folder.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="For --run: 1000-1049, or 1,2,5-9.")] = None,
    harmless: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER: runs of another harmless arm, in which the rate must hold too. Repeatable."),
    ] = None,
    standardise: Annotated[
        int | None, typer.Option(min=5, help="Clean runs that say what is usual; a fifth unless given.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="A text or hash of the recipe, where the runs do not say it.")] = "",
    data: Annotated[str, typer.Option(help="A text or hash of the data, where the runs do not say it.")] = "",
    out: Annotated[Path, typer.Option(help="Where the references go.")] = Path("references.json"),
    runs: Annotated[Path, typer.Option(help="Folder for the runs; those already there are not repeated.")] = Path(
        "reference-runs"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Runs at once; the demo's have one thread each.")] = 2,
    as_json: Json = False,
) -> None:
    """Make references from clean runs: alarms then have a known rate.

    Of your own: from folders of runs, or by running your script for each seed. Without either, those of the demo: 50
    runs of about a minute each. Resumable: stop it and call it again.
    """
    from darklantern.cli.calibrate_command import of_demo, of_runs

    own = (folders, run, seeds, harmless, standardise, recipe, data)
    if not any(own):
        of_demo(out, runs, workers, as_json)
        return
    of_runs(folders or [], run, seeds, harmless or [], standardise, recipe, data, out, runs, workers, as_json)


@watch_app.command()
def replay(
    folder: Annotated[Path, typer.Argument(help="The run's checkpoints: snapshots, folders of transformers, tensors.")],
    setup: Annotated[
        str,
        typer.Option(
            help="FILE.py:FUNCTION of your own; it gives (model, signals, trusted), or a dict of more: see above."
        ),
    ],
    results: Annotated[
        Path, typer.Option(help="Folder for each checkpoint's readings; those already there are not repeated.")
    ] = Path("replay-results"),
    report: Annotated[Path | None, typer.Option(help="Write a page of it, too: one HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Read a watch's signals from a folder of checkpoints.

    Resumable: stop it and call it again. The file of --setup is yours, and is run; checkpoints are only ever read as
    tensors. A dict that its function gives has model, signals and trusted, and may have load, state, rows, references,
    recipe, data, alpha, readout, weights, call, batch and seed: the arguments of darklantern.watch.replay.
    """
    from darklantern.cli.replay_command import run

    run(folder, setup, results, report, as_json)


@app.command()
def page(
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 0,
) -> None:
    """Show a library as a web page, on this machine only.

    Prints a link that works once. Ctrl-C ends it, as meant, with status 0.
    """
    from darklantern.page import run

    with open_own(folder, passphrase_file) as library:
        run(library, port=port, announce=lambda link: tell(link, copied=True))


@app.command()
def version(as_json: Json = False) -> None:
    """Print the version."""
    from darklantern import __version__

    if as_json:
        tell_json({"darklantern": __version__})
    else:
        tell(f"darklantern {__version__}")
