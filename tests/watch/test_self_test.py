"""Before the first step: every tap must have seen data. Each way in which one may not is tried here, and all raise."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from watch.loops import CORPUS, RECIPE, TRUSTED, Marked, Scripted

from darklantern.errors import DarkLanternError, SiteError, WatchError
from darklantern.models.snapshot import weights_hash
from darklantern.watch import watch

WIDTH = 8


class Base(nn.Module):
    """Embeds, runs `part` as a subclass says, and unembeds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.part, self.head = nn.Embedding(256, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.middle(self.embed(tokens)))

    def middle(self, x: Tensor) -> Tensor:
        return self.part(x)


class Unused(Base):
    def middle(self, x: Tensor) -> Tensor:
        return x


class ByItsWeights(Base):
    def middle(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.part.weight, self.part.bias)


class PastItsHooks(Base):
    def middle(self, x: Tensor) -> Tensor:
        return self.part.forward(x)


class OnlyInTraining(Base):
    def middle(self, x: Tensor) -> Tensor:
        return self.part(x) if self.training else x


class OnlyWithGradients(Base):
    def middle(self, x: Tensor) -> Tensor:
        return self.part(x) if torch.is_grad_enabled() else x


class InTorchScript(Base):
    def __init__(self) -> None:
        super().__init__()
        self.part = torch.jit.script(nn.Sequential(nn.Linear(WIDTH, WIDTH)))


class CheckpointedPastItsHooks(Base):
    def middle(self, x: Tensor) -> Tensor:
        return checkpoint(self.part.forward, x, use_reentrant=False)


class UnderVmap(Base):
    def middle(self, x: Tensor) -> Tensor:
        return torch.func.functional_call(self.twin[0], dict(self.part.named_parameters()), (x,))

    def __init__(self) -> None:
        super().__init__()
        self.twin = [nn.Linear(WIDTH, WIDTH)]  # in a list: no part of the module's tree


class WithoutABatch(Base):
    def middle(self, x: Tensor) -> Tensor:
        return x + self.part(x.mean((0, 1)))


class Nothing(Base):
    def forward(self, tokens: Tensor) -> None:
        super().forward(tokens)


class NotFinite(Base):
    def middle(self, x: Tensor) -> Tensor:
        return self.part(x) * float("nan")


class Fails(Base):
    def middle(self, x: Tensor) -> Tensor:
        raise RuntimeError("no such kernel")


def replaced(model: nn.Module) -> None:
    """After the watch was attached: what it has hooks for is no part of the model any more."""
    model.part = nn.Linear(WIDTH, WIDTH)


FAULTS: dict[str, tuple[Callable[[], nn.Module], str, type[DarkLanternError], str]] = {
    "no such site": (Base, "layers.7:out", SiteError, r"layers\.7"),
    "no such port": (Base, "part:pattern", SiteError, "part"),
    "a pattern that names nothing": (Base, "part.*:out", SiteError, "part"),
    "a part that forward never calls": (Unused, "part:out", SiteError, "part:out"),
    "a part of which only the weights are used": (ByItsWeights, "part:out", SiteError, "part:out"),
    "a part whose forward is called past its hooks": (PastItsHooks, "part:out", SiteError, "part:out"),
    "checkpointing of a forward past its hooks": (CheckpointedPastItsHooks, "part:out", SiteError, "part:out"),
    "a part that runs in training only": (OnlyInTraining, "part:out", SiteError, "part:out"),
    "a part that runs with gradients only": (OnlyWithGradients, "part:out", SiteError, "part:out"),
    "a functional call of another module": (UnderVmap, "part:out", SiteError, "part:out"),
    "a value without a batch axis": (WithoutABatch, "part:out", WatchError, "site part:out carries"),
    "no output": (Nothing, "", WatchError, "expected the model to give logits"),
    "a value that is not finite": (NotFinite, "head:out", WatchError, "read Reading"),
    "a forward that fails": (Fails, "part:out", WatchError, "Fails cannot run the watch's rows.*no such kernel"),
}


class Looks(Scripted):
    """The mean of one site, or of the output."""

    def __init__(self, site: str) -> None:
        super().__init__(lambda look: 0.0, sites=(site,) if site else (), seen=site)
        self.output = not site

    def read(self, seen):
        from darklantern.watch import Reading

        return (Reading(float(np.mean(seen[self.seen] if self.seen else seen.output))),)


def begun(model: nn.Module, site: str, then: Callable[[nn.Module], None] = lambda model: None):
    """A loop that gets its first batch, if it does."""
    optimizer, loader = torch.optim.SGD(model.parameters(), 0.1), Marked(CORPUS, RECIPE, (1,))
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[Looks(site)])
    then(model)
    return next(w.over(loader)), loader


@pytest.mark.parametrize("fault", FAULTS)
def test_every_missing_tap_raises_before_the_first_step(fault: str) -> None:
    make, site, error, match = FAULTS[fault]
    model = make()
    before = weights_hash(model)
    optimizer, loader = torch.optim.SGD(model.parameters(), 0.1), Marked(CORPUS, RECIPE, (1,))
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[Looks(site)])
    with pytest.raises(error, match=match):
        next(w.over(loader))
    assert loader.state()["step"] == 0, "the batch went back"
    assert weights_hash(model) == before
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules()), "no hook is left"


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_without_a_fault_the_same_loop_begins(compiled: bool) -> None:
    """Also where compiling would have dropped the hooks: the model was compiled, and has run, before the watch came."""
    torch._dynamo.reset()
    model = Base()
    if compiled:
        model.compile(backend="eager", fullgraph=True)
        model(torch.zeros(1, 4, dtype=torch.int64))
    batch, loader = begun(model, "part:out")
    assert batch.shape == (RECIPE.batch, RECIPE.width)
    assert loader.state()["step"] == 1


def test_a_part_that_is_replaced_after_attaching_raises() -> None:
    with pytest.raises(SiteError, match="part is another module than when this model was opened"):
        begun(Base(), "part:out", then=replaced)


def test_a_lens_without_a_readout_raises() -> None:
    model = Base()
    loader = Marked(CORPUS, RECIPE, (1,))
    probe = Scripted(lambda look: 0.0, sites=("part:out",), lenses=("part:out",), seen="part:out")
    w = watch(model, state=(torch.optim.SGD(model.parameters(), 0.1), loader), trusted=TRUSTED, signals=[probe])
    with pytest.raises(WatchError, match="Base has no method `readout`") as caught:
        next(w.over(loader))
    assert "dl.watch(model, ..., readout=lambda residual: " in caught.value.hint


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_what_runs_past_every_hook_is_refused_when_attaching() -> None:
    for model, match in (
        (nn.DataParallel(Base()), "nn.DataParallel runs copies"),
        (InTorchScript(), "part is TorchScript, which runs past every hook"),
        (torch.jit.script(Base().part), "this model is TorchScript"),
    ):
        with pytest.raises(DarkLanternError, match=match):
            watch(model, trusted=TRUSTED, signals=[Looks("part:out")])


def test_a_part_that_stops_being_called_later_is_said_at_the_next_look() -> None:
    """No silence in the middle of a run either."""

    class Ends(Base):
        calls = 0

        def middle(self, x: Tensor) -> Tensor:
            self.calls += 1
            return self.part(x) if self.calls < 8 else x

    from darklantern.watch import Settings

    model = Ends()
    optimizer, loader = torch.optim.SGD(model.parameters(), 0.1), Marked(CORPUS, RECIPE, (1,))
    settings = Settings(every=3, on_failure="raise")
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[Looks("part:out")], settings=settings)
    with pytest.raises(SiteError, match="part:out"):
        for batch in w.over(loader):
            model(batch[:, :-1])
    assert w.step == 6
