"""circuitkit: edge attribution patching of a HookedTransformer with the same weights, in float64."""

import json
from collections.abc import Callable
from typing import Any

import circuitkit  # noqa: F401 - patches transformer_lens, so it comes before
import numpy as np
import torch
from circuitkit.backends.eap.attribute import attribute
from circuitkit.backends.eap.eap_utils import collate_EAP
from circuitkit.backends.eap.graph import Graph
from models.protocol import Request, Timed, serve
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch.utils.data import DataLoader
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformers import PreTrainedTokenizerFast

from methods import hooked


def by(method: str, steps: int | None = None) -> Callable[[Request], Timed]:
    """A case: the edges of a model, scored in one of its ways."""

    def scored(request: Request) -> Timed:
        with np.load(request.out / f"{request.model}.npz") as held:
            arrays = {name: held[name] for name in held.files}
        model, toward = build(arrays), torch.from_numpy(arrays["toward"])
        loader = _loader(arrays)

        def metric(logits: Any, *_: Any) -> Any:
            return (logits * toward).sum()

        def per_pair(logits: Any, *_: Any) -> Any:
            return (logits * toward).sum((1, 2))

        def score() -> Any:
            graph = Graph.from_model(model)
            with torch.enable_grad():
                attribute(model, graph, loader, per_pair if method == "exact" else metric, method, ig_steps=steps,
                          quiet=True)  # fmt: skip
            return graph

        def detail() -> dict[str, Any]:
            theirs = {f"{sender} → {receiver}": value for sender, receiver, value in _named(score())}
            (request.out / f"{request.model}-{request.case}-circuitkit.json").write_text(json.dumps(theirs))
            ours = torch.from_numpy(np.load(request.out / f"{request.model}-output.npy"))
            off = (model(torch.from_numpy(arrays["clean"])) - ours).abs().max() / ours.abs().max()
            return {"output_off": float(off)}

        return Timed(lambda: None, score, detail)

    return scored


def build(arrays: hooked.Arrays) -> HookedTransformer:
    """The model with these weights, as circuitkit asks for it, and a word for each token.

    A model of one head gets a second one that is all 0: of one alone circuitkit's scores fail to broadcast.
    """
    shape, weights, sizes = hooked.mapped(arrays)
    tokens = sizes.pop("tokens")
    config = HookedTransformerConfig(
        n_layers=shape["layers"], n_heads=max(shape["heads"], 2), d_vocab=tokens + 2, device="cpu", dtype=torch.float64,
        attention_dir="causal" if shape["causal"] else "bidirectional", default_prepend_bos=False,
        tokenizer_prepends_bos=False, use_attn_result=True, use_split_qkv_input=True, use_hook_mlp_in=True, eps=1e-5,
        **sizes,
    )  # fmt: skip
    words = {str(number): number for number in range(tokens)} | {"pad": tokens, "bos": tokens + 1}
    made = Tokenizer(WordLevel(words, unk_token="pad"))
    made.pre_tokenizer = WhitespaceSplit()
    special = {"unk_token": "pad", "pad_token": "pad", "eos_token": "pad", "bos_token": "bos"}
    model = HookedTransformer(config)
    model.tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, padding_side="right", **special)
    named = dict(model.named_parameters())
    with torch.no_grad():
        for value in named.values():
            value.zero_()
        for name, value in weights.items():
            rows = tuple(slice(size) for size in value.shape)  # rows of no token, and the second head, stay 0
            named[name][rows].copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return model


def _loader(arrays: hooked.Arrays) -> DataLoader:
    """All pairs as one batch of text."""
    texts = ([" ".join(map(str, row)) for row in arrays[part].tolist()] for part in ("clean", "corrupt"))
    pairs = [(clean, corrupt, 0) for clean, corrupt in zip(*texts, strict=True)]
    loader = DataLoader(pairs, batch_size=len(pairs), collate_fn=collate_EAP)
    loader.templated = True  # no token is to be put before
    return loader


def _named(graph: Graph) -> list[tuple[str, str, float]]:
    """Each edge by the product's names; its score turned about, as theirs is what corrupt adds."""
    return [
        (hooked.sender(each.parent.name), hooked.receiver(each.child.name, each.qkv), -float(each.score))
        for each in graph.edges.values()
    ]


if __name__ == "__main__":
    serve("circuitkit", "circuitkit", {
        "edges_exact": by("exact"), "edges_eap": by("EAP"), "edges_eap-ig": by("EAP-IG-inputs", 5),
        "edges_eap-ig_as_shipped": by("EAP-IG-inputs"),
    })  # fmt: skip
