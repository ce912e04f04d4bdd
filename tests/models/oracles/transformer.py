"""nn.Transformer: an encoder and a decoder with cross-attention, each norm after the sum.

The norms are numbered as in torch: in the decoder `norm2` belongs to the cross-attention and `norm3` to the MLP.
`resid_mid` is what the MLP is given and is added to, so it equals the output of the norm before it. The MLP is no
module of its own here and its ReLU a function: its sites are those of `linear1` and `linear2`.
"""

import torch
from torch import Tensor, nn

from .parts import Inputs, Visit, causal, layer_norm, packed_attention, randomise, relu
from .parts import visited_linear as feed

NATIVE = (("attn", "self_attn"), ("cross_attn", "multihead_attn"))
DIM = 16


def build(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """Two layers on each side, dim 16, 2 heads."""
    model = nn.Transformer(DIM, 2, num_encoder_layers=2, num_decoder_layers=2, dim_feedforward=24, batch_first=True)
    return randomise(model, dtype, seed)


def inputs(seed: int = 0) -> dict[str, Tensor]:
    """Vectors for both sides in float64, and the decoder's mask, where True hides a key."""
    source = torch.Generator().manual_seed(seed)
    return {
        "src": torch.randn(2, 6, DIM, generator=source, dtype=torch.float64),
        "tgt": torch.randn(2, 5, DIM, generator=source, dtype=torch.float64),
        "tgt_mask": torch.ones(5, 5, dtype=torch.bool).triu(1),
    }


def forward(model: nn.Module, inputs: Inputs, visit: Visit) -> Tensor:
    """The decoder's last hidden state, `batch pos dim`."""
    assert isinstance(inputs, dict)
    memory = inputs["src"]
    for number, layer in enumerate(model.encoder.layers):
        memory = _encoder_layer(visit, f"encoder.layers.{number}", memory, layer)
    memory = layer_norm(visit, "encoder.norm", memory, model.encoder.norm)
    x = inputs["tgt"]
    for number, layer in enumerate(model.decoder.layers):
        x = _decoder_layer(visit, f"decoder.layers.{number}", x, memory, layer)
    return layer_norm(visit, "decoder.norm", x, model.decoder.norm)


def _encoder_layer(visit: Visit, path: str, x: Tensor, layer: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    x = x + packed_attention(visit, f"{path}.attn", x, x, layer.self_attn)
    x = visit(f"{path}:resid_mid", layer_norm(visit, f"{path}.norm1", x, layer.norm1))
    x = layer_norm(visit, f"{path}.norm2", x + _mlp(visit, path, x, layer), layer.norm2)
    return visit(f"{path}:out", x)


def _decoder_layer(visit: Visit, path: str, x: Tensor, memory: Tensor, layer: nn.Module) -> Tensor:
    x = visit(f"{path}:in", x)
    x = x + packed_attention(visit, f"{path}.attn", x, x, layer.self_attn, causal(x.shape[1]))
    x = layer_norm(visit, f"{path}.norm1", x, layer.norm1)
    x = x + packed_attention(visit, f"{path}.cross_attn", x, memory, layer.multihead_attn)
    x = visit(f"{path}:resid_mid", layer_norm(visit, f"{path}.norm2", x, layer.norm2))
    x = layer_norm(visit, f"{path}.norm3", x + _mlp(visit, path, x, layer), layer.norm3)
    return visit(f"{path}:out", x)


def _mlp(visit: Visit, path: str, x: Tensor, layer: nn.Module) -> Tensor:
    x = feed(visit, f"{path}.linear1", x, layer.linear1.weight, layer.linear1.bias)
    return feed(visit, f"{path}.linear2", relu(x), layer.linear2.weight, layer.linear2.bias)
