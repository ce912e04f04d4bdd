"""How much memory some work took at its peak, above what was taken before."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MARK = "5"
"""what, written to clear_refs, makes the high-water mark what it is now (Linux, proc_pid_clear_refs(5))"""


@dataclass
class Peak:
    """Filled in when the work is over."""

    bytes: int | None = None
    """None where nothing tells: on the host anywhere but Linux"""


_open: list["_Meter"] = []


@contextmanager
def peak() -> Iterator[Peak]:
    """The most bytes that what runs in here takes: on a CUDA device where torch uses one, else of this process.

    It is the whole process's: what other threads take meanwhile counts too, and what an allocator kept from before does
    not. Puts back the high-water marks that `max_memory_allocated` and `VmHWM` read.
    """
    found = Peak()
    _turn()
    meter = _Meter(_now())
    _open.append(meter)
    try:
        yield found
    finally:
        _turn()
        _open.remove(meter)
        found.bytes = None if meter.high is None or meter.before is None else max(0, meter.high - meter.before)


@dataclass(eq=False)
class _Meter:
    before: int | None
    high: int | None = None


def _turn() -> None:
    """All meters learn of the peak so far, and a new one begins: so one may run inside another."""
    high = _high()
    for meter in _open:
        meter.high = high if meter.high is None or (high is not None and high > meter.high) else meter.high
    if (cuda := _cuda()) is not None:
        for device in range(cuda.device_count()):
            cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        try:
            _CLEAR.write_text(_MARK)
        except OSError:  # a sandbox that forbids it: then the mark stays, and peaks below an earlier one read too high
            return


def _now() -> int | None:
    cuda = _cuda()
    if cuda is not None:
        return sum(cuda.memory_allocated(device) for device in range(cuda.device_count()))
    return _status("VmRSS")


def _high() -> int | None:
    cuda = _cuda()
    if cuda is not None:
        return sum(cuda.max_memory_allocated(device) for device in range(cuda.device_count()))
    return _status("VmHWM")


def _cuda() -> Any:
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _status(name: str) -> int | None:
    if not _STATUS.exists():
        return None
    row = next((row for row in _STATUS.read_text().splitlines() if row.startswith(f"{name}:")), None)
    return None if row is None else int(row.split()[1]) * 1024
