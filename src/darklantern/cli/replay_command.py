"""`darklantern watch replay`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darklantern.cli.bars import count_bar
from darklantern.cli.options import check_place
from darklantern.cli.output import tell, tell_json
from darklantern.cli.own_code import called
from darklantern.counted import counted
from darklantern.errors import WatchError

if TYPE_CHECKING:
    from darklantern.watch.viewing import SignalView, View

_PARTS = ("model", "signals", "trusted")
FURTHER = (
    "load",
    "state",
    "rows",
    "references",
    "recipe",
    "data",
    "alpha",
    "readout",
    "weights",
    "call",
    "batch",
    "seed",
)
"""what else the function of --setup may give, by the names of `replay`'s arguments"""


def run(folder: Path, setup: str, results: Path, report: Path | None, as_json: bool) -> None:
    """Read the signals from each checkpoint, show progress, print the table, write the page."""
    from darklantern.files import write_whole
    from darklantern.watch import replay
    from darklantern.watch.reporting import report as page
    from darklantern.watch.viewing import replayed

    if report is not None:
        check_place(report)  # now, and not after an hour
    given = _made(setup)
    parts = {name: given.pop(name) for name in _PARTS}
    with count_bar("checkpoints", lines=True) as progress:
        trace = replay(
            parts["model"], folder, parts["signals"], parts["trusted"], folder=results, progress=progress, **given
        )
    seen = replayed(trace)
    if report is not None:
        write_whole(report, page(seen, f"Replay of {folder.name}").encode())
    if as_json:
        tell_json(_plain(seen, folder, report))
        return
    _tell_table(seen)
    if report is not None:
        tell(f"the page: {report}")


def _made(setup: str) -> dict[str, Any]:
    """What the user's own function gives: what to replay, and how. Raises WatchError."""
    found, function = called(setup, WatchError), setup.rpartition(":")[2]
    if isinstance(found, tuple) and len(found) == len(_PARTS):
        return dict(zip(_PARTS, found, strict=True))
    if not isinstance(found, Mapping):
        raise WatchError(
            f"expected {function}() to give (model, signals, trusted), got {_kind(found)}",
            hint=f"or a dict of these, which may have {', '.join(FURTHER)} too",
        )
    if missing := [part for part in _PARTS if part not in found]:
        raise WatchError(f"the dict of {function}() has no {', '.join(missing)}", hint=_KEYS)
    if unknown := [str(key) for key in found if key not in (*_PARTS, *FURTHER)]:
        raise WatchError(f"the dict of {function}() has {', '.join(unknown)}, which replay does not take", hint=_KEYS)
    return dict(found)


def _kind(found: Any) -> str:
    return f"a tuple of {len(found)}" if isinstance(found, tuple) else type(found).__name__


_KEYS = f"it has {', '.join(_PARTS)}, and may have {', '.join(FURTHER)}"


def _tell_table(seen: "View") -> None:
    """Each signal: where it ended, and where it first stood over its threshold."""
    from darklantern.watch.live import curve

    heads = ("signal", "tier", "looks at", "curve", "highest", "threshold", "first over it")
    rows = [heads, *(_row(each, curve) for each in seen.signals)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        tell("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if seen.held_out:
        tell(f"and {counted(seen.held_out, 'held-out monitor')}, not shown")
    if seen.uncalibrated:
        tell(f"no false-alarm rate is claimed: {seen.uncalibrated}")
    if seen.unjudged:
        tell(seen.unjudged)


def _row(each: "SignalView", curve: Any) -> tuple[str, ...]:
    limit = None if each.threshold is None else each.threshold.value
    judged = [each.statistic[look] for look in each.judged_looks]
    return (
        each.name,
        each.signal.tier,
        "inside" if each.signal.role == "signal" else "behaviour",
        curve(each),
        f"{max(judged):.2f}" if judged else "-",
        "-" if limit is None else f"{limit:.2f}",
        ("never" if judged and limit is not None else "-") if each.alarm is None else f"step {each.alarm:,}",
    )


def _plain(seen: "View", folder: Path, report: Path | None) -> dict[str, Any]:
    signals = [
        {
            "signal": each.name,
            "tier": each.signal.tier,
            "role": each.signal.role,
            "unit": each.signal.unit,
            "steps": list(each.steps),
            "values": [reading.value for reading in each.readings],
            "placebos": [reading.placebo for reading in each.readings],
            "statistic": list(each.statistic),
            "threshold": None if each.threshold is None else each.threshold.value,
            "judged_from": each.judged_from,
            "calibrated": each.threshold is not None and each.threshold.calibrated,
            "first_over": each.alarm,
        }
        for each in seen.signals
    ]
    return {
        "checkpoints": str(folder),
        "signals": signals,
        "held_out": seen.held_out,
        "uncalibrated": seen.uncalibrated,
        "report": None if report is None else str(report),
    }
