"""circuit-tracer: its TransformerLens model, per-layer transcoders, the whole graph of one prompt."""

from typing import Any

import numpy as np
import torch
from circuit_tracer import attribute
from circuit_tracer.replacement_model.replacement_model_transformerlens import TransformerLensReplacementModel
from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder, TranscoderSet
from models.protocol import Request, Timed, serve
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformer_lens import HookedTransformerConfig
from transformers import PreTrainedTokenizerFast

from methods import subjects
from methods.measuring import peaked


def as_shipped(request: Request) -> Timed:
    """`attribute` over all active features, in batches of 512, its default."""
    return graph(request, 512, "shipped")


def graph(request: Request, batch: int = 64, name: str = "tuned") -> Timed:
    """The same in batches of 64, its fastest of 16, 64, 128, 256 and 512 here."""
    tokens = int(request.model)
    model = replacement(subjects.read(request.out / "transformer.npz"), subjects.read(request.out / f"{tokens}.npz"))
    ids = torch.from_numpy(subjects.prompt(tokens))
    targets = torch.from_numpy(np.load(request.out / f"targets-{tokens}.npy"))

    def run() -> Any:
        with torch.enable_grad():
            return attribute(ids, model, attribution_targets=targets, batch_size=batch)

    def detail() -> dict[str, Any]:
        found, high = peaked(run)
        np.savez(
            request.out / f"circuit-tracer-{name}-{tokens}.npz",
            adjacency=found.adjacency_matrix.numpy(),
            features=found.active_features.numpy(),
        )
        return {"peak_bytes": high, "features": len(found.active_features)}

    return Timed(lambda: None, run, detail)


def replacement(weights: subjects.Arrays, transcoders: subjects.Arrays) -> TransformerLensReplacementModel:
    """The transformer with its MLPs replaced."""
    config = HookedTransformerConfig(
        n_layers=subjects.LAYERS, d_model=subjects.DIM, n_heads=subjects.HEADS, d_head=subjects.DIM // subjects.HEADS,
        d_mlp=subjects.HIDDEN, d_vocab=subjects.VOCABULARY, n_ctx=subjects.CONTEXT, act_fn="gelu_new",
        normalization_type="LN", eps=1e-5, device="cpu", dtype=torch.float32, default_prepend_bos=False,
    )  # fmt: skip
    held = TranscoderSet(
        {n: _transcoder(transcoders, n) for n in range(subjects.LAYERS)}, "mlp.hook_in", "mlp.hook_out"
    )
    model = TransformerLensReplacementModel.from_config(config, held)
    model.tokenizer = _tokenizer()
    named = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in _mapped(weights).items():
            named[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return model


def _tokenizer() -> PreTrainedTokenizerFast:
    """A word for each number: the graph holds its prompt as text."""
    words = {str(number): number for number in range(subjects.VOCABULARY)}
    first = str(subjects.FIRST)
    made = Tokenizer(WordLevel(words, unk_token=first))
    special = dict.fromkeys(("unk_token", "bos_token", "pad_token", "eos_token"), first)
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)


def _transcoder(arrays: subjects.Arrays, layer: int) -> SingleLayerTranscoder:
    made = SingleLayerTranscoder(subjects.DIM, subjects.FEATURES, torch.nn.functional.relu, layer, dtype=torch.float32,
                                 device=torch.device("cpu"))  # fmt: skip
    names = {"W_enc": "encoder", "b_enc": "encoder_bias", "W_dec": "decoder", "b_dec": "decoder_bias"}
    with torch.no_grad():
        for own, name in names.items():
            getattr(made, own).copy_(torch.from_numpy(arrays[f"layers.{layer}.{name}"]))
    return made


def _mapped(weights: subjects.Arrays) -> dict[str, Any]:
    """The same weights under TransformerLens's names and shapes."""
    heads, dim = subjects.HEADS, subjects.DIM
    size = dim // heads
    made = {
        "embed.W_E": weights["embed"], "pos_embed.W_pos": weights["position"],
        "ln_final.w": weights["norm.weight"], "ln_final.b": weights["norm.bias"],
        "unembed.old_unembed.W_U": weights["unembed"],
        "unembed.old_unembed.b_U": np.zeros(subjects.VOCABULARY, np.float32),
    }  # fmt: skip
    for layer in range(subjects.LAYERS):
        own, block = f"layers.{layer}", f"blocks.{layer}"
        for number in (1, 2):
            for one, two in (("w", "weight"), ("b", "bias")):
                made[f"{block}.ln{number}.{one}"] = weights[f"{own}.norm{number}.{two}"]
        for part in "qkv":
            made[f"{block}.attn.W_{part.upper()}"] = (
                weights[f"{own}.attn.{part}.weight"].reshape(dim, heads, size).transpose(1, 0, 2)
            )
            made[f"{block}.attn.b_{part.upper()}"] = weights[f"{own}.attn.{part}.bias"].reshape(heads, size)
        made[f"{block}.attn.W_O"] = weights[f"{own}.attn.o.weight"].reshape(heads, size, dim)
        made[f"{block}.attn.b_O"] = weights[f"{own}.attn.o.bias"]
        for one, two in (("in", "up"), ("out", "down")):
            made[f"{block}.mlp.old_mlp.W_{one}"] = weights[f"{own}.mlp.{two}.weight"]
            made[f"{block}.mlp.old_mlp.b_{one}"] = weights[f"{own}.mlp.{two}.bias"]
    return made


if __name__ == "__main__":
    serve("circuit-tracer", "circuit-tracer", {"graph": graph, "graph_as_shipped": as_shipped})
