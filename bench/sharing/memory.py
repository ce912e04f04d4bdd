"""How much memory a large artifact takes, sealed and then opened: each size in a process of its own.

The source is a sparse file, and the store throws pieces away and makes them again when they are asked for (see
`zeros`), so that no disk has to hold fifty gigabytes twice. All that is between is the product.
"""

import json
import subprocess
import sys
from pathlib import Path

from sharing.measuring import Line, line
from sharing.sizes import GIB, MIB, Sizes

MOST, FLAT = 64, 16


def lines(sizes: Sizes) -> list[Line]:
    """`memory for a large artifact`: the most over all sizes, and how much the largest takes above the smallest."""
    told = {size: _child(size) for size in sizes.artifacts}
    detail = {f"{size / GIB:.2f} GiB": each for size, each in told.items()}
    peaks = [max(each["seal_mib"], each["open_mib"]) for each in told.values()]
    most, spread = max(peaks), round(max(peaks) - min(peaks), 1)
    return [
        line("memory for a large artifact", most, "MiB above idle", f"≤ {MOST}", most <= MOST, None, sizes=detail),
        line("memory for a large artifact · flat", spread, "MiB from 1st to last", f"≤ {FLAT}", spread <= FLAT, None),
    ]


def _child(size: int) -> dict[str, float]:
    here = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "sharing.zeros", str(size)], cwd=here, check=True, stdout=subprocess.PIPE, text=True
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def peak_mib() -> float:
    """The most memory that this process has held since `forget_peak`."""
    return _status("VmHWM:")


def now_mib() -> float:
    """What it holds."""
    return _status("VmRSS:")


def forget_peak() -> None:
    """Begin anew (Linux: proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> float:
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(field):
            return int(text.split()[1]) * 1024 / MIB
    raise ValueError(f"expected {field} in /proc/self/status, got none")
