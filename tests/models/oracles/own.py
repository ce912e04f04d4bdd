"""Our own decoder, named and nested as no library does it.

Packed q, k, v into the functional attention with a scale of its own; blocks in a dict of lists; a block called twice;
an MLP that takes keyword arguments only; a port declared by an nn.Identity (`delta`). Paths are the model's own, for
blocks in a dict are not one stack; only `embed`, `norm` and `unembed` are canonical, and native too.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .parts import (
    Inputs,
    Visit,
    activate,
    attend,
    causal,
    embed,
    layer_norm,
    linear,
    project_heads,
    randomise,
    rms_norm,
    silu,
)
from .parts import visited_linear as unembedding

NATIVE: tuple[tuple[str, str], ...] = ()
DIM, HEADS, SCALE = 32, 4, 0.3


class Attention(nn.Module):
    """One Linear for q, k and v; a scale that is not 1/√dim."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        batch, pos, _ = x.shape
        q, k, v = self.qkv(x).view(batch, pos, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=SCALE)
        return self.proj(z.transpose(1, 2).reshape(batch, pos, DIM))


class Mlp(nn.Module):
    """Gated, its argument by keyword only."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(DIM, 48), nn.Linear(DIM, 48)
        self.act, self.down = nn.SiLU(), nn.Linear(48, DIM)

    def forward(self, *, hidden: Tensor, gain: float) -> Tensor:
        return gain * self.down(self.act(self.gate(hidden)) * self.up(hidden))


class Block(nn.Module):
    """Attention, then MLP; a LayerNorm before one, an RMSNorm before the other."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.RMSNorm(DIM, eps=1e-5)
        self.attn, self.mlp, self.delta = Attention(), Mlp(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.delta(0.7 * self.mlp(hidden=self.norm2(x), gain=1.5))


class Decoder(nn.Module):
    """Two early blocks, a tied one, a late block, the tied one again."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(41, DIM)
        self.positions = nn.Parameter(torch.zeros(1, 16, DIM))
        self.stacks = nn.ModuleDict({"early": nn.ModuleList((Block(), Block())), "late": nn.ModuleList((Block(),))})
        self.shared = Block()
        self.norm = nn.LayerNorm(DIM, bias=False)
        self.unembed = nn.Linear(DIM, 41, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.positions[:, : ids.shape[1]]
        for stack in self.stacks.values():
            for block in stack:
                x = block(x)
            x = self.shared(x)
        return self.unembed(self.norm(x))


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Dim 32, 4 heads."""
    return randomise(Decoder(), dtype, seed)


def inputs(seed: int = 0) -> Tensor:
    """Token ids, `batch pos`."""
    return torch.randint(0, 41, (2, 6), generator=torch.Generator().manual_seed(seed))


def forward(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The logits, `batch pos vocabulary`."""
    assert isinstance(inputs, Tensor)
    x = embed(visit, inputs, model.embed.weight) + model.positions[:, : inputs.shape[1]]
    early, late = model.stacks["early"], model.stacks["late"]
    x = _block(visit, "stacks.early.0", "", x, early[0])
    x = _block(visit, "stacks.early.1", "", x, early[1])
    x = _block(visit, "shared", "#0", x, model.shared)
    x = _block(visit, "stacks.late.0", "", x, late[0])
    x = _block(visit, "shared", "#1", x, model.shared)
    x = layer_norm(visit, "norm", x, model.norm)
    return unembedding(visit, "unembed", x, model.unembed.weight)


def _block(visit: Visit, path: str, call: str, x: Tensor, block: nn.Module) -> Tensor:
    """A block at `path`; `call` is `#n` where it runs several times, and then its parts do too."""
    x = visit(f"{path}{call}:in", x)
    y = layer_norm(visit, f"{path}.norm1{call}", x, block.norm1)
    x = visit(f"{path}{call}:resid_mid", x + _attention(visit, f"{path}.attn{call}", y, block.attn))
    y = rms_norm(visit, f"{path}.norm2{call}", x, block.norm2.weight, block.norm2.eps)
    y = visit(f"{path}{call}:delta", 0.7 * _mlp(visit, f"{path}.mlp{call}", y, block.mlp))
    return visit(f"{path}{call}:out", x + y)


def _attention(visit: Visit, path: str, x: Tensor, attention: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    qkv = linear(x, attention.qkv.weight, attention.qkv.bias).unflatten(-1, (3, HEADS, DIM // HEADS))
    z = attend(visit, path, *qkv.unbind(2), scale=SCALE, allowed=causal(x.shape[1]))
    return project_heads(visit, path, z, attention.proj.weight, attention.proj.bias)


def _mlp(visit: Visit, path: str, x: Tensor, mlp: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    post = activate(visit, path, linear(x, mlp.gate.weight, mlp.gate.bias), silu)
    neurons = visit(f"{path}:neurons", post * linear(x, mlp.up.weight, mlp.up.bias))
    return visit(f"{path}:out", 1.5 * linear(neurons, mlp.down.weight, mlp.down.bias))
