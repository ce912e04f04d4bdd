"""Small transformers for tests that need no oracle."""

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

VOCABULARY = 60


def gpt2(layers: int = 3, **more: object) -> nn.Module:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=layers, n_embd=32, n_head=4, vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **more
    )
    return spread(GPT2LMHeadModel(config).eval())


def llama(layers: int = 3, **more: object) -> nn.Module:
    """Four query heads on two key-value heads."""
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(num_hidden_layers=layers, vocab_size=VOCABULARY, **sizes, **more)
    return spread(LlamaForCausalLM(config).eval())


def spread(model: nn.Module) -> nn.Module:
    """Weights large enough that every edit shows."""
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data = 0.15 * torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
    return model


def tokens(batch: int = 2, pos: int = 7, seed: int = 5) -> Tensor:
    return torch.randint(1, VOCABULARY, (batch, pos), generator=torch.Generator().manual_seed(seed))


def hooks(model: nn.Module) -> int:
    """How many hooks and replaced forwards stand on a model."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in m.__dict__) for m in model.modules())
