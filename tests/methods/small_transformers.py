"""Transformers of three small layers in float64, with weights large enough that nothing is nearly linear by itself."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


def gpt2(layers: int = 3) -> nn.Module:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=layers, n_embd=32, n_head=4, vocab_size=50, bos_token_id=0, eos_token_id=0)
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


def named(block: Mapping[str, str], last: str = "norm") -> nn.Module:
    """A plain pre-norm transformer of two blocks; `block` says what `first`, `attn`, `second` and `mlp` are called."""
    torch.manual_seed(3)
    return randomised(Plain(block, last).double().eval())


class Plain(nn.Module):
    def __init__(self, block: Mapping[str, str], last: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.blocks = nn.ModuleList(PlainBlock(block) for _ in range(2))
        self.last = last
        setattr(self, last, nn.LayerNorm(16))
        self.unembed = nn.Linear(16, 50)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.unembed(getattr(self, self.last)(x))
        return logits


class PlainBlock(nn.Module):
    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self.names = names
        for part in ("first", "second"):
            setattr(self, names[part], nn.LayerNorm(16))
        setattr(self, names["attn"], PlainAttention())
        setattr(self, names["mlp"], nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)))

    def forward(self, x: Tensor) -> Tensor:
        first, attn, second, mlp = (getattr(self, self.names[part]) for part in ("first", "attn", "second", "mlp"))
        x = x + attn(first(x))
        summed: Tensor = x + mlp(second(x))
        return summed


class PlainAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each(x).unflatten(-1, (4, 4)).transpose(1, 2) for each in (self.q_proj, self.k_proj, self.v_proj))
        z = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        made: Tensor = self.o_proj(z.transpose(1, 2).flatten(-2))
        return made
