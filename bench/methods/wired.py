"""Models whose circuit is known, and one that was trained: weights, pairs and metric, made once as arrays.

In: the compiled programs and the trained circuit of the tests. Out: a file a model, which both sides read.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from models.peers import ROOT
from numpy.typing import NDArray

sys.path += [str(ROOT / "tests" / room) for room in ("methods", "models")]

import siit_model
import tracr_models

import darklantern as dl
from methods import copying, subjects
from methods.gpt2 import gpt2
from methods.hooked import SEEDS

Arrays = dict[str, NDArray[Any]]
Edge = tuple[str, str]
TRUE: dict[str, list[Edge]] = {
    "tracr reverse": [("embed", "layers.3.attn:v[head=0]"), ("layers.3.attn:result[head=0]", "logits")],
    "tracr xproportion": siit_model.TRUE,
    "siit": siit_model.TRUE,
    "trained gpt2": [],
}
TRACR = {"tracr reverse": ("reverse", "abcd"), "tracr xproportion": ("xproportion", "wxyz")}
PAIRS = {"tracr": 16, "siit": 256}


class Shape(NamedTuple):
    layers: int
    heads: int
    causal: bool


def write(name: str, folder: Path) -> None:
    """Weights, tokens and the metric's direction of one model; the metric is Σ output · toward."""
    made = _gpt2(folder) if name == "trained gpt2" else _compiled(name)
    np.savez(folder / f"{name}.npz", **made)


def opened(name: str, arrays: Arrays) -> Any:
    """The model of a file, in float64, opened."""
    if name == "trained gpt2":
        return dl.open(gpt2({path: value for path, value in arrays.items() if _weight(path)}).double())
    held: tracr_models.Params = {}
    for path, value in arrays.items():
        if _weight(path):
            held.setdefault(path.rpartition("/")[0], {})[path.rpartition("/")[2]] = value
    return dl.open(tracr_models.Compiled(held, arrays["read"], *Shape(**json.loads(str(arrays["shape"])))))


def _weight(path: str) -> bool:
    return path not in ("clean", "corrupt", "toward", "shape", "read")


def _compiled(name: str) -> Arrays:
    """One of Tracr's programs, or the model trained to have a circuit: both in Tracr's layout."""
    if name == "siit":
        held, read = siit_model.trained()
        shape = Shape(siit_model.LAYERS, siit_model.HEADS, True)
        clean, corrupt = (siit_model.tokens(PAIRS["siit"], seed) for seed in SEEDS[name])
    else:
        program, letters = TRACR[name]
        made = getattr(tracr_models, program)()
        held, read = tracr_models.params(made), tracr_models.read(made)
        config = made.model_config
        shape = Shape(config.num_layers, config.num_heads, config.causal)
        clean, corrupt = (_texts(made, letters, seed) for seed in SEEDS[name])
    arrays = {f"{path}/{part}": value for path, own in held.items() for part, value in own.items()}
    arrays |= {"read": read, "clean": clean, "corrupt": corrupt, "shape": np.array(json.dumps(shape._asdict()))}
    model = opened(name, arrays)
    there, other = (model.run(torch.from_numpy(each)).numpy() for each in (clean, corrupt))
    apart = there - other
    if name in TRACR:
        apart[:, 0] = 0  # what a program says of BOS means nothing
    return arrays | {"toward": apart / (apart**2).sum()}


def _texts(made: Any, letters: str, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    texts = [["BOS", *rng.choice(list(letters), 5)] for _ in range(PAIRS["tracr"])]
    return np.array([made.input_encoder.encode(text) for text in texts])


def _gpt2(folder: Path) -> Arrays:
    """How much likelier the clean answer is than the corrupt one, in logits: the mean of all pairs."""
    clean, corrupt, answer, other = copying.contrast(SEEDS["trained gpt2"][0])
    toward = np.zeros((*clean.shape, subjects.VOCABULARY))
    rows = np.arange(len(clean))
    toward[rows, -1, answer] += 1 / len(clean)
    toward[rows, -1, other] -= 1 / len(clean)
    shape = Shape(subjects.LAYERS, subjects.HEADS, True)
    return {**subjects.read(folder / "trained.npz"), "clean": clean, "corrupt": corrupt, "toward": toward,
            "shape": np.array(json.dumps(shape._asdict()))}  # fmt: skip
