"""A small transformer trained to compute in known parts: at each place, the share of x so far (InterpBench's case 3).

The first MLP is to say where x stands, the second layer's first head to average that; all other heads and MLPs are to
do nothing that matters. Trained as strict interchange intervention training does it (Gupta et al. 2024, InterpBench):
behaviour 1, interchange of a circuit's part with another input's 1, and exchange of all other parts .4.
"""

from functools import cache

import numpy as np
import torch
import tracr_models
from frameworks import Numbers
from torch import Tensor

VOCABULARY, LENGTH, DIM, HEADS, WIDE, NEURONS, LAYERS = 4, 6, 12, 2, 4, 16, 2
MLP, HEAD = "mlp 0", "head 1 0"
OTHERS = ("head 0 0", "head 0 1", "head 1 1", "mlp 1")
TRUE = [
    ("embed", "layers.0.mlp:in"), ("layers.0.mlp:out", "layers.1.attn:v[head=0]"),
    ("layers.1.attn:result[head=0]", "logits"),
]  # fmt: skip
STRICT, STEPS, BATCH = 0.4, 800, 64
RATE, WRITES = 2e-2, 0.3
"""of learning; how much less those parts write at first that are to be silent"""
Params = dict[str, dict[str, Tensor]]


def tokens(count: int, seed: int) -> Numbers:
    return np.random.default_rng(seed).integers(0, VOCABULARY, (count, LENGTH))


def share(tokens: Tensor) -> Tensor:
    """Of token 0, up to each place."""
    return (tokens == 0).double().cumsum(1) / torch.arange(1, LENGTH + 1)


def answers(output: Numbers) -> Numbers:
    """How many x there were, as the output says it."""
    return np.rint(output[..., 0] * np.arange(1, LENGTH + 1)).astype(int)


@cache
@torch.enable_grad()
def trained(seed: int = 0) -> tuple[tracr_models.Params, Numbers]:
    """Its weights in Tracr's layout, and what reads the stream (dim, 1). Takes some seconds."""
    generator = torch.Generator().manual_seed(seed)
    held, read = _initial(generator)
    leaves = [*(each for own in held.values() for each in own.values()), read]
    optimiser = torch.optim.Adam([leaf.requires_grad_() for leaf in leaves], lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS)
    for _ in range(STEPS):
        base, source = (torch.randint(0, VOCABULARY, (BATCH, LENGTH), generator=generator) for _ in range(2))
        off = _off(held, read, base, source, generator)
        optimiser.zero_grad()
        off.backward()
        optimiser.step()
        schedule.step()
    made = {path: {name: each.detach().numpy() for name, each in own.items()} for path, own in held.items()}
    return made, read.detach().numpy()


def _off(held: Params, read: Tensor, base: Tensor, source: Tensor, generator: torch.Generator) -> Tensor:
    """The squared error under no, each and a random strict exchange."""
    plain, _ = forward(held, read, base, {})
    theirs, nodes = forward(held, read, source, {})
    off = ((plain - share(base)) ** 2).mean() + ((theirs - share(source)) ** 2).mean()
    for node in (MLP, HEAD):
        off = off + ((forward(held, read, base, {node: nodes[node]})[0] - share(source)) ** 2).mean()
    chosen = [node for node in OTHERS if torch.rand((), generator=generator) < 0.5]
    swapped, _ = forward(held, read, base, {node: nodes[node] for node in chosen})
    return off + STRICT * ((swapped - share(base)) ** 2).mean()


def forward(held: Params, read: Tensor, tokens: Tensor, swap: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The output (batch, pos), and what each node wrote; nodes in `swap` write that instead."""
    x = held["token_embed"]["embeddings"][tokens] + held["pos_embed"]["embeddings"][:LENGTH]
    mask = torch.ones(LENGTH, LENGTH).tril().bool()
    nodes: dict[str, Tensor] = {}
    for layer in range(LAYERS):
        own = {path.split(f"layer_{layer}/")[1]: each for path, each in held.items() if f"layer_{layer}/" in path}
        maps = (x @ own[f"attn/{name}"]["w"] + own[f"attn/{name}"]["b"] for name in ("query", "key", "value"))
        q, k, v = (each.unflatten(-1, (HEADS, WIDE)) for each in maps)
        scores = torch.einsum("bphe,bkhe->bhpk", q, k) / WIDE**0.5
        z = torch.einsum("bhpk,bkhe->bphe", scores.masked_fill(~mask, -torch.inf).softmax(-1), v)
        out = own["attn/linear"]["w"].unflatten(0, (HEADS, WIDE))
        for head in range(HEADS):
            name = f"head {layer} {head}"
            nodes[name] = swap.get(name, z[:, :, head] @ out[head])
        x = x + nodes[f"head {layer} 0"] + nodes[f"head {layer} 1"] + own["attn/linear"]["b"]
        inner = torch.relu(x @ own["mlp/linear_1"]["w"] + own["mlp/linear_1"]["b"])
        nodes[f"mlp {layer}"] = swap.get(f"mlp {layer}", inner @ own["mlp/linear_2"]["w"] + own["mlp/linear_2"]["b"])
        x = x + nodes[f"mlp {layer}"]
    return (x @ read)[..., 0], nodes


def _initial(generator: torch.Generator) -> tuple[Params, Tensor]:
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64) / shape[0] ** 0.5

    def linear(*shape: int) -> dict[str, Tensor]:
        return {"w": normal(*shape), "b": torch.zeros(shape[1], dtype=torch.float64)}

    held = {"token_embed": {"embeddings": normal(VOCABULARY, DIM)}, "pos_embed": {"embeddings": normal(LENGTH, DIM)}}
    for layer in range(LAYERS):
        start = f"transformer/layer_{layer}"
        for name in ("query", "key", "value"):
            held[f"{start}/attn/{name}"] = linear(DIM, HEADS * WIDE)
        held[f"{start}/mlp/linear_1"] = linear(DIM, NEURONS)
        held[f"{start}/attn/linear"], held[f"{start}/mlp/linear_2"] = linear(HEADS * WIDE, DIM), linear(NEURONS, DIM)
    held["transformer/layer_0/attn/linear"]["w"] *= WRITES
    held["transformer/layer_1/attn/linear"]["w"][WIDE:] *= WRITES
    held["transformer/layer_1/mlp/linear_2"]["w"] *= WRITES
    return held, normal(DIM, 1)
