"""MixtralForCausalLM: Llama's forward pass with a mixture of experts for an MLP, the two best of four.

The experts' `pre`, `post` and `neurons` are no sites: each expert sees only some of the positions.
"""

import torch
from torch import Tensor, nn
from transformers import MixtralConfig, MixtralForCausalLM

from .llama import NATIVE, SIZES, decoder, inputs
from .parts import Inputs, Visit, linear, randomise, silu

__all__ = ["NATIVE", "build", "forward", "inputs"]


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Llama's sizes, four experts."""
    config = MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2, rms_norm_eps=1e-6)
    # The default kernel for experts, `grouped_mm`, refuses float64.
    experts = "eager" if dtype == torch.float64 else None
    model = MixtralForCausalLM._from_config(config, attn_implementation="sdpa", experts_implementation=experts)
    return randomise(model, dtype, seed)


def forward(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The logits, `batch pos vocabulary`."""
    return decoder(model, inputs, visit, mlp=_mixture)


def _mixture(visit: Visit, path: str, x: Tensor, mixture: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    logits = visit(f"{path}:router", linear(x, mixture.gate.weight))
    # The model takes this softmax in float32 whatever its own dtype.
    best, chosen = torch.softmax(logits.float(), dim=-1).topk(mixture.top_k, dim=-1)
    share = torch.zeros(logits.shape).scatter(-1, chosen, best / best.sum(-1, keepdim=True))
    out = torch.zeros_like(x)
    for number in range(mixture.experts.num_experts):
        gate, up = linear(x, mixture.experts.gate_up_proj[number]).chunk(2, dim=-1)
        out = out + share[..., number, None] * linear(silu(gate) * up, mixture.experts.down_proj[number])
    return visit(f"{path}:out", out)
