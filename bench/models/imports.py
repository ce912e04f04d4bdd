"""How long `import X` takes in a fresh process, over a bare start of the same Python."""

import os
import statistics
import subprocess
import sys
from typing import Any

RUNS = 5
HEAVY = "import sys; print([name for name in ('torch', 'jax') if name in sys.modules])"


def seconds(package: str) -> dict[str, Any]:
    """Median processor seconds of the import, and whether it brought torch or jax with it."""
    bare, loaded = [], []
    _start(f"import {package}")  # compiles what is not compiled yet
    for _ in range(RUNS):
        bare.append(_start("pass"))
        loaded.append(_start(f"import {package}"))
    heavy = subprocess.run(
        [sys.executable, "-c", f"import {package}; {HEAVY}"], capture_output=True, text=True, check=True
    )
    return {
        "seconds": statistics.median(loaded) - statistics.median(bare),
        "loads": heavy.stdout.strip().splitlines()[-1],
    }


def _start(code: str) -> float:
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"python -c {code!r} ended with {child.returncode}")
    return used.ru_utime + used.ru_stime
