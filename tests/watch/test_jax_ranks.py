"""Two processes of jax.distributed on one machine: they hear each other, fail together, and read the same.

A watch over arrays that span processes is not written: such a batch is refused, and `batch=` may take this process's
own rows out of it.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("jax_ranks_worker.py")
pytestmark = pytest.mark.slow


def test_processes_of_jax_hear_each_other_and_decide_alike() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    processes = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), str(port)], env=environment, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for rank in range(2)
    ]  # fmt: skip
    try:
        ended = [process.communicate(timeout=150) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], [said[-2000:] for _, said in ended]
    first, second = (json.loads(said.splitlines()[-1]) for said, _ in ended)
    assert (first["rank"], second["rank"]) == ([0, 2], [1, 2])
    assert first["gathered"] == second["gathered"] == [{"text": "é", "numbers": []}, {"text": "éé", "numbers": [0.1]}]
    cause = "WatchError: the look failed on 1 of 2 ranks: rank 1: ZeroDivisionError('in the signal')"
    assert first["failure"] == second["failure"] == cause
    assert first["readings"] == second["readings"] == [0.0, 2.0, 4.0, 6.0], "the higher of both"
    for held, whole in (first["held of both"], second["held of both"]):
        assert 2 * held == whole, "a state that is cut over both is half here"
    assert "spans non-addressable" in first["a batch over both"]
