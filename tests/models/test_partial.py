"""Partial runs: start at a block, stop early, how much of the model that is."""

import pytest
import torch
from subjects import VOCABULARY, gpt2, hooks, llama, tokens
from torch import Tensor, nn

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits

every_model = pytest.mark.parametrize("build", [gpt2, llama])


@every_model
@torch.no_grad()
def test_edits_after_the_start_do_what_they_do_in_a_full_run(build: object) -> None:
    module = build(4)  # type: ignore[operator]
    model = models.open(module)
    start = model.start(tokens(), "layers.2")
    for site, edit in {
        "layers.2:in[pos=3]": edits.zero(),
        "layers.2.attn:pattern[head=1]": edits.scale(0.5),
        "layers.3:out": edits.add(torch.ones(32)),
    }.items():
        ran: list[int] = []
        handle = module.get_submodule(model.native("layers.1.mlp:out")).register_forward_hook(
            lambda *_, ran=ran: ran.append(1)
        )
        found = model.run(start, {site: edit}).logits
        handle.remove()
        assert ran == []
        assert torch.equal(found, model.run({"input_ids": tokens(), "use_cache": False}, {site: edit}).logits)
    assert hooks(module) == 0


@torch.no_grad()
def test_several_copies_of_a_start_are_several_runs() -> None:
    model = models.open(llama(4))
    source = model.record(tokens(seed=9), "layers.2:in")
    start = model.start(tokens(), "layers.2")
    changes = {
        f"layers.2:in[batch={2 * copy}:{2 * copy + 2},pos={position}]": edits.put(
            source["layers.2:in"].at(pos=position)
        )
        for copy, position in enumerate((0, 4, 6))
    }
    found = model.run(start.repeated(3), changes).logits
    for number, position in enumerate((0, 4, 6)):
        alone = model.run(start, {f"layers.2:in[pos={position}]": edits.take(source)}).logits
        torch.testing.assert_close(found[2 * number : 2 * number + 2], alone, atol=1e-6, rtol=1e-5)


def test_a_site_before_the_start_never_fires() -> None:
    model = models.open(gpt2(4))
    with pytest.raises(SiteError, match=r"never reached layers\.0:out"):
        model.record(model.start(tokens(), "layers.2"), "layers.0:out")


def test_a_start_that_would_not_give_the_full_run_is_refused() -> None:
    training = gpt2(3, attn_pdrop=0.5, resid_pdrop=0.5, embd_pdrop=0.0).train()
    with pytest.raises(SiteError, match="differ from a full run's") as refused:
        models.open(training).start(tokens(), "layers.1")
    assert "model.eval()" in refused.value.hint
    with pytest.raises(SiteError, match=r"expected a block of a list of blocks, got 'layers\.9'") as refused:
        models.open(gpt2(3)).start(tokens(), "layers.9")
    assert "layers.0" in refused.value.hint
    with pytest.raises(SiteError, match="expected a block"):
        models.open(gpt2(3)).start(tokens(), "layers.1.attn")
    cached = {"input_ids": tokens(), "use_cache": True}
    with pytest.raises(SiteError, match="DynamicCache, whose state a start does not hold"):
        models.open(llama(3)).start(cached, "layers.1")


class Sharing(nn.Module):
    """Blocks that leave something on a common object: what a later block reads depends on an earlier one's run."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(SharingBlock(self) for _ in range(3))
        self.left: list[Tensor] = [torch.zeros(1, 4)]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class SharingBlock(nn.Module):
    def __init__(self, shared: Sharing) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        object.__setattr__(self, "shared", shared)

    def forward(self, x: Tensor) -> Tensor:
        first = self.shared.layers[0] is self
        if first:
            self.shared.left[0] = x * 2
        return self.linear(x) + self.shared.left[0]


def test_state_that_blocks_share_is_found_even_if_the_last_run_left_the_right_one() -> None:
    with torch.no_grad(), pytest.raises(SiteError, match="differ from a full run's"):
        models.open(Sharing()).start(torch.ones(2, 4), "layers.1")


@every_model
def test_the_executed_fraction_counts_what_was_read_and_computed(build: object) -> None:
    module = build(4)  # type: ignore[operator]
    model, ids = models.open(module), tokens()
    total = sum(parameter.numel() for parameter in module.parameters())
    block = sum(p.numel() for p in module.get_submodule(model.native("layers.2:out")).parameters())
    rows = ids.unique().numel() * 32
    positions = 7 * 32 if build is gpt2 else 0
    whole = model.executed(ids)
    assert whole.flop_fraction == 1
    one = model.executed(ids, "layers.0:out", stop=True)
    assert one.parameters == total
    assert one.parameters_read == rows + positions + block
    start = model.start(ids, "layers.2")
    alone = model.executed(start, "layers.2:out", stop=True)
    assert alone.parameters_read == one.parameters_read
    assert alone.flops == one.flops
    rest = model.executed(start)
    head = VOCABULARY * 32 + (64 if build is gpt2 else 32)
    tied = build is gpt2  # the head reads the embedding, whose rows were counted
    assert rest.parameters_read == head + positions + 2 * block + (0 if tied else rows)
    assert rest.flops == 2 * one.flops + 2 * ids.numel() * VOCABULARY * 32
    assert "FLOPs" in str(rest)


@every_model
@torch.no_grad()
def test_one_head_runs_alone_and_gives_what_it_adds_in_a_full_run(build: object) -> None:
    module = build(4)  # type: ignore[operator]
    model = models.open(module)
    true = model.record(tokens(), "layers.2.attn:{result,pattern}", "layers.2.attn:out")
    parts = []
    for head in range(4):
        site = f"layers.2.attn:result[head={head}]"
        alone = model.alone(tokens(), "layers.2.attn", head)
        found = model.record(alone, site, f"layers.2.attn:pattern[head={head}]", stop=True)
        torch.testing.assert_close(found[site].array, true[site].array, atol=1e-6, rtol=1e-5)
        pattern = f"layers.2.attn:pattern[head={head}]"
        torch.testing.assert_close(found[pattern].array, true[pattern].array, atol=1e-6, rtol=1e-5)
        parts.append(found[site].array)
    bias = getattr(
        module.get_submodule(model.native("layers.2.attn.c_proj:out" if build is gpt2 else "layers.2.attn.o_proj:out")),
        "bias",
        None,
    )
    total = sum(parts) if bias is None else sum(parts) + bias
    torch.testing.assert_close(total, true["layers.2.attn:out"].array, atol=1e-5, rtol=1e-5)
    # Three of four heads' projections are not read: 8 rows each of q, k, v and 8 columns of the output projection.
    executed = model.executed(model.alone(tokens(), "layers.2.attn", 1), "layers.2.attn:result[head=1]", stop=True)
    rows = tokens().unique().numel() * 32 + (7 * 32 if build is gpt2 else 0)
    norm, biases = (64, 24) if build is gpt2 else (32, 0)
    assert executed.parameters_read == rows + norm + 3 * 8 * 32 + biases + 8 * 32


def test_a_head_that_cannot_run_alone_says_so() -> None:
    import transformers as hf

    config = hf.GPTNeoXConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=VOCABULARY
    )
    with torch.no_grad(), pytest.raises(SiteError, match="a head cannot run alone here"):
        models.open(hf.GPTNeoXForCausalLM(config).eval()).alone(tokens(), "layers.1.attn", 0)
