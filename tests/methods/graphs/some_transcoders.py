"""Transcoders for the small transformers of these tests: at random, and planted ones that are the MLP itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from small_transformers import randomised
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from darklantern.methods.graphs import Transcoder
from darklantern.models.opened import Model

LAYERS, DIM, FEATURES = 3, 32, 20


def at_random(*, skip: bool = False, cross: bool = False, seed: int = 0, **more: Any) -> list[Transcoder]:
    """One for each of three layers of 32 dims, about half of whose 20 features are active."""
    rng = np.random.default_rng(seed)
    made = []
    for layer in range(LAYERS):
        into = (LAYERS - layer,) if cross else ()
        made.append(
            Transcoder(
                W_enc=rng.normal(size=(FEATURES, DIM)) * 0.3,
                b_enc=rng.normal(size=FEATURES) * 0.5,
                W_dec=rng.normal(size=(*into, FEATURES, DIM)) * 0.3,
                b_dec=rng.normal(size=DIM) * 0.2,
                W_skip=rng.normal(size=(DIM, DIM)) * 0.1 if skip else None,
                **more,
            )
        )
    return made


def relu_gpt2() -> nn.Module:
    """As `small_transformers.gpt2`, its MLPs with ReLU and 40 neurons."""
    torch.manual_seed(3)
    config = GPT2Config(
        n_layer=LAYERS,
        n_embd=DIM,
        n_head=4,
        n_inner=40,
        activation_function="relu",
        vocab_size=50,
        bos_token_id=0,
        eos_token_id=0,
    )
    return randomised(GPT2LMHeadModel(config).double().eval())


def of_neurons(module: Any) -> list[Transcoder]:
    """What `relu_gpt2` has for MLPs: each neuron is a feature, so nothing is left over."""
    mlps = [block.mlp for block in module.transformer.h]
    return [Transcoder(each.c_fc.weight.T, each.c_fc.bias, each.c_proj.weight, each.c_proj.bias) for each in mlps]


def fitted(model: Model, inputs: Any) -> list[Transcoder]:
    """Those of `at_random`, their decoders fitted to one prompt: nothing of its MLPs is left over."""
    found, made = model.record(inputs, "layers.*.mlp:{in,out}"), []
    for layer, each in enumerate(at_random()):
        into, out = (np.asarray(found[f"layers.{layer}.mlp:{port}"])[0] for port in ("in", "out"))
        made.append(replace(each, W_dec=np.linalg.pinv(each.encoded(into)) @ (out - each.b_dec)))
    return made


Edges = dict[tuple[Any, ...], dict[tuple[Any, ...], float]]


def by_hand(module: Any, tokens: NDArray[Any], transcoders: list[Transcoder]) -> Edges:
    """Every edge of a GPT-2's graph, by pushing each source forwards through the frozen model's own formula.

    By target, (layer, position, feature) or ("logit", token), and by source, (kind, layer, position, feature).
    """
    got, model = {name: each.detach().numpy() for name, each in module.state_dict().items()}, module.transformer
    held, count, heads = _held(module, tokens), tokens.shape[1], model.h[0].attn.num_heads

    def normed(x: Any, name: str) -> Any:
        return (x - x.mean(-1, keepdims=True)) / held[name] * got[f"transformer.{name}.weight"]

    def attended(x: Any, layer: int) -> Any:
        own = f"transformer.h.{layer}.attn"
        value = normed(x, f"h.{layer}.ln_1") @ got[f"{own}.c_attn.weight"][:, 2 * DIM :]
        split = value.reshape(count, heads, -1)
        mixed = np.einsum("hqk,khd->qhd", held[f"pattern {layer}"], split).reshape(count, DIM)
        return mixed @ got[f"{own}.c_proj.weight"]

    edges: Edges = {}
    sources = {("token", -1, p, 0): held["embedding"][p] for p in range(count)}
    for layer, each in enumerate(transcoders):
        active = np.maximum(held[f"mlp in {layer}"] @ each.W_enc.T + each.b_enc, 0)
        error = held[f"mlp out {layer}"] - active @ each.W_dec - each.b_dec
        for p in range(count):
            sources["error", layer, p, 0] = error[p]
            sources |= {("feature", layer, p, int(f)): active[p, f] * each.W_dec[f] for f in np.flatnonzero(active[p])}
    for name, vector in sources.items():
        x = np.zeros((count, DIM))
        x[name[2]] = vector
        for layer in range(name[1] + 1, LAYERS):
            x = x + attended(x, layer)
            read = normed(x, f"h.{layer}.ln_2") @ transcoders[layer].W_enc.T
            for p in range(count):
                for feature in range(FEATURES):
                    edges.setdefault((layer, p, feature), {})[name] = read[p, feature]
        logits = (normed(x, "ln_f") @ got["lm_head.weight"].T)[-1]
        for token in range(50):
            edges.setdefault(("logit", token), {})[name] = logits[token] - logits.mean()
    return edges


def _held(module: Any, tokens: NDArray[Any]) -> dict[str, Any]:
    """What the frozen model holds, by torch's own hooks and the model's own outputs."""
    held: dict[str, Any] = {}

    def norm(name: str) -> Any:
        def hook(own: nn.LayerNorm, args: Any, _: Any) -> None:
            held[name] = torch.sqrt(args[0].var(-1, correction=0, keepdim=True) + own.eps)[0].numpy()

        return hook

    def mlp(layer: int) -> Any:
        def hook(_: nn.Module, args: Any, out: Any) -> None:
            held[f"mlp in {layer}"], held[f"mlp out {layer}"] = args[0][0].numpy(), out[0].numpy()

        return hook

    norms = [(name, part) for name, part in module.transformer.named_modules() if isinstance(part, nn.LayerNorm)]
    hooks = [part.register_forward_hook(norm(name)) for name, part in norms]
    hooks += [block.mlp.register_forward_hook(mlp(layer)) for layer, block in enumerate(module.transformer.h)]
    module.set_attn_implementation("eager")
    with torch.no_grad():
        out = module(torch.as_tensor(tokens), output_attentions=True, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    held |= {f"pattern {layer}": each[0].numpy() for layer, each in enumerate(out.attentions)}
    return held | {"embedding": out.hidden_states[0][0].numpy()}
