"""Each edit by its definition, on values known in full."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import darklantern as dl
from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits
from darklantern.models.on_torch.opened import Model

AXES = ("batch", "pos", "dim")


@pytest.fixture
def value() -> Tensor:
    return torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0))


def identity() -> Model:
    return models.open(nn.Sequential(nn.Identity()))


def applied(edit: object, value: Tensor, site: str = "0:out") -> Tensor:
    return identity().run(value, {site: edit})


def test_ablations(value: Tensor) -> None:
    assert torch.equal(applied(dl.zero(), value), torch.zeros_like(value))
    assert torch.equal(applied(dl.mean(), value), value.mean(0, keepdim=True).expand_as(value))
    other = identity().record(value * 3 + 1, "0:out")
    torch.testing.assert_close(applied(dl.mean(of=other), value), (value * 3 + 1).mean(0).expand_as(value))


@given(count=st.integers(2, 40), seed=st.integers(0, 1000))
def test_resampling_gives_every_example_anothers_value_once(count: int, seed: int) -> None:
    value = torch.arange(float(count)).view(count, 1, 1)
    moved = edits.resample(seed)(value, AXES).flatten()
    assert sorted(moved.tolist()) == list(range(count))
    assert not (moved == value.flatten()).any()
    assert torch.equal(moved, edits.resample(seed)(value, AXES).flatten())


def test_steering(value: Tensor) -> None:
    direction = torch.tensor([3.0, 4.0, 0, 0, 0, 0])
    assert torch.equal(applied(dl.add(direction), value), value + direction)
    assert torch.equal(applied(dl.add(direction, scale=2.0), value), value + 2 * direction)
    moved = applied(dl.add(direction, norm=0.5), value) - value
    torch.testing.assert_close(moved.norm(dim=-1), 0.5 * value.norm(dim=-1))
    torch.testing.assert_close(moved, moved.norm(dim=-1, keepdim=True) * direction / 5)
    assert torch.equal(applied(dl.scale(3.0), value), 3 * value)
    assert torch.equal(applied(dl.scale(torch.arange(6.0)), value), value * torch.arange(6.0))


def test_projections_split_a_value_in_two(value: Tensor) -> None:
    directions = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    without, only = applied(dl.project(directions), value), applied(dl.project(directions, keep=True), value)
    torch.testing.assert_close(without + only, value)
    torch.testing.assert_close(without @ directions.T, torch.zeros(4, 3, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(applied(dl.project(directions), without), without)
    torch.testing.assert_close(
        applied(dl.project(3 * directions[0]), value), applied(dl.project(directions[:1]), value)
    )


def test_directions_that_depend_on_each_other_take_no_more_than_they_span(value: Tensor) -> None:
    direction = torch.randn(6, generator=torch.Generator().manual_seed(1))
    once = applied(dl.project(direction), value)
    for same in (torch.stack([direction, 2 * direction]), torch.stack([direction, 0 * direction])):
        torch.testing.assert_close(applied(dl.project(same), value), once)
    with pytest.raises(SiteError, match="all directions are zero"):
        dl.project(torch.zeros(6))


def test_patches_from_another_recording(value: Tensor) -> None:
    model = identity()
    other = model.record(-value, "0:out", "0:in")
    assert torch.equal(model.run(value, {"0:out": dl.take(other)}), -value)
    patched = model.run(value, {"0:out[batch={1,3},pos=0:2]": dl.take(other)})
    expected = value.clone()
    expected[[1, 3], :2] *= -1
    assert torch.equal(patched, expected)
    assert torch.equal(model.run(value, {"0:out": dl.take(other, "0:in")}), -value)
    assert torch.equal(model.run(value, {"0:out": dl.put(other["0:out"])}), -value)


def test_edits_at_one_site_apply_in_their_order_and_recordings_show_what_flowed_on(value: Tensor) -> None:
    model = identity()
    changes = {"0:out": dl.scale(2.0), "0:out[pos=1]": dl.zero(), "0:out[pos=2]": dl.add(torch.ones(6))}
    recording = model.record(value, "0:out", "0:in", edits=changes)
    expected = 2 * value
    expected[:, 1] = 0
    expected[:, 2] += 1
    assert torch.equal(recording["0:out"].array, expected)
    assert torch.equal(recording["0:in"].array, value)
    assert torch.equal(recording.output, expected)
    again = model.edited({"0:in": dl.scale(3.0)}).edited({"0:out": dl.add(torch.ones(6))})
    assert torch.equal(again.run(value), 3 * value + 1)
    assert torch.equal(again.run(value, {"0:out": dl.zero()}), torch.zeros_like(value))
    assert torch.equal(model.run(value), value)


def test_gradients_flow_through_edits_to_what_they_were_made_of(value: Tensor) -> None:
    direction = torch.ones(6, requires_grad=True)
    identity().run(value, {"0:out[pos=1]": dl.add(direction)}).square().sum().backward()
    torch.testing.assert_close(direction.grad, 2 * (value[:, 1] + 1).sum(0))
    x = value.clone().requires_grad_()
    identity().run(x, {"0:out[batch=2]": dl.stop_gradient()}).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad[2], torch.zeros(3, 6))
    assert torch.equal(x.grad[[0, 1, 3]], torch.ones(3, 3, 6))


def test_an_edit_prints_what_it_is() -> None:
    shown = [str(each) for each in (dl.zero(), dl.scale(0.5), dl.add(torch.ones(3), norm=0.3), dl.resample(seed=4))]
    assert shown == ["zero", "scale(0.5)", "add((3,), norm=0.3)", "resample(seed=4)"]
    assert str(dl.project(torch.eye(3)[:2], keep=True)) == "project(2 directions, keep)"
