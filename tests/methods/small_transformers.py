"""Transformers of three small layers in float64, with weights large enough that nothing is nearly linear by itself."""

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


def gpt2() -> nn.Module:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=3, n_embd=32, n_head=4, vocab_size=50, bos_token_id=0, eos_token_id=0)
    return randomised(GPT2LMHeadModel(config).double().eval())


def llama() -> nn.Module:
    torch.manual_seed(1)
    config = LlamaConfig(
        num_hidden_layers=3,
        hidden_size=32,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=50,
    )
    return randomised(LlamaForCausalLM(config).double().eval())


def randomised(model: nn.Module) -> nn.Module:
    """Weights large enough that nothing is nearly linear by itself, norms' weights and biases too."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.data = noise * 0.3 if parameter.ndim > 1 else 1 + 0.2 * noise if "weight" in name else 0.2 * noise
    return model
