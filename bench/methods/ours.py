"""The product's own worker."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from models.protocol import Request, Timed, serve
from transformers import GPT2Config, GPT2LMHeadModel

import darklantern as dl
from darklantern.methods.graphs import Transcoder, attribution_graph
from darklantern.methods.graphs.nodes import FEATURE
from methods import ours_fitting, subjects
from methods.measuring import peaked


def gpt2(weights: subjects.Arrays) -> GPT2LMHeadModel:
    """The transformer of `subjects` as transformers has it."""
    config = GPT2Config(
        n_layer=subjects.LAYERS, n_embd=subjects.DIM, n_head=subjects.HEADS, n_inner=subjects.HIDDEN,
        vocab_size=subjects.VOCABULARY, n_positions=subjects.CONTEXT, tie_word_embeddings=False,
        bos_token_id=subjects.FIRST, eos_token_id=subjects.FIRST,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    named = model.state_dict()
    for name, value in _mapped(weights).items():
        named[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return model


def _mapped(weights: subjects.Arrays) -> dict[str, Any]:
    made = {
        "transformer.wte.weight": weights["embed"], "transformer.wpe.weight": weights["position"],
        "transformer.ln_f.weight": weights["norm.weight"], "transformer.ln_f.bias": weights["norm.bias"],
        "lm_head.weight": weights["unembed"].T,
    }  # fmt: skip
    for layer in range(subjects.LAYERS):
        own, block = f"layers.{layer}", f"transformer.h.{layer}"
        for part, axis in (("weight", 1), ("bias", 0)):
            made[f"{block}.attn.c_attn.{part}"] = np.concatenate(
                [weights[f"{own}.attn.{each}.{part}"] for each in "qkv"], axis
            )
            made[f"{block}.attn.c_proj.{part}"] = weights[f"{own}.attn.o.{part}"]
            made[f"{block}.mlp.c_fc.{part}"] = weights[f"{own}.mlp.up.{part}"]
            made[f"{block}.mlp.c_proj.{part}"] = weights[f"{own}.mlp.down.{part}"]
            for number in (1, 2):
                made[f"{block}.ln_{number}.{part}"] = weights[f"{own}.norm{number}.{part}"]
    return made


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
        np.savez(request.out / f"darklantern-{tokens}.npz", adjacency=found.array, nodes=nodes)
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
        np.savez(request.out / f"darklantern-{steps}.npz", found=found.array[0])
        return {"peak_bytes": high, "completeness": found.incomplete}

    return Timed(lambda: None, run, detail)


def ready(request: Request) -> dict[str, Any]:
    """Makes what everybody is given."""
    prepare(request.out)
    return {}


if __name__ == "__main__":
    cases = {"prepare": ready, "graph": graph, "integrated": integrated}
    serve("darklantern", "darklantern", cases | ours_fitting.CASES)
