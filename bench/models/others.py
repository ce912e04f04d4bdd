"""Models that no library has a class for: a CNN, a ViT-style encoder, `nn.MultiheadAttention`. 12 blocks each."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.names import SEED

BLOCKS, WIDTH, HEADS, CLASSES = 12, 128, 4, 64


class Output(NamedTuple):
    """What they return, in the word of the other models."""

    logits: Tensor


class Cnn(nn.Module):
    """Residual blocks of convolutions on 16 × 16 images."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = (nn.Conv2d(32, 32, 3, padding=1, bias=False) for _ in range(2))
            self.norm1, self.norm2 = nn.BatchNorm2d(32), nn.BatchNorm2d(32)
            self.act = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.act(x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x))))))

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.blocks = nn.ModuleList(Cnn.Block() for _ in range(BLOCKS))
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Output:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return Output(self.head(x.mean((2, 3))))


class Attending(nn.Module):
    """Pre-norm attention by `nn.MultiheadAttention`, with an MLP (ViT) or without."""

    def __init__(self, mlp: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm2 = nn.LayerNorm(WIDTH) if mlp else None
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)) if mlp else None

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False)[0]
        return x if self.mlp is None else x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    """Patches of an image (ViT), or vectors as they are, through attending blocks."""

    def __init__(self, patches: bool) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, WIDTH, 4, stride=4) if patches else nn.Identity()
        self.blocks = nn.ModuleList(Attending(mlp=patches) for _ in range(BLOCKS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Output:
        x = self.embed(x)
        x = x.flatten(2).mT if x.ndim == 4 else x
        for block in self.blocks:
            x = block(x)
        return Output(self.head(self.norm(x).mean(1)))


def build(name: str) -> nn.Module:
    """One of them, its weights from the bench's seed."""
    torch.manual_seed(SEED)
    made = {"cnn": Cnn, "vit": lambda: Encoder(True), "mha": lambda: Encoder(False)}[name]()
    return made.eval()


def inputs(name: str) -> Tensor:
    """Eight images, 3 × 16 × 16 (the ViT sees 4 × 4 patches of 24 × 24 ones), or eight rows of 32 vectors."""
    shapes = {"cnn": (8, 3, 16, 16), "vit": (8, 3, 24, 24), "mha": (8, 32, WIDTH)}
    return torch.randn(shapes[name], generator=torch.Generator().manual_seed(SEED))
