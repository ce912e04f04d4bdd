"""Pieces that several oracles share: each takes weights and values, visits its sites, returns the value to go on with.

Plain tensor operations only. A `path` may end in a call number (`shared.attn#1`); the port is put behind it.
"""

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

Inputs = Tensor | dict[str, Tensor]
Visit = Callable[[str, Tensor], Tensor]


def randomise(model: nn.Module, dtype: torch.dtype, seed: int) -> nn.Module:
    """The model in eval mode and `dtype`, parameters and statistics drawn anew: one seed is one model in any dtype."""
    source = torch.Generator().manual_seed(seed)

    def normal(shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=source, dtype=torch.float64)

    model.to(dtype).eval()
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = normal(weight.shape)
            if weight.ndim == 1:
                weight.copy_(0.3 * noise + (1.0 if name.endswith("weight") else 0.0))
            elif id(weight) in embeddings:
                weight.copy_(noise)
            else:
                fan = weight[0].numel() if weight.ndim == 4 else min(weight.shape[-2:])
                weight.copy_(1.2 * noise / math.sqrt(fan))
        for name, statistic in model.named_buffers():
            if name.endswith("running_mean"):
                statistic.copy_(0.3 * normal(statistic.shape))
            elif name.endswith("running_var"):
                statistic.copy_(0.5 + normal(statistic.shape).abs())
    return model


def renamed(path: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """A canonical path in the model's own words: each pair (pattern, replacement) rewrites whole parts, in order."""
    for canonical, native in pairs:
        path = re.sub(rf"(?:^|(?<=\.)){canonical}(?=[.#]|$)", native, path)
    return path


def embed(visit: Visit, ids: Tensor, weight: Tensor) -> Tensor:
    """Rows of the embedding table: `batch pos` to `batch pos dim`."""
    return visit("embed:out", weight[visit("embed:in", ids)])


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x times the transposed weight, plus the bias where there is one."""
    y = x @ weight.T
    return y if bias is None else y + bias


def visited_linear(visit: Visit, path: str, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear layer that is a part of its own (`unembed`, `fc`), with `in` and `out`."""
    return visit(f"{path}:out", linear(visit(f"{path}:in", x), weight, bias))


def layer_norm(visit: Visit, path: str, x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """(x − mean) / √(variance + ε), times weight, plus bias."""
    x = visit(f"{path}:in", x)
    centred = x - x.mean(-1, keepdim=True)
    scale = visit(f"{path}:scale", (centred.pow(2).mean(-1, keepdim=True) + norm.eps).sqrt())
    y = centred / scale
    y = y if norm.weight is None else y * norm.weight
    return visit(f"{path}:out", y if norm.bias is None else y + norm.bias)


def rms_norm(
    visit: Visit,
    path: str,
    x: Tensor,
    weight: Tensor,
    eps: float,
    *,
    mean_in: torch.dtype | None = None,
    all_in: torch.dtype | None = None,
) -> Tensor:
    """x / √(mean of squares + ε), times weight; `mean_in` and `all_in` are the dtypes a model insists on."""
    x = visit(f"{path}:in", x)
    wide = x.to(all_in or x.dtype)
    mean_square = wide.to(mean_in or wide.dtype).pow(2).mean(-1, keepdim=True) + eps
    scale = mean_square.sqrt()
    # In float32, x·rsqrt(m) and x/√m differ in the last bit, and models do the former. The second factor is exactly 1
    # until somebody edits the scale.
    normed = wide * mean_square.rsqrt() * (scale / visit(f"{path}:scale", scale))
    return visit(f"{path}:out", weight * normed.to(x.dtype))


def attend(
    visit: Visit,
    path: str,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    allowed: Tensor | None = None,
    bias: Tensor | float = 0.0,
) -> Tensor:
    """softmax(scale · q·k + bias) · v, from `batch pos head dim` to the same; `allowed` is True where q may see k.

    k and v may have fewer heads than q. A query that may see nothing gets a row of zeros, as in torch's own kernel.
    """
    q, k, v = visit(f"{path}:q", q), visit(f"{path}:k", k), visit(f"{path}:v", v)
    share = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(share, dim=2), v.repeat_interleave(share, dim=2)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * scale + bias
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    scores = visit(f"{path}:scores", scores)
    blind = (scores == -math.inf).all(-1, keepdim=True)
    pattern = torch.softmax(scores.masked_fill(blind, 0.0), dim=-1).masked_fill(blind, 0.0)
    pattern = visit(f"{path}:pattern", pattern)
    return visit(f"{path}:z", torch.einsum("bhqk,bkhd->bqhd", pattern, v))


def project_heads(visit: Visit, path: str, z: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The output projection head by head; `weight` is `dim (head head_dim)` as in a Linear."""
    by_head = weight.unflatten(1, z.shape[2:])
    result = visit(f"{path}:result", torch.einsum("bphd,ohd->bpho", z, by_head))
    out = result.sum(2)
    return visit(f"{path}:out", out if bias is None else out + bias)


def packed_attention(
    visit: Visit,
    path: str,
    query: Tensor,
    memory: Tensor,
    attention: nn.MultiheadAttention,
    allowed: Tensor | None = None,
) -> Tensor:
    """nn.MultiheadAttention(query, memory, memory): `in` is its first argument, so an edit there moves only q."""
    query = visit(f"{path}:in", query)
    sources = (query, memory, memory)
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    heads = (attention.num_heads, attention.head_dim)
    q, k, v = (linear(x, w, b).unflatten(-1, heads) for x, w, b in zip(sources, weights, biases, strict=True))
    z = attend(visit, path, q, k, v, scale=attention.head_dim**-0.5, allowed=allowed)
    return project_heads(visit, path, z, attention.out_proj.weight, attention.out_proj.bias)


def causal(queries: int, window: int | None = None) -> Tensor:
    """True where key ≤ query and, with a window, where key > query − window."""
    back = torch.arange(queries)[:, None] - torch.arange(queries)[None, :]
    return back >= 0 if window is None else (back >= 0) & (back < window)


def gelu(x: Tensor) -> Tensor:
    """x·Φ(x), exactly."""
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of gelu (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: Tensor) -> Tensor:
    """x·σ(x)."""
    return x * torch.sigmoid(x)


def relu(x: Tensor) -> Tensor:
    """x where positive, else 0; a new tensor, whatever the model does in place."""
    return x.clamp(min=0.0)


def activate(visit: Visit, path: str, pre: Tensor, nonlinearity: Callable[[Tensor], Tensor]) -> Tensor:
    """`pre` to `post`."""
    return visit(f"{path}:post", nonlinearity(visit(f"{path}:pre", pre)))
