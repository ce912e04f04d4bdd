"""A Llama MLP cut by torch-native tensor parallelism over two gloo ranks: are values whole or a part?"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models import subjects, truth
from models.names import SEED

RANKS = 2
ANSWER = "DARKLANTERN_BENCH_ANSWER"
Read = Callable[[nn.Module, Tensor], tuple[dict[str, Any], Tensor]]


def launch(module: str, out: Path) -> dict[str, Any]:
    """Start the two ranks of `python -m module --rank` and give back what rank 0 wrote."""
    answer = (out / f"{module}-sharded.json").resolve()
    answer.unlink(missing_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={RANKS}"]
    environment = {**os.environ, ANSWER: str(answer), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-m", module, "--rank"], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    if not answer.exists():
        sys.stderr.write(done.stderr)
        raise RuntimeError(f"the ranks wrote no answer, status {done.returncode}")
    return json.loads(answer.read_text())


def whole() -> tuple[nn.Module, Tensor]:
    """Block 3's MLP of the Llama model, and what goes into it."""
    model = subjects.build("llama")
    mlp = subjects.block(model, "llama", truth.EDITED).mlp
    hidden = torch.randn(1, subjects.TOKENS, subjects.WIDTH, generator=torch.Generator().manual_seed(SEED))
    return mlp, hidden


def rank(read: Read) -> None:
    """One rank. `read` gives the ports' values by name and the output under an edit; rank 0 judges them."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    mlp, hidden = whole()
    true, edited = _by_hand(mlp, hidden)
    cut = subjects.twin(mlp)
    mesh = init_device_mesh("cpu", (RANKS,))
    plan = {"gate_proj": ColwiseParallel(), "up_proj": ColwiseParallel(), "down_proj": RowwiseParallel()}
    parallelize_module(cut, mesh, plan)
    try:
        values, output = read(cut, hidden)
        told = {name: _told(value, true[name]) for name, value in values.items()} | {"edit": _told(output, edited)}
    except Exception as error:  # noqa: BLE001 - what it says is the result
        told = {"raised": f"{type(error).__name__}: {str(error)[:200]}"}
    if dist.get_rank() == 0:
        Path(os.environ[ANSWER]).write_text(json.dumps(told))
    dist.destroy_process_group()


def _told(value: Any, true: Tensor) -> dict[str, Any]:
    """Its type, placement and shape as the user gets them, and whether it is the whole true value without more ado."""
    placements = [str(placement) for placement in getattr(value, "placements", ())]
    local = value.to_local() if placements else value
    fits = local.shape == true.shape
    return {
        "type": type(value).__name__,
        "placements": placements,
        "shape": list(local.shape),
        "whole_shape": list(true.shape),
        "equal": bool(fits and torch.allclose(local, true, atol=1e-6)),
    }


def _by_hand(mlp: nn.Module, hidden: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    gate, up = mlp.gate_proj(hidden), mlp.up_proj(hidden)
    inner = mlp.act_fn(gate) * up
    true = {"gate_proj": gate, "up_proj": up, "down_proj_input": inner, "down_proj": mlp.down_proj(inner)}
    return true, mlp.down_proj(inner / 2)
