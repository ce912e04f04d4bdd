"""Every method on a model cut over two gloo ranks gives, on each of them, what it gives on the whole model.

The calls are in each_method.py; those of one way to cut run in one pair of processes.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
import virtual_devices
from each_method import CASES, WHOLE

from darklantern import methods

WORKER = Path(__file__).with_name("methods_shards_worker.py")
BESIDE = WORKER.parent.parent / "models"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="torch without gloo"
    ),
]


@cache
def told(kind: str, folder: Path) -> tuple[list[dict[str, str]], str]:
    """What each method came to, rank by rank, and what the launch printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    path = [str(BESIDE), str(WORKER.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, path))}
    try:
        done = subprocess.run(
            [*command, str(WORKER), str(folder), kind],
            env=environment, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        said = done.stderr
    except subprocess.TimeoutExpired as late:
        said = f"still running after 400 s: {late.stderr!r}"
    files = [folder / f"{rank}.json" for rank in range(2)]
    return [json.loads(file.read_text()) if file.exists() else {} for file in files], said[-3000:]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: tmp_path_factory.mktemp("methods") for kind in ("tp", "fsdp")}


@pytest.mark.parametrize("case", [*CASES, "ranks_that_differ"])
@pytest.mark.parametrize("kind", ["tp", "fsdp"])
def test_a_cut_model_gives_what_a_whole_one_gives(kind: str, case: str, folders: dict[str, Path]) -> None:
    ranks, said = told(kind, folders[kind])
    for rank, found in enumerate(ranks):
        assert case in found, f"{case} was never reached on rank {rank}: {said}"
        assert found[case] == "ok", found[case]


def test_no_method_is_forgotten() -> None:
    called = WORKER.with_name("each_method.py").read_text()
    public = {name for name in methods.__all__ if name.islower()}
    missing = {name for name in public if f"methods.{name}(" not in called}
    assert missing == WHOLE


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    file = tmp_path_factory.mktemp("methods") / "told.json"
    path = os.pathsep.join([str(BESIDE), str(WORKER.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**virtual_devices.environment(2), "PYTHONPATH": path}
    command = [sys.executable, str(WORKER.with_name("jax_methods_worker.py")), str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(file.read_text())


@pytest.mark.parametrize("case", CASES)
def test_a_jax_model_cut_over_devices_gives_what_a_whole_one_gives(case: str, on_jax: dict[str, str]) -> None:
    assert on_jax[case] == "ok", on_jax[case]
