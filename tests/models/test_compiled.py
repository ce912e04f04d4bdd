"""Compiled models: a plan from before survives, a hook that would be dropped is refused, or the model runs eagerly."""

from collections.abc import Iterator

import pytest
import torch
from subjects import hooks, llama, tokens
from torch import Tensor, nn

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler warns about torch itself
CHANGES = {"layers.1.mlp:out[pos=2]": edits.zero(), "layers.0:out": edits.scale(1.1)}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@torch.no_grad()
def test_a_plan_declared_before_compiling_is_part_of_one_graph() -> None:
    module = llama(use_cache=False)
    model = models.open(module)
    sites = ("layers.*:out", "layers.1.mlp:neurons[pos=-1]")
    true = model.record(tokens(), *sites, edits=CHANGES)
    with model.declare(*sites, edits=CHANGES) as declared:
        compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
        for _ in range(2):
            output = compiled(tokens()).logits
            found = declared.recording()
            assert torch.equal(output, true.output.logits)
            assert list(found) == list(true)
            for site in true:
                assert found[site].axes == true[site].axes
                assert torch.equal(found[site].array, true[site].array)
    assert hooks(module) == 0
    assert torch.equal(compiled(tokens()).logits, module(tokens()).logits)


@torch.no_grad()
def test_a_plan_declared_after_compiling_is_compiled_in() -> None:
    module = llama(use_cache=False)
    compiled = torch.compile(module, backend="eager")
    plain = compiled(tokens()).logits
    model = models.open(module)
    for factor in (1.1, 0.3):
        changes = {"layers.1:out": edits.scale(factor)}
        true = model.record(tokens(), "layers.2:in", edits=changes)
        with model.declare("layers.2:in", edits=changes) as declared:
            with pytest.raises(SiteError, match="nothing came through") as refused:
                declared.recording()
            assert "call the compiled module first" in refused.value.hint
            assert torch.equal(compiled(tokens()).logits, true.output.logits)
            assert torch.equal(declared.recording()["layers.2:in"].array, true["layers.2:in"].array)
        assert torch.equal(compiled(tokens()).logits, plain)


@torch.no_grad()
def test_what_is_compiled_can_run_eagerly_while_one_looks() -> None:
    module = llama(use_cache=False)
    true = models.open(module).record(tokens(), "layers.1:out", "layers.1.attn:pattern")
    compiled = torch.compile(module, backend="eager")
    compiled(tokens())
    with pytest.raises(SiteError, match=r"torch\.compile"):
        models.open(compiled)
    found = models.open(compiled, compiled="eager").record(tokens(), "layers.1:out", "layers.1.attn:pattern")
    assert all(torch.equal(found[site].array, true[site].array) for site in true)


@torch.no_grad()
def test_a_block_compiled_after_opening_is_noticed() -> None:
    module = llama(use_cache=False)
    model = models.open(module)
    model.record(tokens(), "layers.1.mlp:out")
    module.model.layers[1].compile(backend="eager")
    for site in ("layers.1:out", "layers.1.mlp:out", "layers.1.attn:z"):
        with pytest.raises(SiteError, match=r"model\.layers\.1 went through torch\.compile"):
            model.record(tokens(), site)
    assert torch.isfinite(model.record(tokens(), "layers.0:out")["layers.0:out"].array).all()


def test_what_no_compiler_can_take_in_cannot_be_declared() -> None:
    model = models.open(llama())
    with pytest.raises(SiteError, match="cannot be declared"):
        model.declare("layers.0.attn:pattern")
    with pytest.raises(SiteError, match="every call alike"):
        model.declare("layers.0#0:out")
    assert hooks(model.module) == 0


class Own(nn.Module):
    """A part that runs twice, a part given its argument by name, and a named output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.twice, self.named = nn.Embedding(64, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.twice(torch.tanh(self.twice(self.embed(ids))))
        return {"logits": self.named(input=x)}


COMPILERS = pytest.mark.parametrize("compiler", [None, "aot_eager"])


@COMPILERS
@torch.no_grad()
def test_a_declared_plan_checks_what_a_run_checks(compiler: str | None) -> None:
    module = Own()
    model = models.open(module)

    def called() -> nn.Module:
        torch._dynamo.reset()
        return module if compiler is None else torch.compile(module, backend=compiler, fullgraph=True)  # type: ignore[return-value]

    with model.declare("twice:out") as declared:
        called()(tokens())
        with pytest.raises(SiteError, match="fired 2 times in one call"):
            declared.recording()
    sites, changes = ("named:in", "named:out[pos=-1]", ":out"), {":out": edits.scale(2.0), "embed:out": edits.zero()}
    true = model.record(tokens(), *sites, edits=changes)
    with model.declare(*sites, edits=changes) as declared:
        for _ in range(2):
            found = called()(tokens())
            assert torch.equal(found["logits"], true.output["logits"])  # type: ignore[index]
        seen = declared.recording()
        for site in true:
            assert torch.equal(seen[site].array, true[site].array) and seen[site].axes == true[site].axes
    with model.declare(edits={"embed:out[pos=2]": lambda value: value[:1]}), pytest.raises(Exception) as refused:
        called()(tokens())
    assert compiler or (isinstance(refused.value, SiteError) and "must return a tensor of shape" in str(refused.value))
    with model.declare(edits={"embed:out[pos=40]": edits.zero()}), pytest.raises(Exception) as refused:
        called()(tokens())
    assert compiler or isinstance(refused.value, SiteError)
    assert hooks(module) == 0


@torch.no_grad()
def test_an_edit_that_never_came_to_act_is_noticed() -> None:
    module = Own()
    with models.open(module).declare(edits={"embed:out": edits.zero()}) as declared:
        torch.compile(module.named, backend="eager")(torch.ones(1, 8))
        with pytest.raises(SiteError, match="nothing came through embed:out"):
            declared.recording()
