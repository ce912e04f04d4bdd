"""What both sides of a comparison are run on: made once, written as NumPy arrays, read in every environment.

Only NumPy here: transformers differ between the environments, so weights travel as numbers.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.float32]]
LAYERS, DIM, HEADS, HIDDEN, VOCABULARY, CONTEXT = 4, 64, 4, 256, 128, 256
FIRST = 1
"""the token that every prompt begins with"""
FEATURES = 512
"""of each layer's transcoder"""
LOGITS = 5
"""of the last position, that graphs end in"""
ACTIVE = {24: 0.045, 96: 0.015, 256: 0.006}
"""prompt's tokens → share of features that are active at a position: about a thousand active features in all"""


def transformer(seed: int = 0) -> Arrays:
    """A GPT-2-like transformer: pre-norm, LayerNorm, GELU (tanh), learnt positions that are all 0.

    Positions are 0 because circuit-tracer's embedding nodes hold tokens alone. All of x @ weight + bias.
    """
    rng = np.random.default_rng([seed, 1])
    shapes = {"embed": (VOCABULARY, DIM), "position": (CONTEXT, DIM), "unembed": (DIM, VOCABULARY)}
    shapes |= {f"{norm}.{part}": (DIM,) for norm in ("norm", *_norms()) for part in ("weight", "bias")}
    for layer in range(LAYERS):
        for part, (into, out) in _MATRICES.items():
            shapes |= {f"layers.{layer}.{part}.weight": (into, out), f"layers.{layer}.{part}.bias": (out,)}
    made = {name: _drawn(name, shape, rng) for name, shape in sorted(shapes.items())}
    return made | {"position": np.zeros((CONTEXT, DIM), np.float32)}


def transcoders(inputs: Arrays, tokens: int, seed: int = 0) -> Arrays:
    """One for each layer: ReLU features that are active at `ACTIVE` of places, given what each MLP is given.

    `inputs` are those, (pos, dim) by layer.
    """
    rng = np.random.default_rng([seed, 2, tokens])
    made: Arrays = {}
    for layer in range(LAYERS):
        encoder = rng.standard_normal((FEATURES, DIM)) / np.sqrt(DIM)
        before = inputs[f"layers.{layer}"] @ encoder.T
        made |= {
            f"layers.{layer}.encoder": encoder.astype(np.float32),
            f"layers.{layer}.encoder_bias": -np.quantile(before, 1 - ACTIVE[tokens], axis=0).astype(np.float32),
            f"layers.{layer}.decoder": (rng.standard_normal((FEATURES, DIM)) / np.sqrt(DIM)).astype(np.float32),
            f"layers.{layer}.decoder_bias": (0.1 * rng.standard_normal(DIM)).astype(np.float32),
        }
    return made


def prompt(tokens: int, seed: int = 0) -> NDArray[np.int64]:
    """Token ids (tokens,), `FIRST` before all others."""
    return np.append(FIRST, np.random.default_rng([seed, 3, tokens]).integers(2, VOCABULARY, tokens - 1))


EXAMPLES, WIDTHS, CLASS = 64, (256, 512, 512, 10), 3


def vectors(seed: int = 0) -> NDArray[np.float32]:
    """What the perceptron is given, (example, feature)."""
    return np.random.default_rng([seed, 4]).standard_normal((EXAMPLES, WIDTHS[0])).astype(np.float32)


def perceptron(torch: Any, seed: int = 0) -> Any:
    """Two hidden layers of GELU, as a torch module. `torch` is the one of the environment that asks."""
    rng = np.random.default_rng([seed, 5])
    parts: list[Any] = []
    for into, out in pairwise(WIDTHS):
        linear = torch.nn.Linear(into, out)
        linear.weight.data = torch.from_numpy((2 * rng.standard_normal((out, into)) / np.sqrt(into)).astype(np.float32))
        linear.bias.data = torch.from_numpy((0.1 * rng.standard_normal(out)).astype(np.float32))
        parts += [linear, torch.nn.GELU()]
    return torch.nn.Sequential(*parts[:-1]).eval()


def write(path: Path, arrays: dict[str, NDArray[np.float32]]) -> None:
    """As one file that every environment reads."""
    np.savez(path, **arrays)


def read(path: Path) -> Arrays:
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


_MATRICES = {
    "attn.q": (DIM, DIM),
    "attn.k": (DIM, DIM),
    "attn.v": (DIM, DIM),
    "attn.o": (DIM, DIM),
    "mlp.up": (DIM, HIDDEN),
    "mlp.down": (HIDDEN, DIM),
}


def _norms() -> list[str]:
    return [f"layers.{layer}.norm{number}" for layer in range(LAYERS) for number in (1, 2)]


def _drawn(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape)
    if len(shape) == 1:
        return (0.1 * noise + (1 if "norm" in name and name.endswith("weight") else 0)).astype(np.float32)
    return (noise / np.sqrt(shape[0] if name != "embed" else 1)).astype(np.float32)
