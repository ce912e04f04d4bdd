"""Our own convolutional network, with what catches a recorder out: ReLU and sums in place, modules called twice.

All paths are the model's own words. BatchNorm's `scale` is no site here: what it divides by has no axis `dim`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .parts import Inputs, Visit, activate, randomise, relu
from .parts import visited_linear as classifier

NATIVE: tuple[tuple[str, str], ...] = ()
CHANNELS = 6


class ResidualBlock(nn.Module):
    """conv, norm, ReLU, conv, norm, plus the input, ReLU: one ReLU module for both."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(CHANNELS), nn.BatchNorm2d(CHANNELS)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x
        return self.relu(y)


class ConvNet(nn.Module):
    """Images of 3 × 8 × 8 to 5 logits; `mix` is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.bn, self.relu = nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True)
        self.block = ResidualBlock()
        self.mix = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(4 * CHANNELS, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.block(self.relu(self.bn(self.conv(images))))
        x = self.mix(torch.tanh(self.mix(x)))
        return self.fc(self.pool(x).flatten(1))


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Six channels; the norms use their running statistics."""
    return randomise(ConvNet(), dtype, seed)


def inputs(seed: int = 0) -> Tensor:
    """Images, `batch channel height width`, in float64."""
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def forward(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The logits, `batch class`."""
    assert isinstance(inputs, Tensor)
    x = _conv(visit, "conv", inputs, model.conv)
    x = _relu(visit, "relu", _batch_norm(visit, "bn", x, model.bn))
    x = _block(visit, "block", x, model.block)
    x = torch.tanh(_conv(visit, "mix#0", x, model.mix))
    x = _conv(visit, "mix#1", x, model.mix)
    x = visit("pool:in", x)
    x = visit("pool:out", x.unflatten(3, (2, 4)).unflatten(2, (2, 4)).mean((3, 5)))
    return classifier(visit, "fc", x.flatten(1), model.fc.weight, model.fc.bias)


def _block(visit: Visit, path: str, x: Tensor, block: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    y = _batch_norm(visit, f"{path}.bn1", _conv(visit, f"{path}.conv1", x, block.conv1), block.bn1)
    y = _relu(visit, f"{path}.relu#0", y)
    y = _batch_norm(visit, f"{path}.bn2", _conv(visit, f"{path}.conv2", y, block.conv2), block.bn2)
    return visit(f"{path}:out", _relu(visit, f"{path}.relu#1", y + x))


def _conv(visit: Visit, path: str, x: Tensor, conv: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    return visit(f"{path}:out", F.conv2d(x, conv.weight, conv.bias, padding=conv.padding))


def _batch_norm(visit: Visit, path: str, x: Tensor, norm: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    mean, variance, weight, bias = (
        t[:, None, None] for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return visit(f"{path}:out", (x - mean) / (variance + norm.eps).sqrt() * weight + bias)


def _relu(visit: Visit, path: str, x: Tensor) -> Tensor:
    x = visit(f"{path}:in", x)
    return visit(f"{path}:out", activate(visit, path, x, relu))
