"""Models cut over two gloo ranks give what one process gives: every port, edit and gradient.

The cases themselves are in shards_worker.py; each launch runs its cases in one pair of processes.
"""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from torch_cut import KINDS

torch = pytest.importorskip("torch")
WORKER = Path(__file__).with_name("shards_worker.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="torch without gloo"
    ),
]

CUT = (
    "every_port", "every_edit", "patches", "gradients", "gradients_under_checkpointing", "products",
    "training_under_an_edit", "stop", "start", "generation", "reduced_values", "pieces_that_are_all_the_same",
    "local_values", "an_edit_fails_on_one_rank", "a_metric_fails_on_one_rank", "plans_differ",
    "an_edit_differs_by_rank", "refusals", "refused_on_one_rank", "a_model_is_freed",
)  # fmt: skip
OWN = (
    "biases_and_activations",
    "sequence_parallelism",
    "multihead_attention_under_fsdp",
    "unknown_pieces",
    "uneven_pieces",
)
EXPECTED = {
    # One pair of processes for all that leave it whole: to start one takes as long as a suite of cases.
    "whole": [
        *(f"{kind}: {case}" for kind in KINDS for case in CUT),
        *(f"own: {case}" for case in OWN),
    ],
    "break tp": ["break tp: the_model_fails_on_one_rank"],
    "break fsdp": ["break fsdp: the_model_fails_on_one_rank"],
}


@cache
def told(launch: str, folder: Path) -> tuple[dict[str, str], str]:
    """What each case came to, rank by rank, and what the launch printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*command, str(WORKER), str(folder), launch],
            env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        said = done.stderr
    except subprocess.TimeoutExpired as late:
        said = f"still running after 300 s: {late.stderr!r}"
    found: dict[str, str] = {}
    for rank in range(2):
        path = folder / f"{rank}.json"
        found |= (
            {f"{case}, rank {rank}": text for case, text in json.loads(path.read_text()).items()}
            if path.exists()
            else {}
        )
    return found, said[-3000:]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {launch: tmp_path_factory.mktemp("shards") for launch in EXPECTED}


@pytest.mark.parametrize(("launch", "case"), [(launch, case) for launch, cases in EXPECTED.items() for case in cases])
def test_both_ranks_agree_with_one_process(launch: str, case: str, folders: dict[str, Path]) -> None:
    if launch != "break tp" and launch != "break fsdp":
        pytest.importorskip("transformers")
    found, said = told(launch, folders[launch])
    for rank in range(2):
        name = f"{case}, rank {rank}"
        assert name in found, f"{name} was never reached: {said}"
        assert found[name] == "ok", found[name]


def test_no_case_of_the_worker_is_forgotten() -> None:
    named = {case.partition(": ")[2] for cases in EXPECTED.values() for case in cases}
    assert set(re.findall(r"def ([a-z]\w+)\(self\)", WORKER.read_text())) == named
