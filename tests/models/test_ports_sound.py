"""What taps compute beside a model is right or refused, and leaves everything else as it was."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers as hf
from subjects import gpt2, spread, tokens
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import activation
from torch.utils.checkpoint import checkpoint
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits
from darklantern.models.on_torch.forward_mode import forward_mode
from darklantern.models.on_torch.ports.attention import Call, Cells
from darklantern.models.on_torch.ports.certified import Certificates
from darklantern.models.on_torch.verifying import agree, grafted
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import parse


def given(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def same_bits(one: Tensor, other: Tensor) -> bool:
    """torch.equal calls 0.0 and -0.0 the same."""
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[one.element_size()]
    return one.dtype == other.dtype and torch.equal(one.view(whole), other.view(whole))


# grafted: the bits of one tensor, the gradient of another

SPECIAL = torch.tensor([-0.0, math.inf, -math.inf, math.nan, 1.5])


def test_a_graft_keeps_every_bit_of_the_output() -> None:
    made = given(5).requires_grad_()
    assert same_bits(grafted(made * 2, SPECIAL), SPECIAL)
    same = torch.tensor([True, True, False, True, False])
    mixed = grafted(made * 2, SPECIAL, same).detach()
    assert same_bits(mixed[same], SPECIAL[same]) and same_bits(mixed[~same], (made * 2).detach()[~same])


def test_a_graft_takes_its_gradient_from_what_was_made_and_so_does_the_next_gradient() -> None:
    made, steps = given(5).requires_grad_(), given(5, seed=1)
    (first,) = torch.autograd.grad(grafted(made**3, SPECIAL), made, steps, create_graph=True)
    torch.testing.assert_close(first, 3 * made**2 * steps)
    (second,) = torch.autograd.grad(first.sum(), made)
    torch.testing.assert_close(second, 6 * made * steps)


def test_a_graft_carries_tangents_too() -> None:
    value, tangent = given(5), given(5, seed=1)
    with forward_mode():
        made = grafted(forward_ad.make_dual(value, tangent) ** 2, SPECIAL)
        primal, moved = forward_ad.unpack_dual(made)
        assert moved is not None and same_bits(primal, SPECIAL)
        torch.testing.assert_close(moved, 2 * value * tangent)


def test_a_graft_may_be_written_to_and_leaves_the_output_alone() -> None:
    output = given(5)
    before = output.clone()
    made = given(5, seed=1).requires_grad_()
    torch.relu_(grafted(made * 2, output)).sum().backward()
    assert same_bits(output, before) and made.grad is not None


def test_a_graft_has_the_dtype_of_the_output() -> None:
    made, output = given(4).requires_grad_(), given(4, seed=1).bfloat16()
    assert same_bits(grafted(made * 2, output).detach(), output)
    grafted(made * 2, output).sum().backward()
    torch.testing.assert_close(made.grad, torch.full((4,), 2.0))


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_graft_is_the_same_when_checkpointing_computes_it_again(reentrant: bool) -> None:
    value, output = given(5).requires_grad_(), given(5, seed=1)
    made: Tensor = checkpoint(lambda x: grafted(x**2, output).sin(), value, use_reentrant=reentrant)
    (gradient,) = torch.autograd.grad(made.sum(), value) if not reentrant else _backward(made.sum(), value)
    torch.testing.assert_close(gradient, output.cos() * 2 * value)


def _backward(loss: Tensor, leaf: Tensor) -> tuple[Tensor]:
    loss.backward()
    assert leaf.grad is not None
    return (leaf.grad,)


class Negative(nn.Module):
    """An activation whose output is a negative zero."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.act(x)
        return made


@torch.no_grad()
def test_an_edit_that_keeps_the_value_keeps_a_negative_zero_and_infinity() -> None:
    model, x = models.open(Negative()), torch.tensor([[-20.0, 1.0, -30.0, math.inf]])
    plain = model.run(x)
    assert bool(plain[0, 0].signbit()) and plain[0, 0] == 0
    assert same_bits(model.run(x, {"act:slope": edits.stop_gradient()}), plain)
    scaled = model.run(x, {"act:slope[dim=1]": edits.scale(2.0)})
    assert same_bits(scaled[:, [0, 2, 3]], plain[:, [0, 2, 3]]) and torch.equal(scaled[:, 1], 2 * plain[:, 1])


@pytest.mark.parametrize("port", ["result", "z", "pattern", "q"])
@torch.no_grad()
def test_an_edit_leaves_the_dtypes_that_autocast_chose(port: str) -> None:
    packed = nn.Module()
    packed.self_attn = nn.MultiheadAttention(16, 2, batch_first=True)
    packed.forward = lambda x: packed.self_attn(x, x, x)[0]  # type: ignore[method-assign]
    subjects = ((gpt2(1), "layers.0.attn", tokens()), (packed.eval(), "self_attn", given(2, 5, 16)))
    for module, path, inputs in subjects:
        model = models.open(module)
        with torch.autocast("cpu", torch.bfloat16):
            plain = model.record(inputs, f"{path}:out")[f"{path}:out"].array
            for edit in (edits.stop_gradient(), edits.scale(2.0)):
                out = model.record(inputs, f"{path}:out", edits={f"{path}:{port}": edit})[f"{path}:out"].array
                assert out.dtype == plain.dtype == torch.bfloat16


# what a recording prints


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_the_norm_of_complex_values_counts_both_parts(dtype: torch.dtype) -> None:
    held = torch.complex(given(3, 4), given(3, 4, seed=1)).to(dtype)
    shown = repr(Value(parse("f:out"), held, ("batch", "dim")))
    assert f"norm {float(torch.linalg.vector_norm(held)):.4g}" in shown


# patterns computed together


@torch.no_grad()
def test_a_recorded_pattern_keeps_no_other_layers_alive() -> None:
    model = models.open(gpt2(6))
    model.record(tokens(), "layers.*.attn:pattern")  # from here on they are computed together
    recording = model.record(tokens(), "layers.*.attn:{scores,pattern}")
    for value in recording.values():
        assert value.array.untyped_storage().nbytes() == value.array.nbytes


class Mixed(nn.Module):
    """Two attentions in two dtypes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([CausalSelfAttention(), CausalSelfAttention().bfloat16()])

    def forward(self, x: Tensor) -> Tensor:
        first: Tensor = self.layers[0](x)
        second: Tensor = self.layers[1](x.bfloat16())
        return first + second


class CausalSelfAttention(nn.Module):
    def __init__(self, width: int = 16, heads: int = 2, out: nn.Module | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out_proj = out or nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        z = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.join(z.transpose(1, 2).flatten(2))

    def join(self, z: Tensor) -> Tensor:
        out: Tensor = self.out_proj(z)
        return out


@torch.no_grad()
def test_patterns_of_layers_in_several_dtypes_keep_theirs() -> None:
    torch.manual_seed(0)
    model, x = models.open(Mixed().eval()), given(2, 5, 16)
    first = model.record(x, "layers.*:pattern")
    again = model.record(x, "layers.*:pattern")
    assert [value.array.dtype for value in again.values()] == [torch.float32, torch.bfloat16]
    for site in first:
        torch.testing.assert_close(again[site].array, first[site].array)


# result, where the projection is a module of somebody's own


class Adapted(nn.Module):
    """An affine map in two parts, called by keywords that do not stand in the signature's order."""

    def __init__(self, width: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.base, self.low, self.drop = (
            nn.Linear(width, width),
            nn.Linear(width, width, bias=False),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, strength: Tensor | float = 1.0) -> Tensor:
        made: Tensor = self.base(x) + strength * self.low(self.drop(x))
        return made


def adapted(dropout: float = 0.0) -> CausalSelfAttention:
    torch.manual_seed(0)
    return CausalSelfAttention(out=Adapted(dropout=dropout)).eval()


@torch.no_grad()
def test_recording_result_fires_no_hook_of_the_users_and_draws_no_number() -> None:
    module = adapted()
    fired: list[str] = []
    for name, each in module.out_proj.named_modules():
        each.register_forward_hook(lambda *_, name=name: fired.append(name))
    everywhere = nn.modules.module.register_module_forward_hook(lambda *_: fired.append("any module"))
    try:
        x = given(2, 5, 16)
        module(x)
        plain, state = list(fired), torch.get_rng_state()
        fired.clear()
        recording = models.open(nn.Sequential(module)).record(x, "0:result", "0:out")
    finally:
        everywhere.remove()
    assert sorted(fired) == sorted([*plain, "any module"])  # the Sequential's own
    assert torch.equal(torch.get_rng_state(), state)
    total = recording["0:result"].array.sum(2) + module.out_proj.base.bias
    torch.testing.assert_close(total, recording["0:out"].array)


def test_result_of_a_projection_that_draws_is_refused_and_draws_nothing() -> None:
    model, x = models.open(nn.Sequential(adapted(0.5).train())), given(2, 5, 16)
    state = torch.get_rng_state()
    plain = model.run(x)
    for sites, edited in ((["0:result"], {}), ([], {"0:result": edits.scale(2.0)})):
        torch.set_rng_state(state)
        with pytest.raises(SiteError, match="draws random numbers"):
            model.record(x, *sites, edits=edited)
    torch.set_rng_state(state)
    assert torch.equal(model.record(x, "0:z").output, plain)


def test_gradients_reach_the_weights_of_a_projection_called_again() -> None:
    module = adapted()
    model = models.open(nn.Sequential(module))
    model.run(given(2, 5, 16), {"0:result[head=0]": edits.scale(2.0)}).sum().backward()
    assert all(each.grad is not None and bool(each.grad.any()) for each in module.out_proj.parameters())


@torch.no_grad()
def test_an_edit_of_result_keeps_the_constant_of_a_projection_without_a_bias_of_its_own() -> None:
    module, x = adapted(), given(2, 5, 16)
    model = models.open(nn.Sequential(module))
    parts = model.record(x, "0:result")["0:result"].array
    made = model.run(x, {"0:result[head=0]": edits.scale(3.0)})
    torch.testing.assert_close(made, 3 * parts[:, :, 0] + parts[:, :, 1] + module.out_proj.base.bias)


class Squashed(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).tanh()


@torch.no_grad()
def test_result_of_a_projection_that_is_not_affine_is_refused() -> None:
    model = models.open(nn.Sequential(CausalSelfAttention(out=Squashed(16, 16))))
    with pytest.raises(SiteError, match="no affine map"):
        model.record(given(2, 5, 16), "0:result")


# the first argument, wherever the caller wrote it


class ByKeywords(CausalSelfAttention):
    def join(self, z: Tensor) -> Tensor:
        out: Tensor = self.out_proj(strength=torch.tensor(2.0), x=z)
        return out


class GainLayerNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.rand(width)), nn.Parameter(torch.rand(width)), 1e-5

    def forward(self, x: Tensor, gain: Tensor) -> Tensor:
        return nn.functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class LeakyGate(nn.Module):
    def forward(self, x: Tensor, leak: Tensor) -> Tensor:
        return torch.where(x > 0, x, leak * x)


LeakyGate.__module__ = "transformers.activations"  # where ports look for other people's activations


class Parts(nn.Module):
    """A norm and an activation, each given its first argument last."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.act = GainLayerNorm(16), LeakyGate()

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(gain=torch.ones(16), x=x)
        made: Tensor = self.act(leak=torch.full((16,), 0.1), x=normed)
        return made


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_attention_without_ports_says_which_of_its_inputs_has_none() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
    nested = models.open(nn.TransformerEncoder(layer, 1).eval())
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with pytest.raises(SiteError, match="with a nested tensor") as refused:
        nested.record({"src": given(2, 5, 16), "src_key_padding_mask": padding}, "layers.0.attn:pattern")
    assert "enable_nested_tensor=False" in refused.value.hint
    for options, said in (({"add_bias_kv": True}, "add_bias_kv"), ({"add_zero_attn": True}, "add_zero_attn")):
        attention = nn.MultiheadAttention(16, 2, batch_first=True, **options).eval()
        x = given(2, 5, 16)
        with pytest.raises(SiteError, match=said):
            models.open(attention).record({"query": x, "key": x, "value": x}, ":pattern")


@torch.no_grad()
@pytest.mark.parametrize("kind", [lambda: nn.LogSoftmax(-1), nn.Softmax2d, nn.GLU, lambda: nn.Softmax(-1)])
def test_what_does_not_act_on_each_number_alone_has_no_slope(kind: Callable[[], nn.Module]) -> None:
    model = models.open(nn.Sequential(nn.Linear(4, 4), kind()).eval())
    with pytest.raises(SiteError, match="has no port 'slope'"):
        model.record(given(2, 3, 4, 4), "1:slope")


@torch.no_grad()
def test_all_of_torchs_activations_that_act_on_each_number_alone_have_a_slope() -> None:
    """Which those are is found out: one number is changed, and only its own result may change."""
    arguments: dict[str, tuple[Any, ...]] = dict.fromkeys(("Softmax", "Softmin", "LogSoftmax"), (-1,))
    arguments["Threshold"] = (0.1, 2.0)
    for kind in set(activation.__all__) - {"MultiheadAttention"}:
        module = getattr(activation, kind)(*arguments.get(kind, ())).eval()
        x = given(2, 4, 6, 6)
        other = x.clone()
        other[0, 0, 0, 0] += 1
        before, after = module(x), module(other)
        alone = before.shape == x.shape and not (before != after).flatten()[1:].any()
        assert ("slope" in {site.port for site in models.open(nn.Sequential(module)).sites("0:*")}) == alone, kind


@torch.no_grad()
def test_result_slope_and_scale_read_the_first_argument_by_the_signature() -> None:
    torch.manual_seed(0)
    x = given(2, 5, 16)
    attention = ByKeywords(out=Adapted()).eval()
    recording = models.open(nn.Sequential(attention)).record(x, "0:result", "0:out")
    total = recording["0:result"].array.sum(2) + attention.out_proj.base.bias
    torch.testing.assert_close(total, attention(x))
    recording = models.open(Parts()).record(x, "norm:scale", "act:slope", "norm:out")
    normed = recording["norm:out"].array
    torch.testing.assert_close(recording["norm:scale"].array, (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt())
    torch.testing.assert_close(recording["act:slope"].array, torch.where(normed > 0, 1.0, 0.1))


# resid_mid


class Block(nn.Module):
    """One after the other, as `forward` of the classes below may not be."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(width), CausalSelfAttention(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return self.rest(x)

    def rest(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class Parallel(Block):
    """As Pythia and GPT-J: no stream between attention and MLP."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attn(self.norm1(x)) + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class InPlace(Block):
    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        return self.added(x)

    def added(self, x: Tensor) -> Tensor:
        x += self.attn(self.norm1(x))
        return self.rest(x)


class Routed(Block):
    """Beside its norm, the stream goes to a gate that leads into the MLP."""

    def __init__(self, width: int = 16) -> None:
        super().__init__(width)
        self.chooser = nn.Linear(width, width)
        self.gated = Product()

    def rest(self, x: Tensor) -> Tensor:
        made = self.mlp(self.norm2(x))
        flat = self.chooser(x.view(-1, x.shape[-1]))
        return x + self.gated(made, flat.view(x.shape))  # type: ignore[no-any-return]


class Product(nn.Module):
    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return one * other


class Checkpointed(Block):
    def rest(self, x: Tensor) -> Tensor:
        def behind(x: Tensor) -> Tensor:
            return self.mlp(self.norm2(x))  # type: ignore[no-any-return]

        return x + checkpoint(behind, x, use_reentrant=True)  # type: ignore[operator]


class Stack(nn.Module):
    def __init__(self, kind: type[Block] = Block, count: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(kind() for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def stack(kind: type[Block] = Block, count: int = 2) -> Stack:
    torch.manual_seed(0)
    return Stack(kind, count).eval()


def test_recording_resid_mid_writes_nowhere_also_with_gradients() -> None:
    model, x = models.open(stack()), given(2, 5, 16).requires_grad_()
    before, versions = x.detach().clone(), []
    handles = [
        each.norm2.register_forward_hook(lambda _, args, __: versions.append(args[0]._version))
        for each in model.module.layers  # type: ignore[union-attr]
    ]
    recording = model.record(x, "layers.*:resid_mid")
    for handle in handles:
        handle.remove()
    assert x._version == 0 and versions == [0, 0] and torch.equal(x, before)
    assert same_bits(recording.output, model.module(x))
    held = recording["layers.1:resid_mid"].array
    (gradient,) = torch.autograd.grad(recording.output.sum(), held)
    mid = held.detach().requires_grad_()
    (true,) = torch.autograd.grad(model.module.layers[1].rest(mid).sum(), mid)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(gradient, true)


@pytest.mark.parametrize("options", [{}, {"stop": True}, {"edit": True}])
@pytest.mark.parametrize("inference", [False, True])
def test_a_parallel_block_is_refused_before_anything_is_written(options: dict[str, bool], inference: bool) -> None:
    model = models.open(stack(Parallel))
    site = "layers.0:resid_mid"
    with torch.inference_mode(inference), torch.set_grad_enabled(not inference):
        x = given(2, 5, 16)
        before = x.clone()
        with pytest.raises(SiteError, match="no resid_mid"):
            if options.get("edit"):
                model.run(x, {site: edits.zero()})
            else:
                model.record(x, site, stop=bool(options.get("stop")))
        assert torch.equal(x, before)


@pytest.mark.parametrize(("dtype", "outlier"), [(torch.bfloat16, 300), (torch.float16, 2000), (torch.float32, 1e6)])
@torch.no_grad()
def test_one_massive_number_does_not_make_every_sum_right(dtype: torch.dtype, outlier: float) -> None:
    class Late(Block):
        """The attention's output comes in behind the MLP, too: stream + MLP is not what the block returns."""

        def rest(self, x: Tensor) -> Tensor:
            return x + self.mlp(self.norm2(x)) + 0.05 * self.norm1.weight  # type: ignore[no-any-return]

    x = given(2, 5, 16).to(dtype)
    x[:, 0, 3] = outlier
    with pytest.raises(SiteError, match="no resid_mid"):
        models.open(stack(Late).to(dtype)).record(x, "layers.0:resid_mid")
    right = stack().to(dtype)
    held = models.open(right).record(x, "layers.0:resid_mid")["layers.0:resid_mid"].array
    assert torch.equal(held, x + right.layers[0].attn(right.layers[0].norm1(x)))  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("kind", [Block, InPlace, Routed])
@torch.no_grad()
def test_an_edit_of_resid_mid_is_the_block_run_on_from_there(kind: type[Block]) -> None:
    module, x = stack(kind), given(2, 5, 16)
    model = models.open(module)
    mid = model.record(x, "layers.1:resid_mid")["layers.1:resid_mid"].array
    made = model.run(x, {"layers.1:resid_mid": edits.scale(0.5)})
    assert same_bits(made, module.layers[1].rest(0.5 * mid))  # type: ignore[operator, union-attr]
    part = model.run(x, {"layers.1:resid_mid[pos=2]": edits.scale(0.5)})
    plain = module(x)
    assert same_bits(part[:, [0, 1, 3, 4]], plain[:, [0, 1, 3, 4]]) and same_bits(part[:, 2], made[:, 2])
    assert torch.equal(module(x), plain)


class Doubled(Block):
    def rest(self, x: Tensor) -> Tensor:
        return x + 2.0 * self.mlp(self.norm2(x))  # type: ignore[no-any-return]


@torch.no_grad()
def test_a_block_that_adds_something_else_than_its_last_parts_output_has_no_resid_mid() -> None:
    with pytest.raises(SiteError, match="no resid_mid"):
        models.open(stack(Doubled)).run(given(2, 5, 16), {"layers.1:resid_mid": edits.scale(0.5)})


def test_the_gradient_at_resid_mid_is_that_of_the_block_run_on_from_there() -> None:
    module, x = stack(), given(2, 5, 16)
    found = models.open(module).gradient(x, lambda out: out.square().sum(), "layers.1:resid_mid")
    mid = found.values["layers.1:resid_mid"].array.clone().requires_grad_()
    (true,) = torch.autograd.grad(module.layers[1].rest(mid).square().sum(), mid)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(found.gradients["layers.1:resid_mid"].array, true)


@torch.no_grad()
def test_resid_mid_is_there_beside_edits_of_the_parts_around_it() -> None:
    module, x = stack(), given(2, 5, 16)
    model, block = models.open(module), module.layers[1]
    changed = {"layers.1.mlp:out": edits.zero(), "layers.1.norm2:in": edits.scale(3.0)}
    recording = model.record(x, "layers.1:resid_mid", edits=changed)
    true = model.record(x, "layers.1:resid_mid")["layers.1:resid_mid"].array
    assert torch.equal(recording["layers.1:resid_mid"].array, true) and torch.equal(recording.output, true)
    both = {"layers.1:resid_mid": edits.scale(0.5), "layers.1.mlp:out": edits.scale(2.0)}
    made = 0.5 * true + 2 * block.mlp(block.norm2(0.5 * true))  # type: ignore[operator, union-attr]
    torch.testing.assert_close(model.run(x, both), made)


def test_an_edit_that_checkpointing_would_count_twice_is_refused() -> None:
    x = given(2, 5, 16).requires_grad_()
    before = x.detach().clone()
    model = models.open(stack(Checkpointed).train())
    with pytest.raises(SiteError, match="count twice"):
        model.run(x, {"layers.0:resid_mid": edits.scale(0.5)})
    assert torch.equal(x, before)


# formulas, number by number


def test_agreement_is_asked_of_every_row_and_column() -> None:
    truth = given(4, 6, 8)
    truth[:, 0, 3] = 1e4
    assert agree(truth * (1 + 1e-6), truth)
    for place in ((1, 2, 5), (1, 0, 5), (1, 2, 3)):  # beside it in neither, its row, its column
        wrong = truth.clone()
        wrong[place] = truth[place] + 0.5
        assert not agree(wrong, truth), place
    assert not agree(truth.clone().fill_(math.nan), truth)


class HalvedRMSNorm(nn.Module):
    """Follows no formula that we know."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), 1e-6

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * torch.where(x.abs() > 100, 1.0, 0.5)


@torch.no_grad()
def test_a_norm_is_not_taken_for_another_because_one_number_is_massive() -> None:
    x = given(2, 5, 64)
    x[..., 3] = 1e5
    with pytest.raises(SiteError, match="none of the known formulas"):
        models.open(nn.Sequential(HalvedRMSNorm(64))).record(x, "0:scale")


class PlainLayerNorm(nn.LayerNorm):
    """Every step rounded to the dtype of the input, as without a fused kernel."""

    def forward(self, input: Tensor) -> Tensor:
        middle = input - input.mean(-1, keepdim=True)
        scaled = middle / torch.sqrt(middle.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled + self.bias


@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.RMSNorm, PlainLayerNorm])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("outlier", [0.0, 200.0])
@torch.no_grad()
def test_no_norm_is_refused_for_its_rounding(kind: type[nn.Module], dtype: torch.dtype, outlier: float) -> None:
    torch.manual_seed(0)
    norm = kind(384)  # type: ignore[call-arg]
    for parameter in norm.parameters():
        parameter.normal_()
    for size, middle in ((0.01, 0.0), (1.0, 5.0), (10.0, 0.0)):
        x = (size * given(2, 9, 384) + middle).to(dtype)
        x[:, 0, 3] += outlier
        found = models.open(nn.Sequential(norm.to(dtype))).record(x, "0:scale")["0:scale"].array.double()
        wide = x.double() - (0 if kind is nn.RMSNorm else x.double().mean(-1, keepdim=True))
        default = torch.finfo(torch.promote_types(dtype, torch.float32)).eps if kind is nn.RMSNorm else 1e-5
        torch.testing.assert_close(found, (wide.square().mean(-1, keepdim=True) + default).sqrt(), rtol=1e-4, atol=0.0)


# what vouches for a pattern


SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 60,
}  # fmt: skip


def mistral(window: int = 4, kernel: str = "sdpa") -> nn.Module:
    torch.manual_seed(0)
    module = hf.MistralForCausalLM(hf.MistralConfig(**SIZES, sliding_window=window))
    module.config._attn_implementation = kernel
    return spread(module.eval())


Kernel = Callable[..., tuple[Tensor, None]]


@pytest.fixture
def register() -> Iterator[Callable[[str, Kernel], None]]:
    names: list[str] = []

    def under(name: str, kernel: Kernel) -> None:
        ALL_ATTENTION_FUNCTIONS[name] = kernel
        names.append(name)

    yield under
    for name in names:
        del ALL_ATTENTION_FUNCTIONS[name]


def windowed(_: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, scaling: float, sliding_window: int, **__: Any) -> Any:
    """As flash attention: no mask, the window is an argument."""
    number = torch.arange(q.shape[2])
    apart = number[:, None] - number
    k, v = (each.repeat_interleave(q.shape[1] // each.shape[1], 1) for each in (k, v))
    allowed = (apart >= 0) & (apart < sliding_window)
    return nn.functional.scaled_dot_product_attention(q, k, v, allowed, scale=scaling).transpose(1, 2), None


def off(recording: Recording) -> float:
    """How far the recorded pattern is from giving the recorded z."""
    pattern, v, z = (recording[f"layers.0.attn:{port}"].array for port in ("pattern", "v", "z"))
    return float((torch.einsum("bhqk,bkhd->bqhd", pattern, v.repeat_interleave(2, 2)) - z).abs().max())


@torch.no_grad()
def test_a_window_given_to_the_kernel_is_in_the_pattern(register: Callable[[str, Kernel], None]) -> None:
    register("windowed", windowed)
    model = models.open(mistral(4, "windowed"))
    for length in (3, 12, 5):
        recording = model.record(tokens(pos=length), "layers.0.attn:{pattern,v,z}")
        assert off(recording) < 1e-6
        band = recording["layers.0.attn:pattern"].array.ne(0).float().mean((0, 1))
        assert torch.equal(band, torch.ones(length, length).tril().triu(-3))
    site, part = "layers.0.attn:pattern", "layers.0.attn:pattern[head=2,pos=-1]"
    true = models.open(mistral(4, "sdpa")).record(tokens(pos=12), site)[site]
    found = model.record(tokens(pos=12), site, part)
    torch.testing.assert_close(found[site].array, true.array)
    torch.testing.assert_close(found[part].array, true.at(head=2, pos=-1).array)


@torch.no_grad()
def test_a_window_that_the_kernel_was_not_told_of_is_found_out_at_the_length_where_it_shows(
    register: Callable[[str, Kernel], None],
) -> None:
    def hidden(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, scaling: float, **_: Any) -> Any:
        return windowed(module, q, k, v, mask, scaling, 4)

    register("hidden", hidden)
    model = models.open(mistral(100, "hidden"))
    assert off(model.record(tokens(pos=4), "layers.0.attn:{pattern,v,z}")) < 1e-6
    for length in (5, 12):
        with pytest.raises(SiteError, match="does something that its arguments do not tell"):
            model.record(tokens(pos=length), "layers.0.attn:pattern")


@torch.no_grad()
def test_a_kernel_that_comes_later_needs_a_certificate_of_its_own(register: Callable[[str, Kernel], None]) -> None:
    def blind(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, scaling: float, **_: Any) -> Any:
        return windowed(module, q, k, v, mask, 2 * scaling, 100)

    module = mistral(100)
    model = models.open(module)
    model.record(tokens(), "layers.0.attn:pattern")
    blind.__module__ = "transformers.integrations.made_up"
    register("sdpa", blind)
    with pytest.raises(SiteError, match="does something that its arguments do not tell"):
        model.record(tokens(), "layers.0.attn:pattern")


@torch.no_grad()
def test_a_certificate_for_one_head_vouches_for_no_other(register: Callable[[str, Kernel], None]) -> None:
    def partly(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, scaling: float, **_: Any) -> Any:
        z, _ = windowed(module, q, k, v, mask, scaling, 100)
        return torch.cat([z[:, :, :3], 1.1 * z[:, :, 3:]], 2), None

    partly.__module__ = "transformers.integrations.made_up"
    register("sdpa", partly)
    model = models.open(mistral(100))
    model.record(tokens(), "layers.0.attn:pattern[head={0,2}]")
    model.record(tokens(), "layers.0.attn:pattern[head=2]", stop=True)
    for wrong in ("[head=3]", "", "[head={2,3}]"):
        with pytest.raises(SiteError, match="does something that its arguments do not tell"):
            model.record(tokens(), f"layers.0.attn:pattern{wrong}")


@torch.no_grad()
def test_an_argument_that_nobody_knows_leaves_q_k_v_and_z_and_no_pattern(
    register: Callable[[str, Kernel], None],
) -> None:
    module = mistral(100)
    inner = module.model.layers[0].self_attn  # type: ignore[union-attr, index]
    handle = inner.register_forward_pre_hook(lambda _, a, k: (a, {**k, "block_table": 1}), with_kwargs=True)
    model = models.open(module)
    try:
        model.record(tokens(), "layers.0.attn:{q,k,v,z}")
        for port in ("scores", "pattern"):
            with pytest.raises(SiteError, match="block_table") as refused:
                model.record(tokens(), f"layers.0.attn:{port}")
            assert "q, k, v and z can be had" in refused.value.hint
    finally:
        handle.remove()
    model.record(tokens(), "layers.0.attn:pattern")


def attention_call(**changed: Any) -> Call:
    q, k, v = given(2, 4, 6, 8), given(2, 4, 6, 8, seed=1), given(2, 4, 6, 8, seed=2)
    return replace(Call(q, k, v, lambda *_: q, scale=0.3, causal=True, by="kernel"), **changed)


def test_a_certificate_covers_only_calls_of_its_kind() -> None:
    certificates, call = Certificates(), attention_call()
    every = Cells((2, 4, 6, 6), None, None, None)
    some = Cells((2, 4, 6, 6), None, torch.tensor([1, 2]), torch.tensor([5]))
    certificates.add(call, some)
    assert certificates.cover(call, some) and not certificates.cover(call, every)
    certificates.add(call, every)
    assert certificates.cover(call, every) and certificates.cover(attention_call(scale=0.5), some)
    longer = given(2, 4, 9, 8)
    others: list[dict[str, Any]] = [
        {"by": "another"}, {"causal": False}, {"window": 3}, {"softcap": 5.0}, {"mask": given(2, 1, 6, 6)},
        {"bias": given(2, 4, 6, 6)}, {"sinks": given(4)}, {"q": longer, "k": longer, "v": longer}, {"told": False},
        {"q": given(2, 4, 6, 8).bfloat16()}, {"q": given(2, 4, 1, 8)},
    ]  # fmt: skip
    for changed in others:
        assert not certificates.cover(attention_call(**changed), every), changed
    assert certificates.cover(attention_call(q=longer[:, :, :7], k=longer[:, :, :7], v=longer[:, :, :7]), every)


# axes


class Sequence(nn.Module):
    """torch's default: positions first, everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(60, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(self.embed(ids)))
        return out


class Turned(Sequence):
    """Batch first outside, as many write it."""

    def forward(self, ids: Tensor) -> Tensor:
        x = self.encoder(self.embed(ids).transpose(0, 1))
        out: Tensor = self.head(x.transpose(0, 1))
        return out


class Undecided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(60, 16)
        self.first = nn.Sequential(nn.LSTM(16, 16, batch_first=True))
        self.other = nn.ModuleDict({"norm": nn.LayerNorm(16), "rnn": nn.GRU(16, 16)})

    def forward(self, ids: Tensor) -> Tensor:
        x, _ = self.first(self.embed(ids))
        x, _ = self.other["rnn"](self.other["norm"](x))
        return x  # type: ignore[no-any-return]


def axes_of(module: nn.Module, inputs: Tensor, *sites: str) -> list[str]:
    torch.manual_seed(0)
    recording = models.open(module.eval()).record(inputs, *sites)
    return [" ".join(value.axes) for value in recording.values()]


@torch.no_grad()
def test_positions_come_first_throughout_a_model_whose_attention_says_so() -> None:
    module, ids = Sequence(), tokens(3, 5).T
    sites = ("embed:in", "embed:out", "encoder:out", "encoder.layers.0.linear1:out", "head:out")
    found = axes_of(module, ids, *sites)
    assert found == ["pos batch", *["pos batch dim"] * 4]
    model = models.open(module)
    edited = model.run(ids, {"embed:out[pos=-1]": edits.zero()})
    embedded = module.embed(ids)
    embedded[-1] = 0
    torch.testing.assert_close(edited, module.head(module.encoder(embedded)))


@torch.no_grad()
def test_what_code_turns_or_modules_disagree_about_is_not_named() -> None:
    ids = tokens(3, 5)
    found = axes_of(Turned(), ids, "embed:in", "embed:out", "encoder:in", "encoder.layers.0:out", "head:out")
    assert found == ["axis0 axis1", "axis0 axis1 dim", "pos batch dim", "pos batch dim", "axis0 axis1 dim"]
    found = axes_of(Undecided(), ids, "embed:out", "first:in", "other.norm:out", "other.rnn:in")
    assert found == ["axis0 axis1 dim", "batch pos dim", "pos batch dim", "pos batch dim"]


def qwen3() -> nn.Module:
    return hf.Qwen3ForCausalLM(hf.Qwen3Config(**SIZES, head_dim=8))


def gemma3() -> nn.Module:
    return hf.Gemma3ForCausalLM(hf.Gemma3TextConfig(**SIZES, head_dim=8))


def mixtral() -> nn.Module:
    return hf.MixtralForCausalLM(hf.MixtralConfig(**SIZES, num_local_experts=4))


@torch.no_grad()
def test_norms_of_q_and_k_have_heads_and_no_channels() -> None:
    sites = [f"layers.0.attn.{norm}:{port}" for norm in ("q_norm", "k_norm") for port in ("in", "out", "scale")]
    assert set(axes_of(qwen3(), tokens(3, 7), *sites)) == {"batch pos head dim"}
    assert set(axes_of(gemma3(), tokens(3, 7), *sites)) == {"batch head pos dim"}
    assert set(axes_of(qwen3(), tokens(3, 4), *sites[:3])) == {"axis0 axis1 axis2 axis3"}  # as many heads as positions


@torch.no_grad()
def test_tokens_of_all_examples_in_one_row_are_no_batch() -> None:
    module, site = mixtral(), "layers.0.mlp.gate:in"
    assert axes_of(module, tokens(3, 7), site, "layers.0.mlp.gate:out.2", "layers.0.mlp:in") == [
        "token dim", "token dim", "batch pos dim",
    ]  # fmt: skip
    model = models.open(module)
    held = model.record(tokens(3, 7), site, f"{site}[token=9]")
    assert torch.equal(held[f"{site}[token=9]"].array, held[site].array[9])
    with pytest.raises(SiteError, match="axis batch"):
        model.run(tokens(3, 7), {site: edits.resample(0)})


class Pictures(nn.Module):
    """Convolutions, and attention with four axes of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())
        self.attn = HeadsApart()
        self.leave = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        made: Tensor = self.leave(self.attn(x.flatten(2).transpose(1, 2)))
        return made.transpose(1, 2).unflatten(2, x.shape[2:])


class HeadsApart(CausalSelfAttention):
    def __init__(self) -> None:
        super().__init__()
        self.softened = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        z = nn.functional.scaled_dot_product_attention(self.softened(q), k, v)
        return self.join(z.transpose(1, 2).flatten(2))


@torch.no_grad()
def test_four_axes_are_images_behind_convolutions_only() -> None:
    found = axes_of(Pictures(), given(2, 3, 6, 6), ":in", "stem.1:out", "attn.softened:out", "attn:out", ":out")
    image = "batch channel height width"
    assert found == [image, image, "axis0 axis1 axis2 axis3", "batch pos dim", image]
    assert axes_of(nn.Sequential(nn.Identity()), given(2, 3, 6, 6), "0:out") == ["axis0 axis1 axis2 axis3"]


class Halves(Block):
    """The stream is one half of a larger tensor; the other half goes to a part of its own."""

    def __init__(self, width: int = 16) -> None:
        super().__init__(width)
        self.aside, self.gated = nn.Linear(width, width), Product()

    def rest(self, x: Tensor) -> Tensor:
        both = torch.stack([x, -x])
        stream, other = both[0], both[1]
        return stream + self.gated(self.mlp(self.norm2(stream)), self.aside(other))  # type: ignore[no-any-return]


@torch.no_grad()
def test_what_only_lies_beside_the_stream_in_memory_is_not_edited_with_it() -> None:
    module, x, site = stack(Halves), given(2, 5, 16), "layers.1:resid_mid"
    model, block = models.open(module), module.layers[1]
    mid = 0.5 * model.record(x, site)[site].array
    made = mid + block.mlp(block.norm2(mid)) * block.aside(-2 * mid)  # type: ignore[operator, union-attr]
    assert same_bits(model.run(x, {site: edits.scale(0.5)}), made)
