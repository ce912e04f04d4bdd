"""A small Llama, whole and cut over two gloo ranks by each way that torch has, and what both must agree on."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

LAYERS, HEADS, WIDTH, TOKENS = 3, 4, 32, 7
KINDS = ("tp", "transformers", "fsdp", "fsdp 1 × tp 2", "fsdp 2 × tp 1")


def llama(layers: int = LAYERS) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=layers,
        num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=32, use_cache=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def tensor_parallel(model: Any, mesh: DeviceMesh) -> None:
    column, row = ColwiseParallel, RowwiseParallel
    parallelize_module(model.model, mesh, {"embed_tokens": row(input_layouts=Replicate())})
    parallelize_module(model, mesh, {"lm_head": column(output_layouts=Replicate())})
    for block in model.model.layers:
        plan = {f"self_attn.{name}_proj": column() for name in "qkv"} | {"self_attn.o_proj": row()}
        plan |= {"mlp.gate_proj": column(), "mlp.up_proj": column(), "mlp.down_proj": row()}
        parallelize_module(block, mesh, plan)


def transformers_own(model: Any, mesh: DeviceMesh) -> None:
    """Tensor parallelism by transformers' own plan, which surrounds forwards instead of setting hooks."""
    from transformers.distributed import tensor_parallel as own

    plan = {pattern.replace("*", str(i)): style for pattern, style in model.tp_plan.items() for i in range(LAYERS)}
    plan = {name: style for name, style in plan.items() if name in dict(model.named_modules())}
    weights = {f"{name}.weight": plan[name] for name in plan if hasattr(model.get_submodule(name), "weight")}
    own.apply_tensor_parallelism(model, mesh, weights | plan)


def fsdp(model: Any, mesh: DeviceMesh) -> None:
    for block in model.model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def cut(model: nn.Module, kind: str) -> nn.Module:
    """A copy of `model`, cut over the ranks."""
    made = copy.deepcopy(model)
    if kind == "tp":
        tensor_parallel(made, init_device_mesh("cpu", (2,)))
    elif kind == "transformers":
        transformers_own(made, init_device_mesh("cpu", (2,)))
    elif kind == "fsdp":
        fsdp(made, init_device_mesh("cpu", (2,)))
    else:
        sizes = {"fsdp 1 × tp 2": (1, 2), "fsdp 2 × tp 1": (2, 1)}[kind]
        mesh = init_device_mesh("cpu", sizes, mesh_dim_names=("dp", "tp"))
        tensor_parallel(made, mesh["tp"])
        fsdp(made, mesh["dp"])
    return made


def tokens_of(kind: str) -> Tensor:
    """Under FSDP each rank has a batch of its own."""
    own = dist.get_rank() if kind in ("fsdp", "fsdp 2 × tp 1") else 0
    return torch.randint(0, 64, (2, TOKENS), generator=torch.Generator().manual_seed(11 + own))


def near(found: Any, true: Any, name: str) -> None:
    assert type(found) is Tensor, f"{name}: a {type(found).__name__}"
    assert found.shape == true.shape, f"{name}: {tuple(found.shape)}, not {tuple(true.shape)}"
    torch.testing.assert_close(found, true, atol=2e-5, rtol=1e-4, msg=lambda text: f"{name}: {text}")


def raises(error: type[BaseException], match: str, call: Callable[[], object]) -> None:
    try:
        call()
    except error as caught:
        assert match in f"{type(caught).__name__}: {caught}", f"another error: {caught}"
        return
    raise AssertionError(f"no {error.__name__}")
