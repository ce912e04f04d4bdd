"""Compiled models: a plan from before survives, a hook that would be dropped is refused, or the model runs eagerly."""

from collections.abc import Iterator

import pytest
import torch
from subjects import hooks, llama, tokens

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
def test_a_plan_declared_too_late_says_so() -> None:
    module = llama(use_cache=False)
    compiled = torch.compile(module, backend="eager")
    compiled(tokens())
    with models.open(module).declare("layers.1:out") as declared:
        compiled(tokens())
        with pytest.raises(SiteError, match=r"nothing came through layers\.1:out") as refused:
            declared.recording()
    assert "compiled after declare" in refused.value.hint


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
    with pytest.raises(SiteError, match="pins batch, pos, dim, not channel"):
        model.declare("layers.0:out[channel=3]")
    assert hooks(model.module) == 0
