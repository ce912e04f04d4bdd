"""T5ForConditionalGeneration: learned biases by distance, unscaled scores, a gated MLP, an encoder padded on the right.

The bias belongs to the first layer of each stack and serves all of them; it is part of `scores`. Norms are numbered in
the order they run: in the decoder `norm2` belongs to the cross-attention and `norm3` to the MLP, and `resid_mid` is the
residual stream that the MLP adds to.
"""

import math

import torch
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration

from .parts import Inputs, Visit, activate, attend, causal, gelu_tanh, linear, project_heads, randomise, rms_norm
from .parts import visited_linear as unembedding

NATIVE = (
    (r"encoder\.norm", "encoder.final_layer_norm"),
    (r"decoder\.norm", "decoder.final_layer_norm"),
    ("embed", "embed_tokens"),
    ("unembed", "lm_head"),
    (r"encoder\.layers\.(\d+)\.(mlp|norm2)", r"encoder.block.\1.layer.1.\2"),
    (r"decoder\.layers\.(\d+)\.(mlp|norm3)", r"decoder.block.\1.layer.2.\2"),
    (r"decoder\.layers\.(\d+)\.(cross_attn|norm2)", r"decoder.block.\1.layer.1.\2"),
    (r"layers\.(\d+)\.(attn|norm1)", r"block.\1.layer.0.\2"),
    ("layers", "block"),
    ("attn", "SelfAttention"),
    ("cross_attn", "EncDecAttention"),
    ("mlp", "DenseReluDense"),
    (r"norm\d", "layer_norm"),
)


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Two layers on each side, dim 16, 3 heads of 4; so few buckets that far distances share one."""
    config = T5Config(
        vocab_size=41,
        d_model=16,
        d_kv=4,
        d_ff=24,
        num_layers=2,
        num_heads=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=6,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
    )
    return randomise(T5ForConditionalGeneration._from_config(config, attn_implementation="sdpa"), dtype, seed)


def inputs(seed: int = 0) -> dict[str, Tensor]:
    """Token ids for both sides; the encoder's second example ends in two padding tokens."""
    source = torch.Generator().manual_seed(seed)
    ids, answer = torch.randint(3, 41, (2, 7), generator=source), torch.randint(3, 41, (2, 6), generator=source)
    mask = torch.ones_like(ids)
    mask[1, -2:] = 0
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask, "decoder_input_ids": answer}


def forward(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The logits, `batch pos vocabulary`."""
    assert isinstance(inputs, dict)
    real = inputs["attention_mask"].bool()[:, None, None, :]
    memory = _stack(visit, "encoder", inputs["input_ids"], model.encoder, real)
    ids = inputs["decoder_input_ids"]
    x = _stack(visit, "decoder", ids, model.decoder, causal(ids.shape[1]), memory, real)
    if model.config.scale_decoder_outputs:
        x = x * model.config.d_model**-0.5
    return unembedding(visit, "unembed", x, model.lm_head.weight)


def _stack(
    visit: Visit,
    name: str,
    ids: Tensor,
    stack: nn.Module,
    allowed: Tensor,
    memory: Tensor | None = None,
    memory_allowed: Tensor | None = None,
) -> Tensor:
    x = visit(f"{name}.embed:out", stack.embed_tokens.weight[visit(f"{name}.embed:in", ids)])
    bias = _bias(x.shape[1], stack.block[0].layer[0].SelfAttention, both_ways=memory is None)
    for number, block in enumerate(stack.block):
        path = f"{name}.layers.{number}"
        x = visit(f"{path}:in", x)
        y = _norm(visit, f"{path}.norm1", x, block.layer[0].layer_norm)
        x = x + _attention(visit, f"{path}.attn", y, None, block.layer[0].SelfAttention, allowed, bias)
        if memory is not None:
            y = _norm(visit, f"{path}.norm2", x, block.layer[1].layer_norm)
            attention = block.layer[1].EncDecAttention
            x = x + _attention(visit, f"{path}.cross_attn", y, memory, attention, memory_allowed, 0.0)
        x = visit(f"{path}:resid_mid", x)
        last = block.layer[-1]
        y = _norm(visit, f"{path}.norm{len(block.layer)}", x, last.layer_norm)
        x = visit(f"{path}:out", x + _mlp(visit, f"{path}.mlp", y, last.DenseReluDense))
    return _norm(visit, f"{name}.norm", x, stack.final_layer_norm)


def _norm(visit: Visit, path: str, x: Tensor, norm: nn.Module) -> Tensor:
    # Only the mean of squares is in float32; what is divided keeps its dtype.
    return rms_norm(visit, path, x, norm.weight, norm.variance_epsilon, mean_in=torch.float32)


def _attention(
    visit: Visit,
    path: str,
    x: Tensor,
    memory: Tensor | None,
    attention: nn.Module,
    allowed: Tensor | None,
    bias: Tensor | float,
) -> Tensor:
    x = visit(f"{path}:in", x)
    source = x if memory is None else memory
    heads = (attention.n_heads, attention.key_value_proj_dim)
    q = linear(x, attention.q.weight).unflatten(-1, heads)
    k, v = (linear(source, part.weight).unflatten(-1, heads) for part in (attention.k, attention.v))
    z = attend(visit, path, q, k, v, scale=1.0, allowed=allowed, bias=bias)
    return project_heads(visit, path, z, attention.o.weight)


def _mlp(visit: Visit, path: str, x: Tensor, mlp: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    post = activate(visit, path, linear(x, mlp.wi_0.weight), gelu_tanh)
    neurons = visit(f"{path}:neurons", post * linear(x, mlp.wi_1.weight))
    return visit(f"{path}:out", linear(neurons, mlp.wo.weight))


def _bias(length: int, attention: nn.Module, *, both_ways: bool) -> Tensor:
    """What each head adds to the scores, `head pos key`, by the bucket of the distance from query to key."""
    buckets, furthest = attention.relative_attention_num_buckets, attention.relative_attention_max_distance
    table = attention.relative_attention_bias.weight
    rows = [
        torch.stack([table[_bucket(key - query, buckets, furthest, both_ways)] for key in range(length)])
        for query in range(length)
    ]
    return torch.stack(rows).permute(2, 0, 1)


def _bucket(ahead: int, buckets: int, furthest: int, both_ways: bool) -> int:
    """One bucket for each short distance, wider and wider ones up to `furthest`; keys ahead have the upper half."""
    first = 0
    if both_ways:
        buckets //= 2
        first = buckets if ahead > 0 else 0
    distance = abs(ahead) if both_ways else max(-ahead, 0)
    single = buckets // 2
    if distance < single:
        return first + distance
    part = math.log(distance / single) / math.log(furthest / single)
    return first + min(single + int(part * (buckets - single)), buckets - 1)
