"""What the commands of `darklantern box` do."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from darklantern.cli.box_viewing import bits, run_in, step_line, supervisor
from darklantern.cli.handing_out import check_new, hand_out_new
from darklantern.cli.library_option import say
from darklantern.cli.output import tell, tell_json
from darklantern.errors import BoxError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.box.confine.bubblewrap import Kernel
    from darklantern.box.confine.rungs import Held
    from darklantern.box.spec import Declared


_RUNGS: Final = {
    "A": "root, with a user of its own inside",
    "B": "a user namespace",
    "G": "root, with a user of its own inside, in gVisor's kernel",
}
_CODES: Final = {"ok": 0, "failed": 3, "limit": 4, "tripwire": 5, "closed": 6}
"""how a run ended → the exit code"""


def tell_plan(path: Path, as_json: bool) -> None:
    """The plan in words, or as one value."""
    from darklantern.box.confine.rungs import rung
    from darklantern.box.outlet.plans import expected, prices, worst
    from darklantern.box.spec import read_spec

    declared = read_spec(path)
    spec, left = declared.spec, _left(declared)
    price, most, usual = prices(spec.outlet), worst(spec.outlet), expected(spec.outlet)
    if as_json:
        told = {"rung": rung(spec.kernel), "prices": plain(price), "worst": most, "expected": usual, "left": left}
        tell_json({"spec": declared.hash, "limits": plain(spec.limits), "microbits": told})
        return
    for line in _plan_lines(declared):
        tell(line)
    tell(f"as declared it spends {bits(usual)}, at most {bits(most)}; {bits(left)} of the budget are left")
    if most > left:
        tell("the worst case does not fit: where it comes to that, the outlet closes early and the box is destroyed")
    tell(f"rung {rung(spec.kernel)}: `darklantern box doctor` tries it")


def run_box(path: Path, resume: Path | None, as_json: bool) -> None:
    """Run, tell each step as it is released, and report."""
    from darklantern.box.folders import Run
    from darklantern.box.running.releasing import Released
    from darklantern.box.runs import run
    from darklantern.box.spec import read_spec

    declared, steps = read_spec(path), list[Released]()
    # `box kill` sends it: the supervisor ends as by Ctrl-C, and its box before it.
    for ends in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ends, signal.default_int_handler)
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # or Ctrl-Z would leave a box without its supervisor

    def begun(made: Run, held: "Held") -> None:
        say(f"{made.folder}: rung {held.rung}, {len(held.properties)} properties tried and held; Ctrl-C ends it whole")

    def show(step: Released) -> None:
        steps.append(step)
        if not as_json:
            tell(step_line(step, declared.spec))

    try:
        found = run(declared, show, begun, Run(resume) if resume else None)
    except KeyboardInterrupt:
        say("ended by you: `darklantern box report` tells what was spent")
        raise
    if as_json:
        tell_json({**plain(found), "released": [plain(each) for each in steps]})
    else:
        tell(f"spent {bits(found.microbits)}; {bits(found.left)} of the project's budget are left")
    if code := _CODES[steps[-1].how or steps[-1].what]:
        raise typer.Exit(code)


def kill_run(project: Path, as_json: bool) -> None:
    """Ask the supervisor that holds a project's ledger to end. A run of the project names it as well."""
    if (project / "spec.json").is_file():
        project = project.resolve().parent.parent
    if (pid := supervisor(project)) is None:
        raise BoxError(f"no run of {project} goes on", hint="give the project's folder, where its ledger lies")
    os.kill(pid, signal.SIGTERM)
    if as_json:
        tell_json({"asked": pid})
        return
    tell(f"asked process {pid} to end its run")


def tell_report(folder: Path, as_json: bool) -> None:
    """A run's report."""
    from darklantern.box.running.releasing import read_released

    run = run_in(folder)
    found = run.told()
    if as_json:
        tell_json(plain(found))
        return
    steps = read_released(run.released)
    tell(f"run {found.run} of declaration {found.spec[:16]}, rung {found.rung}{', broken off' * found.broken_off}")
    tell(f"{len(steps)} steps, the last: {step_line(steps[-1], run.spec) if steps else 'none'}")
    tell(f"held: {', '.join(found.held)}")
    for each in found.remarks:
        tell(f"mind: {each}")
    tell(f"spent {bits(found.microbits)}; {bits(found.left)} were left")
    tell(f"the ledger had {found.lines} lines then, the last with the hash {found.ledger[:16]}")


def unseal_run(folder: Path, count: int, last: bool, out: Path, as_json: bool) -> None:
    """The first or last bytes of what a run printed, charged, into a new file."""
    from darklantern.box.unsealing import unsealed

    run = run_in(folder)
    check_new(out)
    found, cost = unsealed(run, count, last)
    hand_out_new(out, found)
    if as_json:
        tell_json({"file": str(out), "bytes": len(found), "microbits": cost})
        return
    tell(f"{out}: {len(found)} bytes, for {bits(cost)}")


def tell_rung(kernel: "Kernel", as_json: bool) -> None:
    """What this machine holds."""
    import tempfile

    from darklantern.box.confine.rungs import own_user, remarks, rung, small, tried
    from darklantern.box.volume import passable

    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        work = passable(Path(made) / "work")
        Path(made).chmod(0o755)
        with own_user(on := rung(kernel)) as user:
            found = tried(small(on, user, work))
    if as_json:
        tell_json({"rung": found.rung, "held": list(found.properties), "remarks": list(remarks())})
        return
    for name in found.properties:
        tell(f"held: {name}")
    for each in remarks():
        tell(f"mind: {each}")
    tell(f"rung {found.rung}: {_RUNGS[found.rung]}")


def attack(kernel: "Kernel", as_json: bool) -> None:
    """All attacks, in turn. Ends with an error for one that works inside."""
    from darklantern.box.attacks.trying import walls
    from darklantern.box.attacks.whole import whole

    found = []
    for tried in (each for part in (walls(kernel), whole(kernel)) for each in part):
        found.append(tried)
        if not as_json:
            tell(f"{tried.number}. {tried.attack}: {tried.outside} outside, {tried.inside} inside: {tried.verdict}")
    if as_json:
        tell_json([{"attack": each.attack, "verdict": each.verdict} for each in found])
    broken = [each.attack for each in found if each.verdict == "broken"]
    if broken:
        raise BoxError(f"these work within a box: {', '.join(broken)}", hint="run nothing in it, and tell its makers")


def rehearse_box(path: Path, as_json: bool) -> None:
    """Run the program unconfined."""
    from darklantern.box.rehearsing import NOT_CONFINED, rehearse
    from darklantern.box.spec import read_spec

    lines: list[str] = []
    say(f"{NOT_CONFINED}: it runs as you, with all that you may do")
    code = rehearse(read_spec(path), lines.append if as_json else tell)
    if as_json:
        tell_json({"confined": False, "messages": lines, "code": code})
    if code:
        raise typer.Exit(1)


def _plan_lines(declared: "Declared") -> list[str]:
    from darklantern.box.outlet.plans import prices

    spec, price = declared.spec, prices(declared.spec.outlet)
    limits = ", ".join(f"{name} {value}" for name, value in plain(spec.limits).items())
    channels = ", ".join(f"{each.name} ({each.size} symbols)" for each in spec.outlet.channels)
    lines = [f"runs {' '.join(spec.command)}", f"limits: {limits}", f"channels: {channels}"]
    if spec.outlet.mode == "final":
        return [*lines, "mode final: everything is shown at the end"]
    lines.append(f"mode {spec.outlet.mode}: {spec.outlet.slots} slots of {declared.slot_s:g} s")
    lines.append(f"a message costs {bits(price.message)}")
    if price.silent is not None:
        lines.append(f"silence in a slot costs {bits(price.silent)}")
    if price.early_end is not None:
        lines.append(f"an end before the deadline costs {bits(price.early_end)}")
    return lines


def _left(declared: "Declared") -> int:
    from darklantern.box.ledger import read

    if not declared.project.exists():
        return declared.budget
    head, balance = read(declared.project)
    if head.lines and balance.budget != declared.budget:
        raise BoxError(
            f"{declared.project} was begun with {bits(balance.budget)}, and {bits(declared.budget)} are declared",
            hint="a project keeps its budget; other weights and other data are another project",
        )
    return balance.left if head.lines else declared.budget
