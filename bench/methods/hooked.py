"""Weights of either layout under TransformerLens's names and shapes, and circuitkit's nodes under ours. NumPy alone."""

import json
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
SEEDS = {"tracr reverse": (100, 101), "tracr xproportion": (100, 101), "siit": (200, 201), "trained gpt2": (1, 1)}
"""of clean and corrupt inputs; tests use others"""
MODELS = tuple(SEEDS)
"""whose edges are scored: files of `wired`"""


def mapped(arrays: Arrays) -> tuple[dict[str, Any], Arrays, dict[str, Any]]:
    """The shape of a file of `wired`, its weights by TransformerLens's names, and what its configuration needs."""
    shape = json.loads(str(arrays["shape"]))
    return (shape, *(_compiled(arrays, shape) if "read" in arrays else _gpt2(arrays, shape)))


def sender(name: str) -> str:
    """`a1.h0` → layers.1.attn:result[head=0], `m1` → layers.1.mlp:out, `input` → embed."""
    if name == "input":
        return "embed"
    layer, _, head = name[1:].partition(".h")
    return f"layers.{layer}.attn:result[head={head}]" if head else f"layers.{layer}.mlp:out"


def receiver(name: str, port: str | None) -> str:
    """`a1.h0` with `q` → layers.1.attn:q[head=0], `m1` → layers.1.mlp:in, `logits` as it is."""
    if name == "logits":
        return name
    layer, _, head = name[1:].partition(".h")
    return f"layers.{layer}.attn:{port}[head={head}]" if head else f"layers.{layer}.mlp:in"


def _compiled(arrays: Arrays, shape: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """Of Tracr's layout: no norms, ReLU."""
    heads, embed = shape["heads"], arrays["token_embed/embeddings"]
    made = {"embed.W_E": embed, "pos_embed.W_pos": arrays["pos_embed/embeddings"], "unembed.W_U": arrays["read"]}
    for layer in range(shape["layers"]):
        own = {
            part: (arrays[f"transformer/layer_{layer}/{part}/w"], arrays[f"transformer/layer_{layer}/{part}/b"])
            for part in ("attn/query", "attn/key", "attn/value", "attn/linear", "mlp/linear_1", "mlp/linear_2")
        }
        made |= _block(layer, heads, *own.values())
    first, key = arrays["transformer/layer_0/mlp/linear_1/w"], arrays["transformer/layer_0/attn/key/w"]
    sizes = {"tokens": len(embed), "d_model": embed.shape[1], "d_head": key.shape[1] // heads, "act_fn": "relu",
             "d_mlp": first.shape[1], "n_ctx": len(arrays["pos_embed/embeddings"]),
             "d_vocab_out": arrays["read"].shape[1], "normalization_type": None}  # fmt: skip
    return made, sizes


def _gpt2(arrays: Arrays, shape: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """Of the layout of `subjects`."""
    heads, embed = shape["heads"], arrays["embed"]
    made = {"embed.W_E": embed, "pos_embed.W_pos": arrays["position"], "unembed.W_U": arrays["unembed"],
            "ln_final.w": arrays["norm.weight"], "ln_final.b": arrays["norm.bias"]}  # fmt: skip
    parts = ("attn.q", "attn.k", "attn.v", "attn.o", "mlp.up", "mlp.down")
    for layer in range(shape["layers"]):
        start = f"layers.{layer}"
        made |= _block(
            layer, heads, *((arrays[f"{start}.{part}.weight"], arrays[f"{start}.{part}.bias"]) for part in parts)
        )
        for number in (1, 2):
            made[f"blocks.{layer}.ln{number}.w"] = arrays[f"{start}.norm{number}.weight"]
            made[f"blocks.{layer}.ln{number}.b"] = arrays[f"{start}.norm{number}.bias"]
    sizes = {"tokens": len(embed), "d_model": embed.shape[1], "d_head": embed.shape[1] // heads, "act_fn": "gelu_new",
             "d_mlp": arrays["layers.0.mlp.up.weight"].shape[1], "n_ctx": len(arrays["position"]),
             "d_vocab_out": arrays["unembed"].shape[1], "normalization_type": "LN"}  # fmt: skip
    return made, sizes


def _block(layer: int, heads: int, *maps: tuple[NDArray[Any], NDArray[Any]]) -> Arrays:
    """Queries, keys, values, output, up and down of one layer, each x @ weight + bias."""
    made, (*inputs, (out, out_bias), (up, up_bias), (down, down_bias)) = {}, maps
    start = f"blocks.{layer}"
    for name, (weight, bias) in zip("QKV", inputs, strict=True):
        made[f"{start}.attn.W_{name}"] = weight.reshape(len(weight), heads, -1).transpose(1, 0, 2)
        made[f"{start}.attn.b_{name}"] = bias.reshape(heads, -1)
    made |= {f"{start}.attn.W_O": out.reshape(heads, -1, out.shape[1]), f"{start}.attn.b_O": out_bias,
             f"{start}.mlp.W_in": up, f"{start}.mlp.b_in": up_bias,
             f"{start}.mlp.W_out": down, f"{start}.mlp.b_out": down_bias}  # fmt: skip
    return made
