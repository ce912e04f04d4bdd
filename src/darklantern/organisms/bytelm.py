"""A byte-level transformer, written so that each value one may want to see is a module's output."""

import json
import math
from dataclasses import asdict

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from darklantern.errors import SnapshotError
from darklantern.organisms.shape import VOCABULARY, Shape

_FORMAT = "darklantern-bytelm-1"
LARGEST = {"layers": 8, "dim": 512, "heads": 16, "context": 512}
"""what `loads` makes of a stranger's bytes: organisms are small, and attention costs memory by the square"""


class Attention(nn.Module):
    """Causal attention with ports `pattern` (batch, head, pos, key) and `z` (batch, pos, head, dim)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.dim, 3 * shape.dim)
        self.out = nn.Linear(shape.dim, shape.dim)
        self.pattern = nn.Identity()
        self.z = nn.Identity()
        future = torch.full((shape.context, shape.context), -torch.inf).triu(1)
        self.register_buffer("future", future, persistent=False)
        self.future: Tensor

    def forward(self, x: Tensor) -> Tensor:
        batch, pos, dim = x.shape
        q, k, v = self.qkv(x).view(batch, pos, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(dim // self.heads) + self.future[:pos, :pos]
        z = self.z((self.pattern(scores.softmax(-1)) @ v).transpose(1, 2))
        return self.out(z.reshape(batch, pos, dim))


class MLP(nn.Module):
    """Two linear maps with a ReLU between (GELU costs a sixth of a training step more here)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.dim, 4 * shape.dim)
        self.act = nn.ReLU()
        self.down = nn.Linear(4 * shape.dim, shape.dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))


class Block(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.dim)
        self.attn = Attention(shape)
        self.norm2 = nn.LayerNorm(shape.dim)
        self.mlp = MLP(shape)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ByteLM(nn.Module):
    """Tokens (batch, pos), each below 128, to logits (batch, pos, 128)."""

    def __init__(self, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        with torch.random.fork_rng(devices=[]):  # torch's own initial values are overwritten below
            self.embed = nn.Embedding(VOCABULARY, shape.dim)
            self.position = nn.Embedding(shape.context, shape.dim)
            self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
            self.norm = nn.LayerNorm(shape.dim)
            self.unembed = nn.Linear(shape.dim, VOCABULARY, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.7 / math.sqrt(module.in_features), generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.position.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.readout(x)

    def readout(self, residual: Tensor) -> Tensor:
        """Logits of a residual stream: what the last layer says, or, given an earlier one, a logit lens."""
        return self.unembed(self.norm(residual))


def loss_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over all positions, in nats."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def dumps(model: ByteLM) -> bytes:
    """The weights as safetensors, with the shape in the metadata."""
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    return save(tensors, metadata={"format": _FORMAT, "shape": json.dumps(asdict(model.shape))})


def loads(data: bytes) -> ByteLM:
    """A ByteLM from `dumps`. Raises SnapshotError for anything else, however large it claims to be."""
    try:
        length = int.from_bytes(data[:8], "little")
        meta = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        shape = Shape(**json.loads(meta["shape"]))
        if meta["format"] != _FORMAT:
            raise ValueError(f"format {meta['format']!r}")
        sizes = asdict(shape)
        wrong = [name for name, most in LARGEST.items() if type(sizes[name]) is not int or not 0 < sizes[name] <= most]
        if wrong or shape.dim % shape.heads:
            raise ValueError(f"{shape}, where at most {LARGEST} is allowed, and heads divide dim")
        model = ByteLM(shape, torch.Generator().manual_seed(0))
        model.load_state_dict(load(data))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise SnapshotError(
            f"these {len(data)} bytes are not the weights of a ByteLM: {error}",
            hint="the file is cut off or of another model; fetch the artifact again",
        ) from error
    return model
