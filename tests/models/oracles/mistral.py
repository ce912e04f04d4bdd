"""MistralForCausalLM: Llama's forward pass with a sliding window that is shorter than the sequence."""

import torch
from torch import Tensor, nn
from transformers import MistralConfig, MistralForCausalLM

from .llama import NATIVE, SIZES, decoder, inputs
from .parts import Inputs, Visit, randomise

__all__ = ["NATIVE", "build", "forward", "inputs"]

WINDOW = 3


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Llama's sizes; a token sees itself and the two before it."""
    config = MistralConfig(**SIZES, sliding_window=WINDOW)
    return randomise(MistralForCausalLM._from_config(config, attn_implementation="sdpa"), dtype, seed)


def forward(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The logits, `batch pos vocabulary`."""
    return decoder(model, inputs, visit, window=WINDOW)
