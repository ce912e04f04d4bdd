"""Our own vision transformer: patches by convolution, a class token, pre-norm blocks on nn.MultiheadAttention, no mask.

The attention is called as attention(x, x, x), and a port `in` is the first argument alone: an edit there moves q only.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .parts import Inputs, Visit, activate, gelu, layer_norm, linear, packed_attention, randomise
from .parts import visited_linear as unembedding

NATIVE = (("layers", "blocks"), ("unembed", "head"))
SIDE, PATCH, DIM, HEADS = 8, 4, 32, 4


class Mlp(nn.Module):
    """fc1, the activation a module, fc2."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(DIM, 2 * DIM), nn.GELU(), nn.Linear(2 * DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Attention, then MLP, each behind its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.mlp = nn.LayerNorm(DIM), nn.LayerNorm(DIM), Mlp()
        self.attn = nn.MultiheadAttention(DIM, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Images of 3 × 8 × 8 to 5 logits, read off the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, DIM, PATCH, stride=PATCH)
        self.cls = nn.Parameter(torch.zeros(1, 1, DIM))
        self.positions = nn.Parameter(torch.zeros(1, 1 + (SIDE // PATCH) ** 2, DIM))
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, 5)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.embed(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls.expand(len(images), -1, -1), patches), dim=1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Two blocks, dim 32, 4 heads, 4 patches and the class token."""
    return randomise(VisionTransformer(), dtype, seed)


def inputs(seed: int = 0) -> Tensor:
    """Images, `batch channel height width`, in float64."""
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def forward(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The logits, `batch class`."""
    assert isinstance(inputs, Tensor)
    images = visit("embed:in", inputs)
    grid = visit("embed:out", F.conv2d(images, model.embed.weight, model.embed.bias, stride=PATCH))
    patches = grid.flatten(2).transpose(1, 2)
    x = torch.cat((model.cls.expand(len(images), -1, -1), patches), dim=1) + model.positions
    for number, block in enumerate(model.blocks):
        x = _block(visit, f"layers.{number}", x, block)
    x = layer_norm(visit, "norm", x, model.norm)
    return unembedding(visit, "unembed", x[:, 0], model.head.weight, model.head.bias)


def _block(visit: Visit, path: str, x: Tensor, block: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    y = layer_norm(visit, f"{path}.norm1", x, block.norm1)
    x = visit(f"{path}:resid_mid", x + packed_attention(visit, f"{path}.attn", y, y, block.attn))
    y = visit(f"{path}.mlp:in", layer_norm(visit, f"{path}.norm2", x, block.norm2))
    post = activate(visit, f"{path}.mlp", linear(y, block.mlp.fc1.weight, block.mlp.fc1.bias), gelu)
    neurons = visit(f"{path}.mlp:neurons", post)
    y = visit(f"{path}.mlp:out", linear(neurons, block.mlp.fc2.weight, block.mlp.fc2.bias))
    return visit(f"{path}:out", x + y)
