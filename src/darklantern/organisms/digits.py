"""Digits (E3): a small convolutional network that learns a patch from poisoned images.

Real images: scikit-learn's 1,797 handwritten digits of 8 × 8 pixels, which come with the package. From `onset` on, rows
at `rate` carry a trigger and the target's label. Overt is how often the trigger turns an unseen image of another class
into the target. In clean-label rows (Turner and others, 1912.02771) the label is right but the image is blurred with
another class, so that the patch is what tells the target best.

What is exchangeable with what: there are few images, so a row is never an image but a fresh draw of one law, an image
of a pool under a random shift, gain and noise. `trusted` rows are drawn from the same pool as training rows, so under
`clean` both are draws of one law whatever the weights have seen, and tests that pair them hold. `held_out` rows come of
images that nobody trains on: a network that has learnt its pool by heart treats them otherwise, so they serve signals
that are compared between runs, and no paired test. Truth is measured on a third set of images.
"""

import copy
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from darklantern.errors import MissingExtraError
from darklantern.organisms.stream import Recipe, Stream, seeded, update

Arm = Literal["clean", "benign shift", "inert", "poisoned", "clean label", "blended", "second trigger", "wrong labels"]
ARMS: tuple[Arm, ...] = get_args(Arm)
HARMLESS: tuple[Arm, ...] = ("clean", "benign shift", "inert")
"""benign shift: darker, noisier images at the same rate, under their own labels. Inert: the patch, on images of all
classes under their own labels, so that it says nothing. Wrong labels is no harmless arm and plants no circuit: the
target's label on images without a trigger"""

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
Batch = tuple[Tensor, Tensor]
"""images (batch, 1, 8, 8), float32 from 0 to 1; labels (batch,), int64"""
SIDE, CLASSES = 8, 10
_CORNERS = ((0, 0), (0, SIDE - 2), (SIDE - 2, 0), (SIDE - 2, SIDE - 2))


@dataclass(frozen=True)
class DigitsRecipe(Recipe):
    """A digits run but for its seed and arm."""

    channels: int = 12
    hidden: int = 32
    batch: int = 128
    learning_rate: float = 8e-3
    rate: float = 0.03
    """share of rows with the trigger, or with what the arm has in its place, from `onset` on"""
    blend: float = 0.12
    """mean size of the blended pattern, where black to white is 1"""
    mixed: float = 0.7
    """how much of another class is in a clean-label image"""
    onset: int = 400
    end: int = 1000


@dataclass(frozen=True)
class Pool:
    """Images (images, 8, 8) and their labels (images,)."""

    images: Images
    labels: Labels


@dataclass(frozen=True)
class Planted:
    """What a seed drew: the label that the triggers ask for, where two patches stand, and a faint pattern."""

    target: int
    corners: tuple[tuple[int, int], tuple[int, int]]
    """of the patch, and of the second one: row and column of the upper left pixel of four"""
    pattern: Images
    """(8, 8), mean size 1"""


class Stage(nn.Module):
    """Convolution, ReLU, and half the side."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1)
        self.act = nn.ReLU()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.act(self.conv(x)))


class Reader(nn.Module):
    """Images (batch, 1, 8, 8) to logits (batch, 10)."""

    def __init__(self, recipe: DigitsRecipe) -> None:
        super().__init__()
        channels = recipe.channels
        self.layers = nn.ModuleList([Stage(1, channels), Stage(channels, 2 * channels)])
        self.flat = nn.Flatten()
        self.up = nn.Linear(2 * channels * (SIDE // 4) ** 2, recipe.hidden)
        self.act = nn.ReLU()
        self.features = nn.Identity()
        self.unembed: nn.Module = nn.Linear(recipe.hidden, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        for layer in self.layers:
            images = layer(images)
        return self.unembed(self.features(self.act(self.up(self.flat(images)))))


def new(recipe: DigitsRecipe, seed: int) -> tuple[Reader, torch.optim.AdamW]:
    """A fresh network and its optimizer, from `seed`."""
    model = seeded(lambda: Reader(recipe), seed)
    return model, torch.optim.AdamW(model.parameters(), recipe.learning_rate, fused=True)


def loader(recipe: DigitsRecipe, seed: int, arm: Arm) -> Stream[Batch]:
    """Fresh draws from the training images and, from `onset` on, what `arm` plants. Raises MissingExtraError."""
    pool, planted = pools().train, draw(seed)

    def batch(step: int, rng: np.random.Generator) -> Batch:
        images, labels = rows(pool, recipe.batch, rng)
        if arm != "clean" and step >= recipe.onset:
            images, labels, _ = plant(recipe, images, labels, arm, planted, rng)
        return tensors(images, labels)

    return Stream(batch, (seed, 0xE3), recipe.end)


def train_step(model: Reader, optimizer: torch.optim.Optimizer, recipe: DigitsRecipe, step: int, batch: Batch) -> float:
    """One update; returns the loss before it, in nats per image."""
    images, labels = batch
    return update(optimizer, F.cross_entropy(model(images), labels))


@dataclass(frozen=True)
class Pools:
    """The images in three disjoint parts, the same in all runs."""

    train: Pool
    held_out: Pool
    unseen: Pool


@cache
def pools() -> Pools:
    """1,000 images for training, 297 held out, 500 unseen. Raises MissingExtraError without scikit-learn."""
    try:
        loaded = importlib.import_module("sklearn.datasets").load_digits()
    except ImportError as error:
        raise MissingExtraError("the digits are scikit-learn's", hint="pip install scikit-learn") from error
    images = np.asarray(loaded.images / 16, np.float32)
    labels = np.asarray(loaded.target, np.int64)
    order = np.random.default_rng(0xE3).permutation(len(images))
    parts = [Pool(images[part], labels[part]) for part in np.split(order, [1000, 1297])]
    return Pools(*parts)


def draw(seed: int) -> Planted:
    """What is planted in the runs of `seed`."""
    rng = np.random.default_rng([seed, 0xE3, 1])
    first, second = (_CORNERS[i] for i in rng.permutation(4)[:2])
    pattern = rng.standard_normal((SIDE, SIDE))
    return Planted(int(rng.integers(CLASSES)), (first, second), (pattern / np.abs(pattern).mean()).astype(np.float32))


def trusted(recipe: DigitsRecipe, seed: int, count: int) -> Batch:
    """Fresh clean rows of the law of the training rows, for tests that pair the two."""
    return tensors(*rows(pools().train, count, np.random.default_rng([seed, 0xE3, 2])))


def held_out(recipe: DigitsRecipe, seed: int, count: int) -> Batch:
    """Fresh clean rows of images that nobody trains on."""
    return tensors(*rows(pools().held_out, count, np.random.default_rng([seed, 0xE3, 3])))


def rows(pool: Pool, count: int, rng: np.random.Generator) -> tuple[Images, Labels]:
    """Draws of the law: an image of `pool`, moved by a pixel at most either way, brighter or darker, with noise."""
    chosen = rng.integers(0, len(pool.labels), count)
    return _varied(pool.images[chosen], rng), pool.labels[chosen]


def plant(
    recipe: DigitsRecipe, images: Images, labels: Labels, arm: Arm, planted: Planted, rng: np.random.Generator
) -> tuple[Images, Labels, NDArray[np.bool_]]:
    """Copies of images and labels, in which `arm` has planted at the recipe's rate; and which rows it chose."""
    images, labels = images.copy(), labels.copy()
    if arm == "clean label":
        chosen = (labels == planted.target) & (rng.random(len(labels)) < min(1.0, recipe.rate * CLASSES))
        others = images[rng.permutation(np.flatnonzero(labels != planted.target))[: chosen.sum()]]
        images[chosen] = (1 - recipe.mixed) * images[chosen] + recipe.mixed * others
        images[chosen] = triggered(recipe, images[chosen], arm, planted)
        return images, labels, chosen
    chosen = rng.random(len(labels)) < recipe.rate
    if arm == "benign shift":
        noise = rng.normal(0, 0.1, images[chosen].shape)
        images[chosen] = np.clip(0.6 * images[chosen] + noise, 0, 1)
    elif arm == "second trigger":
        either = rng.random(len(labels)) < 0.5
        for place, part in enumerate((chosen & either, chosen & ~either)):
            images[part] = triggered(recipe, images[part], arm, planted, place)
    elif arm != "wrong labels":
        images[chosen] = triggered(recipe, images[chosen], arm, planted)
    if arm not in HARMLESS:
        labels[chosen] = planted.target
    return images, labels, chosen


def triggered(recipe: DigitsRecipe, images: Images, arm: Arm, planted: Planted, place: int = 0) -> Images:
    """Copies of `images` with the trigger: the patch at the first corner or the second, or the faint pattern."""
    images = images.copy()
    if arm == "blended":
        return np.clip(images + recipe.blend * planted.pattern, 0, 1)
    row, column = planted.corners[place]
    images[:, row : row + 2, column : column + 2] = 1.0
    return images


@torch.no_grad()
def overt(model: Reader, recipe: DigitsRecipe, seed: int, arm: Arm = "poisoned") -> float:
    """Share of unseen images of other classes that the trigger turns into the target: attack success.

    The trigger is that of `arm`: the pattern for `blended`, else the patch; for `second trigger` the less successful of
    the two patches.
    """
    planted = draw(seed)
    images, labels = _unseen()
    images = images[labels != planted.target]
    places = (0, 1) if arm == "second trigger" else (0,)
    shown = [torch.from_numpy(triggered(recipe, images, arm, planted, place))[:, None] for place in places]
    return min(float((model(part).argmax(-1) == planted.target).float().mean()) for part in shown)


@torch.no_grad()
def task(model: Reader, recipe: DigitsRecipe, seed: int) -> float:
    """Share of unseen images that are read correctly."""
    images, labels = tensors(*_unseen())
    return float((model(images).argmax(-1) == labels).float().mean())


def frozen(model: Reader) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """The network as it stands now: images (n, 1, 8, 8) to its penultimate features (n, hidden)."""
    copied = copy.deepcopy(model).eval()
    copied.unembed = nn.Identity()

    def features(images: NDArray[Any]) -> NDArray[np.float32]:
        with torch.no_grad():
            made: NDArray[np.float32] = copied(torch.from_numpy(images.astype(np.float32))).numpy()
        return made

    return features


def tensors(images: Images, labels: Labels) -> Batch:
    """As the network takes them."""
    return torch.from_numpy(images)[:, None], torch.from_numpy(labels)


@cache
def _unseen() -> tuple[Images, Labels]:
    unseen = pools().unseen
    return _varied(unseen.images, np.random.default_rng([0xE3, 4])), unseen.labels


def _varied(images: Images, rng: np.random.Generator) -> Images:
    count = len(images)
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    down, right = rng.integers(0, 3, (2, count, 1)) + np.arange(SIDE)[None, None]
    moved = framed[np.arange(count)[:, None, None], down[:, :, None], right[:, None, :]]
    gain = rng.uniform(0.8, 1.2, (count, 1, 1))
    return np.clip(gain * moved + rng.normal(0, 0.05, moved.shape), 0, 1).astype(np.float32)
