"""The environment of a process whose JAX sees one CPU as several devices."""

import os

THREADS = 32
"""Of XLA's pool, for all devices together. XLA makes as many as there are cores, or devices where those are more; a sum
over devices holds one of them for each device until all have come, and where anything else holds one, none comes."""
PATIENCE = 300
"""Seconds that a sum waits for all devices before XLA ends the process: busy cores may keep one waiting."""


def environment(devices: int) -> dict[str, str]:
    flags = [
        os.environ.get("XLA_FLAGS", ""),
        f"--xla_cpu_collective_call_terminate_timeout_seconds={PATIENCE}",
        f"--xla_force_host_platform_device_count={devices}",
    ]
    said = {"XLA_FLAGS": " ".join(flags), "NPROC": str(THREADS), "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **said}
