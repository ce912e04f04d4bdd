"""GPT2LMHeadModel: learned positions, pre-norm, packed qkv, tanh-gelu, the unembedding tied to the embedding."""

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from .parts import Inputs, Visit, activate, attend, causal, embed, gelu_tanh, layer_norm, project_heads, randomise
from .parts import visited_linear as unembedding

NATIVE = (
    ("embed", "transformer.wte"),
    ("layers", "transformer.h"),
    ("norm", "transformer.ln_f"),
    ("norm1", "ln_1"),
    ("norm2", "ln_2"),
    ("unembed", "lm_head"),
)


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Three layers, dim 32, 4 heads."""
    config = GPT2Config(
        vocab_size=41, n_positions=16, n_embd=32, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0, use_cache=False
    )
    return randomise(GPT2LMHeadModel._from_config(config, attn_implementation="sdpa"), dtype, seed)


def inputs(seed: int = 0) -> Tensor:
    """Token ids, `batch pos`."""
    return torch.randint(0, 41, (2, 7), generator=torch.Generator().manual_seed(seed))


def forward(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The logits, `batch pos vocabulary`."""
    assert isinstance(inputs, Tensor)
    body = model.transformer
    x = embed(visit, inputs, body.wte.weight) + body.wpe.weight[: inputs.shape[1]]
    for number, block in enumerate(body.h):
        x = _block(visit, f"layers.{number}", x, block)
    x = layer_norm(visit, "norm", x, body.ln_f)
    return unembedding(visit, "unembed", x, model.lm_head.weight)


def _block(visit: Visit, path: str, x: Tensor, block: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    x = x + _attention(visit, f"{path}.attn", layer_norm(visit, f"{path}.norm1", x, block.ln_1), block.attn)
    x = visit(f"{path}:resid_mid", x)
    x = x + _mlp(visit, f"{path}.mlp", layer_norm(visit, f"{path}.norm2", x, block.ln_2), block.mlp)
    return visit(f"{path}:out", x)


def _attention(visit: Visit, path: str, x: Tensor, attention: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    heads = (attention.num_heads, attention.head_dim)
    qkv = x @ attention.c_attn.weight + attention.c_attn.bias  # this Linear keeps its weight as input × output
    q, k, v = (part.unflatten(-1, heads) for part in qkv.chunk(3, dim=-1))
    z = attend(visit, path, q, k, v, scale=attention.head_dim**-0.5, allowed=causal(x.shape[1]))
    return project_heads(visit, path, z, attention.c_proj.weight.T, attention.c_proj.bias)


def _mlp(visit: Visit, path: str, x: Tensor, mlp: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    post = activate(visit, path, x @ mlp.c_fc.weight + mlp.c_fc.bias, gelu_tanh)
    neurons = visit(f"{path}:neurons", post)
    return visit(f"{path}:out", neurons @ mlp.c_proj.weight + mlp.c_proj.bias)
