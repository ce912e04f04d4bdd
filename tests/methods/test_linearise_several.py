"""`linearise` where a part has several of a kind, and where one attention among others shows nothing.

The truth is the same function with its author's own `stop_gradient`, or `detach`, written in.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen
from frameworks import normal
from jax.lax import stop_gradient
from torch import Tensor, nn
from torch.nn import functional as F

import darklantern as dl
from darklantern.errors import SiteError
from darklantern.methods import linearise

DIM = 6
X = jnp.asarray(normal(2, 5, DIM, seed=1), jnp.float32)
WEIGHTS = jnp.asarray(normal(2, DIM, DIM, seed=2) / 2, jnp.float32)
Hold = Callable[[Any], Any]


def freely(value: Any) -> Any:
    return value


def two_activations(weights: Any, x: Any, hold: Hold = freely) -> Any:
    def relu(x: Any) -> Any:
        return jax.nn.relu(x) if hold is freely else x * hold(x > 0)

    for w in weights:
        x = relu(x @ w)
    return x @ weights[0]


def two_norms_in_a_scanned_block(weights: Any, x: Any, hold: Hold = freely) -> Any:
    def normed(x: Any) -> Any:
        return x / hold(jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5))

    def body(x: Any, w: Any) -> Any:
        with dl.part("layers.*"):
            x = x + jnp.sin(normed(x) @ w)
            return dl.tag("out", x + jnp.sin(normed(x) @ w.T)), None

    return jax.lax.scan(body, x, weights)[0]


def two_attentions(weights: Any, x: Any, hold: Hold = freely) -> Any:
    for w in weights:
        q, k, v = x @ w, x @ w.T, x @ (w + 1)
        x = x + hold(jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", q, k))) @ v
    return x


@pytest.mark.parametrize(
    ("function", "kind"),
    [(two_activations, "activation"), (two_norms_in_a_scanned_block, "norm"), (two_attentions, "attention")],
)
def test_each_of_several_in_one_part_is_frozen(function: Callable[..., Any], kind: str) -> None:
    frozen = linearise(dl.open(function, weights=WEIGHTS, example=X), {kind})

    def metric(x: Any, hold: Hold) -> Any:
        return jnp.sum(jnp.sin(function(WEIGHTS, x, hold)))

    found = frozen.gradient(X, lambda output: jnp.sum(jnp.sin(output)), ":in").gradients[":in"].array
    truth, free = (jax.grad(metric)(X, hold) for hold in (stop_gradient, freely))
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-5)
    assert kind == "activation" or not np.allclose(truth, free, rtol=1e-2)  # a relu's slope is its derivative


class Shared(nn.Module):
    """One norm and one activation, each called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.norm = nn.Linear(DIM, DIM), nn.GELU(), nn.LayerNorm(DIM)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = x + self.act(self.up(self.norm(x)))
        return x

    def held(self, x: Tensor) -> Tensor:
        for _ in range(2):
            centred = x - x.mean(-1, keepdim=True)
            scale = torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + self.norm.eps).detach()
            pre = self.up(centred / scale * self.norm.weight + self.norm.bias)
            x = x + pre * (F.gelu(pre) / pre).detach()
        return x


def test_each_call_of_a_torch_module_is_frozen() -> None:
    torch.manual_seed(0)
    module = Shared().double()
    x = torch.from_numpy(normal(2, 5, DIM, seed=1)).requires_grad_()
    frozen = linearise(dl.open(module), {"norm", "activation"})
    found = frozen.gradient(x.detach(), lambda output: output.sin().sum(), ":in").gradients[":in"].array
    (truth,) = torch.autograd.grad(module.held(x).sin().sum(), x)
    torch.testing.assert_close(found, truth)


# an attention that shows nothing, under a name that says nothing


def by_callback(q: Any, k: Any, v: Any) -> Any:
    """What no jaxpr shows, as a kernel's inside."""

    def attention(q: Any, k: Any, v: Any) -> Any:
        scores = np.einsum("bqd,bkd->bqk", q, k)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return (weights / weights.sum(-1, keepdims=True)) @ v

    return jax.pure_callback(attention, jax.ShapeDtypeStruct(q.shape, q.dtype), q, k, v)


def plainly(q: Any, k: Any, v: Any) -> Any:
    return jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", q, k)) @ v


class Mixer(linen.Module):
    kind: str

    @linen.compact
    def __call__(self, x: Any) -> Any:
        if self.kind == "recurrence":
            return linen.Dense(DIM, name="step")(jnp.cumsum(x, 1))
        made = linen.Dense(3 * DIM, name="into")(x)
        if self.kind == "mlp":  # its parts have the names that an attention's have
            return linen.Dense(DIM, name="out")(linen.gelu(made))
        attention = plainly if self.kind == "attention" else by_callback
        return linen.Dense(DIM, name="out")(attention(*jnp.split(made, 3, -1)))


class Block(linen.Module):
    kind: str
    inline: bool

    @linen.compact
    def __call__(self, x: Any) -> Any:
        normed = linen.LayerNorm(name="ln")(x)
        if self.inline:
            q, k, v = (linen.Dense(DIM, name=name)(normed) for name in "qkv")
            x = x + (plainly if self.kind == "attention" else by_callback)(q, k, v)
        else:
            x = x + Mixer(self.kind, name="mixer")(normed)
        return x + linen.Dense(DIM, name="down")(linen.gelu(linen.Dense(8, name="up")(x)))


class Stack(linen.Module):
    kinds: tuple[str, ...]
    inline: bool = False

    @linen.compact
    def __call__(self, x: Any) -> Any:
        for number, kind in enumerate(self.kinds):
            x = Block(kind, self.inline, name=f"block_{number}")(x)
        return x


def stack(*kinds: str, inline: bool = False) -> Any:
    module = Stack(kinds, inline)
    return dl.open(module, weights=module.init(jax.random.key(0), X), example=X)


@pytest.mark.parametrize(
    ("inline", "named"), [(False, r"layers\.1\.mixer .* as layers\.0\.attn does"), (True, r"layers\.1 .* as layers\.0")]
)
def test_an_opaque_attention_among_others_is_named(inline: bool, named: str) -> None:
    with pytest.raises(SiteError, match=named.replace(" .* ", " shows no pattern, ")) as caught:
        linearise(stack("attention", "opaque", "attention", inline=inline), {"attention"})
    assert "opaque kernel" in str(caught.value.hint)


def test_blocks_that_rightly_have_no_attention_are_left_alone() -> None:
    frozen = linearise(stack("attention", "mlp", "recurrence", "attention"), {"attention"})
    edits = [site for site, _ in frozen.plan().edits]
    assert list(map(str, edits)) == ["layers.0.attn#*:pattern", "layers.3.attn#*:pattern"]
    assert np.isfinite(frozen.gradient(X, jnp.sum, ":in").gradients[":in"].array).all()


class TorchMixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)

    def heads(self, x: Tensor) -> list[Tensor]:
        return [each.unflatten(-1, (2, 3)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1)]


class Kernel(TorchMixer):
    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.scaled_dot_product_attention(*self.heads(x)).transpose(1, 2).flatten(2))


class Opaque(TorchMixer):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.heads(x)
        return self.out((torch.matmul(q, k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))


class Recurrence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x.cumsum(1))


class TorchBlock(nn.Module):
    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.norm, self.mixer, self.up = nn.LayerNorm(DIM), mixer, nn.Linear(DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(self.norm(x))
        return x + self.up(x)


class TorchStack(nn.Module):
    def __init__(self, *mixers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(map(TorchBlock, mixers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_on_torch_an_attention_that_shows_nothing_is_named_and_a_recurrence_is_not() -> None:
    assert linearise(dl.open(TorchStack(Kernel(), Recurrence(), Kernel())), {"attention"}).plan().edits
    with pytest.raises(SiteError, match=r"layers\.1\.mixer shows no pattern, as layers\.0\.\w+ does"):
        linearise(dl.open(TorchStack(Kernel(), Opaque())), {"attention"})


def test_activations_with_a_gate_and_without_in_one_part_are_refused_not_half_held() -> None:
    import jax
    import jax.numpy as jnp

    def mixed(weights: jax.Array, x: jax.Array) -> jax.Array:
        return (jax.nn.silu(jax.nn.relu(x @ weights) @ weights) * (x @ weights)) @ weights

    model = dl.open(mixed, weights=jnp.eye(4), example=jnp.ones((1, 2, 4)))
    with pytest.raises(SiteError, match="computes 2 activations, of which 1 have a slope to hold"):
        dl.linearise(model, {"activation"})
