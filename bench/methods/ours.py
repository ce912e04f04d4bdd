"""The product's own worker."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from models.protocol import Request, Timed, serve

import darklantern as dl
from darklantern.methods.graphs import Transcoder, attribution_graph
from darklantern.methods.graphs.nodes import FEATURE
from methods import ours_edges, ours_fitting, ours_lens, subjects
from methods.gpt2 import gpt2
from methods.measuring import peaked


def prepare(folder: Path) -> None:
    """Write what every worker reads: weights, transcoders that fit the MLPs, tokens whose logits are asked."""
    weights = subjects.transformer()
    subjects.write(folder / "transformer.npz", weights)
    model = dl.open(gpt2(weights))
    for tokens in subjects.ACTIVE:
        with torch.no_grad():
            found = model.record(torch.from_numpy(subjects.prompt(tokens))[None], "layers.*.mlp:in")
        given = {
            f"layers.{layer}": found[f"layers.{layer}.mlp:in"].array[0].numpy() for layer in range(subjects.LAYERS)
        }
        subjects.write(folder / f"{tokens}.npz", subjects.transcoders(given, tokens))
        logits = found.output.logits[0, -1]
        np.save(folder / f"targets-{tokens}.npy", logits.topk(subjects.LOGITS).indices.numpy())


def graph(request: Request) -> Timed:
    """The whole graph of one prompt, in closed form."""
    tokens = int(request.model)
    model = dl.open(gpt2(subjects.read(request.out / "transformer.npz")))
    held = subjects.read(request.out / f"{tokens}.npz")
    names = {"W_enc": "encoder", "b_enc": "encoder_bias", "W_dec": "decoder", "b_dec": "decoder_bias"}
    transcoders = [
        Transcoder(**{own: held[f"layers.{layer}.{name}"] for own, name in names.items()})
        for layer in range(subjects.LAYERS)
    ]
    ids = torch.from_numpy(subjects.prompt(tokens))[None]
    targets = [int(each) for each in np.load(request.out / f"targets-{tokens}.npy")]

    def run() -> Any:
        return attribution_graph(model, ids, transcoders, targets)

    def detail() -> dict[str, Any]:
        found, high = peaked(run)
        nodes = np.stack([getattr(found.nodes, part) for part in ("kind", "layer", "position", "index")], axis=1)
        np.savez(request.out / f"darklantern-graph-{tokens}.npz", adjacency=found.array, nodes=nodes)
        return {"peak_bytes": high, "features": int((nodes[:, 0] == FEATURE).sum()), "how": found.how, "gap": found.gap}

    return Timed(lambda: None, run, detail)


def integrated(request: Request) -> Timed:
    """One point of the path at a time, whatever the number of points."""
    steps = int(request.model)
    model, inputs = dl.open(subjects.perceptron(torch)), torch.from_numpy(subjects.vectors())

    def run() -> Any:
        return dl.attribute(
            model, inputs, None, "0:in[dim=*]", lambda out: out[:, subjects.CLASS].mean(), "ig", steps=steps,
            per_example=True,
        )  # fmt: skip

    def detail() -> dict[str, Any]:
        found, high = peaked(run)
        np.savez(request.out / f"darklantern-ig-{steps}.npz", found=found.array[0])
        return {"peak_bytes": high, "completeness": found.incomplete}

    return Timed(lambda: None, run, detail)


def ready(request: Request) -> dict[str, Any]:
    """Makes what everybody is given."""
    prepare(request.out)
    return {}


if __name__ == "__main__":
    cases = {"prepare": ready, "graph": graph, "integrated": integrated}
    serve("darklantern", "darklantern", cases | ours_fitting.CASES | ours_edges.CASES | ours_lens.CASES)
