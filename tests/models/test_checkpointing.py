"""Gradients under activation checkpointing: the recomputed pass must see the edits of the first, and nobody else's."""

import gc
from collections.abc import Callable, Iterator

import pytest
import torch
from subjects import hooks, llama, tokens
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits
from darklantern.models.on_torch.opened import Model

pytestmark = [
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad"),  # regions in regions, torch's own words
    pytest.mark.filterwarnings("ignore:`?use_cache=True"),
]

EDITS = {
    "layers.1.attn:out": edits.scale(0.5),
    "layers.2.attn:pattern[head=1]": edits.scale(0.3),
    "layers.1.norm1:scale": edits.scale(1.2),
    "layers.2.attn:z[head=0,pos=2]": edits.zero(),
    "layers.0.attn:result[head=2]": edits.scale(2.0),
    "layers.1:resid_mid": edits.add(torch.ones(32)),
    "layers.2.attn:q[head=3]": edits.scale(0.1),
}
SITES = ("layers.*:out", "layers.*.attn:{q,pattern,z}", "layers.1.norm1:scale", "layers.2.attn:z[head=1,pos=3]")


def loss(output: object) -> Tensor:
    return output.logits.log_softmax(-1)[..., 7].mean()  # type: ignore[attr-defined]


@pytest.fixture(params=[False, True], ids=["non-reentrant", "reentrant"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[nn.Module, nn.Module]]:
    """The same model without and with checkpointing."""
    plain, checkpointed = (llama(use_cache=False).double().train() for _ in range(2))
    checkpointed.activation_checkpointing_enable({"use_reentrant": request.param})
    yield plain, checkpointed


def gradients(model: nn.Module, run: Callable[[], Tensor]) -> list[Tensor]:
    model.zero_grad()
    run().backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_parameters_get_the_gradients_of_a_run_without_checkpointing(pair: tuple[nn.Module, nn.Module]) -> None:
    true, found = (gradients(each, lambda each=each: loss(models.open(each).run(tokens(), EDITS))) for each in pair)
    assert all(map(torch.equal, true, found))
    unedited = gradients(pair[0], lambda: loss(pair[0](tokens())))
    assert not all(map(torch.equal, true, unedited))


def test_sites_get_the_gradients_of_a_run_without_checkpointing(pair: tuple[nn.Module, nn.Module]) -> None:
    true, found = (models.open(each).gradient(tokens(), loss, *SITES, edits=EDITS) for each in pair)
    assert list(true.gradients) == list(found.gradients)
    for site in true.gradients:
        assert torch.equal(true.values[site].array, found.values[site].array), site
        assert torch.equal(true.gradients[site].array, found.gradients[site].array), site
    assert all(parameter.grad is None for parameter in pair[1].parameters())


def test_two_graphs_at_once_each_see_their_own_edits(pair: tuple[nn.Module, nn.Module]) -> None:
    plain, checkpointed = pair
    other = {"layers.1.attn:out": edits.scale(3.0)}
    true = [gradients(plain, lambda e=e: loss(models.open(plain).run(tokens(), e))) for e in (EDITS, other, None)]
    graphs = [loss(models.open(checkpointed).run(tokens(), e)) for e in (EDITS, other)]
    graphs.append(loss(checkpointed(tokens())))
    for number in (1, 2, 0):
        found = gradients(checkpointed, lambda number=number: graphs[number])
        assert all(map(torch.equal, true[number], found)), number


def test_hooks_stay_as_long_as_the_graph_and_no_longer(pair: tuple[nn.Module, nn.Module]) -> None:
    before = [hooks(each) for each in pair]
    output = [loss(models.open(each).run(tokens(), EDITS)) for each in pair]
    assert hooks(pair[0]) == before[0]
    assert hooks(pair[1]) > before[1]
    del output
    gc.collect()
    assert hooks(pair[1]) == before[1]
    models.open(pair[1]).gradient(tokens(), loss, *SITES, edits=EDITS)
    gc.collect()
    assert hooks(pair[1]) == before[1]


class Nested(nn.Module):
    """A checkpointed region inside a checkpointed region, and one module that runs twice."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return self.region(self.outer, x)

    def outer(self, x: Tensor) -> Tensor:
        return torch.tanh(self.c(self.region(self.inner, self.a(x))))

    def inner(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.b(x)))

    def region(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return function(x) if self.reentrant is None else checkpoint(function, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [False, True])
def test_regions_inside_regions_and_modules_that_run_twice(reentrant: bool) -> None:
    changes = {"a:out": edits.scale(0.5), "b#*:out": edits.scale(2.0), "c:out": edits.add(torch.ones(4))}
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def found(model: Nested) -> list[Tensor]:
        return gradients(model, lambda: models.open(model).run(x, changes).square().sum())

    assert all(map(torch.equal, found(Nested(None)), found(Nested(reentrant))))


@pytest.mark.parametrize("reentrant", [False, True])
def test_one_call_of_several_cannot_be_told_when_calls_run_again(reentrant: bool) -> None:
    x = torch.randn(3, 4, requires_grad=True)
    with pytest.raises(SiteError, match="lies in a checkpointed part"):
        models.open(Nested(reentrant)).run(x, {"b#1:out": edits.zero()})


def test_where_torch_no_longer_tells_hooks_stay_with_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darklantern.models.on_torch.lasting._top", None)
    model = Nested(None)
    x = torch.randn(3, 4, requires_grad=True)
    output = Model(model).run(x, {"a:out": edits.scale(0.5)})
    assert hooks(model) == 1
    del output
    gc.collect()
    assert hooks(model) == 0
