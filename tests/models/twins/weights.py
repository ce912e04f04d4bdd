"""The oracles' weights as arrays in one order, from which each twin makes its own parameters.

A linear map is `weight` (input × output) and `bias`; a norm `weight` and `bias`; a convolution as in torch, output ×
input × height × width. Blocks are a list.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array
from numpy.typing import DTypeLike
from torch import Tensor, nn

Weights = dict[str, Any]


def gpt2(model: nn.Module, dtype: DTypeLike) -> Weights:
    """Of a GPT2LMHeadModel, whose Linears keep their weight as input × output already."""

    def block(each: nn.Module) -> Weights:
        return {
            "norm1": as_is(each.ln_1, dtype),
            "qkv": as_is(each.attn.c_attn, dtype),
            "proj": as_is(each.attn.c_proj, dtype),
            "norm2": as_is(each.ln_2, dtype),
            "up": as_is(each.mlp.c_fc, dtype),
            "down": as_is(each.mlp.c_proj, dtype),
        }

    body = model.transformer
    return {
        "embed": array(body.wte.weight, dtype),
        "positions": array(body.wpe.weight, dtype),
        "blocks": [block(each) for each in body.h],
        "norm": as_is(body.ln_f, dtype),
    }


def by_head(qkv: Weights, heads: int) -> dict[str, Weights]:
    """The packed map of q, k and v as three: weights `input head head_dim`, biases `head head_dim`."""
    weights = jnp.split(qkv["weight"], 3, axis=1)
    biases = jnp.split(qkv["bias"], 3)
    return {
        name: {"weight": weight.reshape(weight.shape[0], heads, -1), "bias": bias.reshape(heads, -1)}
        for name, weight, bias in zip("qkv", weights, biases, strict=True)
    }


def llama(model: nn.Module, dtype: DTypeLike) -> Weights:
    """Of a LlamaForCausalLM: no biases, and the unembedding has weights of its own."""

    def block(each: nn.Module) -> Weights:
        attention, mlp = each.self_attn, each.mlp
        return {
            "norm1": array(each.input_layernorm.weight, dtype),
            "norm2": array(each.post_attention_layernorm.weight, dtype),
            **{name: array(getattr(attention, f"{name}_proj").weight.T, dtype) for name in "qkvo"},
            **{name: array(getattr(mlp, f"{name}_proj").weight.T, dtype) for name in ("gate", "up", "down")},
        }

    return {
        "embed": array(model.model.embed_tokens.weight, dtype),
        "blocks": [block(each) for each in model.model.layers],
        "norm": array(model.model.norm.weight, dtype),
        "unembed": array(model.lm_head.weight.T, dtype),
    }


def cnn(model: nn.Module, dtype: DTypeLike) -> Weights:
    """Of the oracle's ConvNet."""

    def norm(each: nn.BatchNorm2d) -> Weights:
        statistics = {"mean": array(each.running_mean, dtype), "variance": array(each.running_var, dtype)}
        return as_is(each, dtype) | statistics

    block = model.block
    return {
        "conv": as_is(model.conv, dtype),
        "bn": norm(model.bn),
        "block": {
            "conv1": as_is(block.conv1, dtype),
            "bn1": norm(block.bn1),
            "conv2": as_is(block.conv2, dtype),
            "bn2": norm(block.bn2),
        },
        "mix": as_is(model.mix, dtype),
        "fc": {"weight": array(model.fc.weight.T, dtype), "bias": array(model.fc.bias, dtype)},
    }


def as_is(module: nn.Module, dtype: DTypeLike) -> Weights:
    """A module's `weight` and, where it has one, `bias`, turned no way."""
    return {name: array(value, dtype) for name, value in module.named_parameters(recurse=False)}


def array(tensor: Tensor, dtype: DTypeLike) -> Array:
    """A copy: JAX and torch may share a CPU's memory otherwise, and torch writes in place."""
    return jnp.array(tensor.detach().numpy(), dtype=dtype, copy=True)
