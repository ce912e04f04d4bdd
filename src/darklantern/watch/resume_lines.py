"""How a run is begun again from before a rise: without the rows that are suspect, from the last clean state.

In: a watch at an alarm, the folder of its run. Out: a screen in a file, and the lines of code that go on from there in
another process. What a held-out monitor suspects is written only where the settings say so.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from darklantern.watch.attach.tap import Tap
from darklantern.watch.probes import HELD_OUT
from darklantern.watch.reactions import Reaction
from darklantern.watch.screen_files import load, save
from darklantern.watch.screening import Screen, SpanScreen, any_of

if TYPE_CHECKING:
    from darklantern.watch.watching import Watch

SCREEN: Final = "screen.json"
"""the file of what is suspect, in the folder of a run or of a trainer"""


IN_PLACE_OF: Final = "**goes_on in the place of run=, step= and goes_on="
"""what Python would refuse twice"""


def without_suspects(watch: "Watch", folder: Path, writes: bool, earlier: Screen | None = None) -> list[str]:
    """The lines that leave out what is suspect by now; with `writes`, the screen goes into `folder`. Raises StoreError.

    `earlier` is what the loader left out in this run.
    """
    alarm = watch.alarms[-1] if watch.alarms else None
    found = None if alarm is None else alarm.screen
    screens: list[Screen] = [each for each in (watch.screen, found) if each is not None]
    if screens and earlier is not None:
        screens = [earlier, *screens]
    lines = []
    if alarm is not None and alarm.screen is None:
        lines.append("# Nothing of the rows stands out, so nothing is screened: look at them before you go on.")
    if alarm is not None and alarm.held_out and not watch.settings.held_out_screens:
        lines.append(f"# No file says what to leave out, since {HELD_OUT} alarmed: ask those who hold it.")
    elif screens:
        screen, path = any_of(screens), folder / SCREEN
        if not isinstance(screen, SpanScreen):
            lines.append(f"# Leave out {screen}: no file holds such a screen.")
        else:
            if writes:
                folder.mkdir(parents=True, exist_ok=True)
                save(screen, path)
            lines.append(f"dataset = screened(dataset, {str(path)!r})")
            lines.insert(0, "from darklantern.watch import screened")
    return lines


def goes_on_with(folder: str, step: str = "") -> str:
    """The keywords by which a watch goes on with the run in `folder`; without a step, from that of its trainer."""
    return f"run={folder!r}, {f'step={step}, ' if step else ''}goes_on=True"


def explain(watch: "Watch", tap: Tap) -> None:
    """Set `watch.resume` at an alarm that ended a loop, and say it, or that wrote a checkpoint.

    Only where the run has a folder, on the first rank: the lines name what lies there. Raises StoreError for a screen
    that cannot be written, WatchError where that of an earlier alarm is damaged.
    """
    folder, wrote = watch.folder, Reaction.CHECKPOINT in watch.asked
    if folder is None or not (wrote or watch.stopped):
        return
    earlier = load(folder / SCREEN) if watch.went_on and (folder / SCREEN).exists() else None
    leaves_out = without_suspects(watch, folder, True, earlier)
    clean = watch.alarms[-1].clean
    if clean is None:
        lines = [*leaves_out, "# No state is known to be clean: begin anew, in another folder."]
    elif wrote and (path := _written(watch, tap)):
        lines = [
            "from pathlib import Path",
            "from darklantern.models.snapshot import load, restore",
            *leaves_out,
            "# Model, optimizer and a loader of this dataset as before; then:",
            f"clean = load(Path({path}))",
            "# `others` are what else was in `state`, in its order." * bool(_others(tap)),
            f"restore(clean, model, optimizer, loader{', others' * bool(_others(tap))})",
            f"# The loader stands one batch on: {watch.rewinds}." * bool(watch.rewinds),
            f"goes_on = dict({goes_on_with(str(folder), 'clean.step')})",
            f"# w = darklantern.watch(model, ..., **goes_on), as before, {IN_PLACE_OF}.",
        ]
    else:
        lines = [
            *leaves_out,
            f"# With a checkpoint of yours from step {clean.step} or before: darklantern.watch(..., "
            f"{goes_on_with(str(folder), 'that step')})",
        ]
    watch.resume = "\n".join(filter(None, lines))
    if watch.stopped:
        watch.say("resume", f"in another process:\n{watch.resume}")


def _written(watch: "Watch", tap: Tap) -> str:
    """The clean state's file as code; empty where none was written."""
    path = watch.checkpoints.get("clean")
    if path is None:
        return ""
    if tap.ranks.count == 1:
        return repr(str(path))
    return f"f{str(path).replace('-rank0.', '-rank{torch.distributed.get_rank()}.')!r}"


def _others(tap: Tap) -> tuple[object, ...]:
    return tuple(getattr(tap, "others", ()))
