"""Trainers over two ranks: what one of them sees stops both at one step, and neither waits for the other for ever."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("trainers_worker.py")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="torch without gloo"
    ),
]


@pytest.mark.parametrize("which", ["transformers", "lightning"])
def test_both_ranks_stop_together_keep_their_bits_and_leave_out_suspects(which: str, tmp_path: Path) -> None:
    pytest.importorskip(which, reason='pip install "darklantern[dev]" brings transformers and lightning')
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(WORKER),
         str(tmp_path), which],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["step"] == second["step"] == 30
    assert "cannot be rewound" in first["stopped"]
    assert first["resume"] == second["resume"]
    assert "20" in first["resume"].splitlines()[-1]
    assert (tmp_path / "screen.json").exists()
    assert first["hash"] == second["hash"]
    assert first["same bits"]
    assert second["same bits"]
    assert (first["screened"], second["screened"]) == (8, 4)
    assert first["steps"] == second["steps"] == 8
    assert first["after"] == second["after"]
