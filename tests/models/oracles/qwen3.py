"""Qwen3ForCausalLM: Llama's forward pass with a norm of each head's q and k before the rotary embedding."""

import torch
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from .llama import NATIVE, SIZES, forward, inputs
from .parts import randomise

__all__ = ["NATIVE", "build", "forward", "inputs"]


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Llama's sizes."""
    return randomise(Qwen3ForCausalLM._from_config(Qwen3Config(**SIZES), attn_implementation="sdpa"), dtype, seed)
