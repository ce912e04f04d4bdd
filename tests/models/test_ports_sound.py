"""What taps compute beside a model is right or refused, and leaves everything else as it was."""

import math

import pytest
import torch
from subjects import gpt2, tokens
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from darklantern import models
from darklantern.models import edits
from darklantern.models.on_torch.forward_mode import forward_mode
from darklantern.models.on_torch.verifying import grafted
from darklantern.models.recording import Value
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
