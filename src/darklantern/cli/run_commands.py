"""`darklantern watch stop`, `pause`, `go-on`, `roll-back` and `status`: a training run, from outside."""

from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.library_option import say
from darklantern.cli.options import Json
from darklantern.cli.output import tell, tell_error, tell_json
from darklantern.errors import DarkLanternError, WatchError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.watch.runs.asking import Standing
    from darklantern.watch.runs.files import Do

watch_app = typer.Typer(help="Signals, detectors and reactions on a training loop.", no_args_is_help=True)

FORCED = 3
"""exit status of a stop that the loop did not heed, so that its process was ended from outside"""
RunName = Annotated[str, typer.Argument(help="The run's folder, or its name.")]
Why = Annotated[str, typer.Option(help="A sentence for the run's record.")]
Wait = Annotated[float, typer.Option(min=0, max=86_400, help="Seconds to wait for the loop's answer.")]


@watch_app.command()
def stop(
    run: RunName,
    grace: Annotated[
        float, typer.Option(min=0, max=86_400, help="Seconds that the loop has, before its process is ended.")
    ] = 30.0,
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Stop a run at its next step, and by force if it does not heed.

    After the grace its process gets SIGTERM, and five seconds later SIGKILL. Exits with 0 when the loop heeded or its
    process ended by itself, with 3 when it was ended by force, with 1 when it goes on.
    """
    from darklantern.watch.runs import asking

    done = asking.stop(asking.find(run), grace, why, say)
    if as_json:
        tell_json({"run": run, **plain(done)})
    else:
        tell(f"the loop stopped at step {done.step}: {done.text}" if done.how == "heeded" else done.text)
    if done.how in ("terminated", "killed"):
        raise typer.Exit(FORCED)
    if done.how == "goes on":
        raise typer.Exit(1)


@watch_app.command()
def pause(run: RunName, why: Why = "", wait: Wait = 30.0, as_json: Json = False) -> None:
    """Have a run wait at its next step, until somebody lets it go on."""
    _ask(run, "pause", why, wait, as_json)


@watch_app.command("go-on")
def go_on(run: RunName, why: Why = "", wait: Wait = 30.0, as_json: Json = False) -> None:
    """Let a run go on that waits for approval.

    It approves the one pause that the run is in now, and none that begins meanwhile.
    """
    _ask(run, "go on", why, wait, as_json)


@watch_app.command("roll-back")
def roll_back(run: RunName, why: Why = "", wait: Wait = 30.0, as_json: Json = False) -> None:
    """Have a run go back to its last clean state, and on from there."""
    _ask(run, "roll back", why, wait, as_json)


@watch_app.command()
def status(
    run: Annotated[
        str | None, typer.Argument(help="A run's name or folder, or a folder of runs; without it, all with a name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which runs go on, what they wait for, and how others ended.

    finished: the process ended after its loop. closed: the script said that the run is over. failed: an exception ended
    it. killed: it was ended from outside. A folder that is there comes before a run of that name.
    """
    from darklantern.watch.runs import asking
    from darklantern.watch.runs.files import RUN

    folder = asking.place_of(run) if run is not None else None
    several = folder is None or (folder.is_dir() and not (folder / RUN).exists())
    found: list[Standing] = []
    failed: list[DarkLanternError] = []
    for each in asking.every_run(folder) if several else [asking.find(folder or "")]:
        try:
            if isinstance(each, DarkLanternError):
                raise each
            found.append(asking.standing(each))
        except DarkLanternError as error:
            failed.append(error)
    if as_json:
        tell_json([plain(each) for each in found])
    else:
        _tell_table(found)
        if not found and not failed:
            tell("no runs here: give a watch a name for its run, or say in which folder they are")
    for why in failed:
        tell_error(why)
    if failed:
        raise typer.Exit(1)


def _ask(run: str, do: "Do", why: str, wait: float, as_json: bool) -> None:
    from darklantern.watch.runs import asking

    found = asking.find(run)
    command = asking.ask(found, do, why)
    answer = asking.answer_to(found, command, wait)
    if answer is None and found.life() == "ended":
        raise WatchError(f"the run {run} ended without an answer", hint="its events.jsonl says what was done")
    if answer is None:
        raise WatchError(
            f"the loop has not answered within {wait:g} s",
            hint="it will heed this at its next step; `darklantern watch status` says how it stands",
        )
    if not answer.done:
        raise WatchError(
            f"not done at step {answer.step}: {answer.outcome}", hint="`darklantern watch status` shows it"
        )
    if as_json:
        tell_json({"run": run, "do": do, "step": answer.step, "outcome": answer.outcome})
    else:
        tell(f"step {answer.step}: {answer.outcome}")


def _tell_table(found: "list[Standing]") -> None:
    rows = [("run", "process", "step", "beat", "state"), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, each in zip(rows if found else [], [None, *found], strict=bool(found)):
        tell("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if each is not None and each.waiting:
            tell(f"waits for approval: {each.waiting}", lead="  ")
        if each is not None and each.alarm:
            tell(f"last alarm: {each.alarm}", lead="  ")


def _row(each: "Standing") -> tuple[str, str, str, str, str]:
    state = "hung" if each.hung else each.end or each.life if each.life != "running" or each.what is None else each.what
    return (
        each.name,
        str(each.pid) if each.life != "elsewhere" else f"{each.pid} on {each.host}",
        "-" if each.step is None else f"{each.step:,}",
        "-" if each.age_s is None else f"{_span(each.age_s)} ago",
        state if each.guarded or each.life not in ("running", "suspended") else f"{state}, no watchdog",
    )


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
