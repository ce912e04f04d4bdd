"""LlamaForCausalLM: rotary positions, grouped heads, a gated MLP, a batch padded on the left.

`decoder` is also what Mistral, Qwen3 and Mixtral are made of.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from .parts import Inputs, Visit, activate, attend, causal, embed, linear, project_heads, randomise, rms_norm, silu
from .parts import visited_linear as unembedding

SIZES = {
    "vocab_size": 41,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
NATIVE = (
    ("embed", "model.embed_tokens"),
    ("layers", "model.layers"),
    ("norm", "model.norm"),
    ("attn", "self_attn"),
    ("norm1", "input_layernorm"),
    ("norm2", "post_attention_layernorm"),
    ("unembed", "lm_head"),
)
PADDING = 3  # tokens on the left of the second example

Mlp = Callable[[Visit, str, Tensor, nn.Module], Tensor]
Norm = Callable[[str, Tensor, nn.Module], Tensor]


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Two layers, dim 32, 4 query heads on 2 key-value heads."""
    return randomise(LlamaForCausalLM._from_config(LlamaConfig(**SIZES), attn_implementation="sdpa"), dtype, seed)


def inputs(seed: int = 0) -> dict[str, Tensor]:
    """Two examples of 8 tokens, the second padded on the left; the model is given no position ids."""
    ids = torch.randint(3, 41, (2, 8), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[1, :PADDING] = 0
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask}


def forward(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The logits, `batch pos vocabulary`."""
    return decoder(model, inputs, visit)


def gated_mlp(visit: Visit, path: str, x: Tensor, mlp: nn.Module) -> Tensor:
    """down(silu(gate(x)) · up(x))."""
    x = visit(f"{path}:in", x)
    post = activate(visit, path, linear(x, mlp.gate_proj.weight), silu)
    neurons = visit(f"{path}:neurons", post * linear(x, mlp.up_proj.weight))
    return visit(f"{path}:out", linear(neurons, mlp.down_proj.weight))


def forward_in_float64(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The same in exact numbers, for models whose norms and angles do not insist on float32."""
    return decoder(model, inputs, visit, inner=torch.float64)


def decoder(
    model: nn.Module,
    inputs: Inputs,
    visit: Visit,
    *,
    mlp: Mlp = gated_mlp,
    window: int | None = None,
    inner: torch.dtype = torch.float32,
) -> Tensor:
    """The whole forward pass of this family; `inner` is the dtype of norms and angles, whatever the model's own."""
    assert isinstance(inputs, dict)
    config, body = model.config, model.model
    real = inputs["attention_mask"].bool()
    allowed = causal(real.shape[1], window) & real[:, None, None, :]

    x = embed(visit, inputs["input_ids"], body.embed_tokens.weight)
    # Positions count the padding too, as the model does unless it is told otherwise.
    turn = _rotation(real.shape[1], config.head_dim, config.rope_parameters["rope_theta"], x.dtype, inner)
    norm = partial(_norm, visit, inner=inner)
    for number, block in enumerate(body.layers):
        path = f"layers.{number}"
        x = visit(f"{path}:in", x)
        normed = norm(f"{path}.norm1", x, block.input_layernorm)
        x = x + _attention(visit, f"{path}.attn", normed, block.self_attn, norm, turn, allowed)
        x = visit(f"{path}:resid_mid", x)
        normed = norm(f"{path}.norm2", x, block.post_attention_layernorm)
        x = x + mlp(visit, f"{path}.mlp", normed, block.mlp)
        x = visit(f"{path}:out", x)
    x = norm("norm", x, body.norm)
    return unembedding(visit, "unembed", x, model.lm_head.weight)


def _norm(visit: Visit, path: str, x: Tensor, norm: nn.Module, *, inner: torch.dtype) -> Tensor:
    return rms_norm(visit, path, x, norm.weight, norm.variance_epsilon, all_in=inner)


def _attention(
    visit: Visit, path: str, x: Tensor, attention: nn.Module, norm: Norm, turn: tuple[Tensor, Tensor], allowed: Tensor
) -> Tensor:
    x = visit(f"{path}:in", x)
    q, k, v = (
        linear(x, part.weight).unflatten(-1, (-1, attention.head_dim))
        for part in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if hasattr(attention, "q_norm"):
        q = norm(f"{path}.q_norm", q, attention.q_norm)
        k = norm(f"{path}.k_norm", k, attention.k_norm)
    q, k = visit(f"{path}:q_pre", q), visit(f"{path}:k_pre", k)
    z = attend(visit, path, _turned(q, *turn), _turned(k, *turn), v, scale=attention.head_dim**-0.5, allowed=allowed)
    return project_heads(visit, path, z, attention.o_proj.weight)


def _rotation(positions: int, dim: int, base: float, dtype: torch.dtype, inner: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin of the angles, each `pos head dim/2` with one head."""
    frequencies = 1.0 / base ** (torch.arange(0, dim, 2, dtype=inner) / dim)
    angles = torch.arange(positions, dtype=inner)[:, None, None] * frequencies
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair (i, i + dim/2) of a head turned by its angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
