"""The transformer of `subjects` as transformers has it, and its weights back as arrays."""

from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from methods import copying, subjects


def gpt2(weights: subjects.Arrays) -> GPT2LMHeadModel:
    """With these weights, in float32, no dropout."""
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


STEPS, BATCH, RATE = 900, 48, 2e-3


@torch.enable_grad()
def trained() -> tuple[subjects.Arrays, float]:
    """Weights after training on `copying`, and how often it says right what was said before. About a minute."""
    model = gpt2(subjects.transformer(copying.SEED))
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS)
    for step in range(STEPS):
        tokens = torch.from_numpy(copying.sequences(BATCH, 100 + step)[0])
        logits = model(tokens).logits[:, :-1]
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimiser.step()
        schedule.step()
    return _arrays(model), _right(model)


@torch.no_grad()
def _right(model: GPT2LMHeadModel) -> float:
    tokens, again = copying.sequences(256, 1)
    said = model(torch.from_numpy(tokens)).logits[:, :-1].argmax(-1).numpy()
    return float((said == tokens[:, 1:])[again[:, 1:]].mean())


def _arrays(model: GPT2LMHeadModel) -> subjects.Arrays:
    """As `subjects.transformer` names and lays them out."""
    held = {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}
    made = {"unembed": held["lm_head.weight"].T} | {own: held[theirs] for own, theirs in _OUTSIDE.items()}
    for layer in range(subjects.LAYERS):
        own, block = f"layers.{layer}", f"transformer.h.{layer}"
        for part in ("weight", "bias"):
            for name, each in zip("qkv", np.split(held[f"{block}.attn.c_attn.{part}"], 3, axis=-1), strict=True):
                made[f"{own}.attn.{name}.{part}"] = each
            made |= {f"{own}.{ours}.{part}": held[f"{block}.{theirs}.{part}"] for ours, theirs in _INSIDE.items()}
    return {name: np.ascontiguousarray(value) for name, value in made.items()}


def _mapped(weights: subjects.Arrays) -> dict[str, Any]:
    made = {"lm_head.weight": weights["unembed"].T} | {theirs: weights[own] for own, theirs in _OUTSIDE.items()}
    for layer in range(subjects.LAYERS):
        own, block = f"layers.{layer}", f"transformer.h.{layer}"
        for part in ("weight", "bias"):
            joined = [weights[f"{own}.attn.{each}.{part}"] for each in "qkv"]
            made[f"{block}.attn.c_attn.{part}"] = np.concatenate(joined, axis=-1)
            made |= {f"{block}.{theirs}.{part}": weights[f"{own}.{ours}.{part}"] for ours, theirs in _INSIDE.items()}
    return made


_OUTSIDE = {
    "embed": "transformer.wte.weight", "position": "transformer.wpe.weight",
    "norm.weight": "transformer.ln_f.weight", "norm.bias": "transformer.ln_f.bias",
}  # fmt: skip
_INSIDE = {
    "attn.o": "attn.c_proj", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj", "norm1": "ln_1", "norm2": "ln_2",
}  # fmt: skip
