"""A watch over a model that two gloo ranks share: it sees what one process would, changes nothing, and ranks agree.

The cases themselves are in shards_worker.py; one pair of processes goes through them in each way to cut.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("shards_worker.py")
KINDS = ("ddp", "fsdp", "tp")
CASES = re.findall(r"^    def ([a-z]\w+)\(self\) -> None", WORKER.read_text().partition("class Cases")[2], re.MULTILINE)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="torch without gloo"
    ),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str]:
    """What each case came to, rank by rank, and what the launch printed."""
    folder = tmp_path_factory.mktemp("shards")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            [*command, str(WORKER), str(folder), *KINDS],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        said = done.stderr
    except subprocess.TimeoutExpired as late:
        said = f"still running after 300 s: {late.stderr!r}"
    found: dict[str, str] = {}
    for rank in range(2):
        file = folder / f"{rank}.json"
        results = json.loads(file.read_text()) if file.exists() else {}
        found |= {f"{case}, rank {rank}": text for case, text in results.items()}
    return found, said[-3000:]


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind in KINDS for case in CASES])
def test_a_watch_over_a_cut_model(kind: str, case: str, told: tuple[dict[str, str], str]) -> None:
    found, said = told
    for rank in range(2):
        name = f"{kind}: {case}, rank {rank}"
        assert name in found, f"{name} was never reached: {said}"
        assert found[name] == "ok", found[name]


def test_no_case_of_the_worker_is_forgotten() -> None:
    assert len(CASES) > 8
