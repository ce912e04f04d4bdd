"""The torch engine against hand-written forwards on the same weights."""

import threading

import pytest
import torch
from torch import Tensor, nn

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits
from darklantern.organisms.bytelm import ByteLM, Shape


@pytest.fixture
def lm() -> ByteLM:
    return ByteLM(Shape(layers=2, dim=16, heads=2, context=12), torch.Generator().manual_seed(3))


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, 128, (5, 12), generator=torch.Generator().manual_seed(4))


def forward_by_hand(lm: ByteLM, tokens: Tensor, zero_head: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """The same computation written out, with one attention head's z set to zero on request."""
    seen = {}
    x = lm.embed.weight[tokens] + lm.position.weight[: tokens.shape[1]]
    for i, layer in enumerate(lm.layers):
        normed = nn.functional.layer_norm(x, (16,), layer.norm1.weight, layer.norm1.bias)
        q, k, v = (normed @ layer.attn.qkv.weight.T + layer.attn.qkv.bias).split(16, dim=-1)
        out = torch.zeros_like(x)
        for h in range(2):
            part = slice(8 * h, 8 * h + 8)
            scores = q[..., part] @ k[..., part].transpose(1, 2) / 8**0.5
            scores = scores.masked_fill(torch.ones(12, 12).triu(1).bool(), -torch.inf)
            pattern = scores.softmax(-1)
            z = pattern @ v[..., part]
            if zero_head == (i, h):
                z = torch.zeros_like(z)
            seen[f"layers.{i}.attn:pattern[head={h}]"] = pattern
            seen[f"layers.{i}.attn:z[head={h}]"] = z
            out = out + z @ layer.attn.out.weight[:, part].T
        x = x + out + layer.attn.out.bias
        normed = nn.functional.layer_norm(x, (16,), layer.norm2.weight, layer.norm2.bias)
        x = x + layer.mlp.down(torch.relu(layer.mlp.up(normed)))
        seen[f"layers.{i}:out"] = x
    x = nn.functional.layer_norm(x, (16,), lm.norm.weight, lm.norm.bias)
    seen["output"] = x @ lm.unembed.weight.T
    return seen


def test_every_recorded_value_equals_the_hand_written_forward(lm: ByteLM, tokens: Tensor) -> None:
    truth = forward_by_hand(lm, tokens)
    sites = [site for site in truth if site != "output"]
    recording = models.open(lm).record(tokens, *sites)
    assert list(recording) == sites
    for site in sites:
        torch.testing.assert_close(recording[site].array, truth[site], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(recording.output, truth["output"], atol=1e-6, rtol=1e-5)


def test_ablating_a_head_equals_the_forward_without_it(lm: ByteLM, tokens: Tensor) -> None:
    found = models.open(lm).run(tokens, {"layers.0.attn:z[head=1]": edits.zero()})
    torch.testing.assert_close(found, forward_by_hand(lm, tokens, (0, 1))["output"], atol=1e-6, rtol=1e-5)


def test_opening_and_recording_change_nothing_bit_for_bit(lm: ByteLM, tokens: Tensor) -> None:
    before = lm(tokens)
    model = models.open(lm)
    assert torch.equal(lm(tokens), before)
    recording = model.record(tokens, "layers.*:out", "layers.*.attn:pattern")
    assert torch.equal(recording.output, before)
    assert torch.equal(lm(tokens), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lm.modules())


def test_hooks_are_gone_after_an_error_and_the_users_own_hooks_stay(lm: ByteLM, tokens: Tensor) -> None:
    calls = []
    lm.norm.register_forward_hook(lambda *_: calls.append(1))

    def explode(value: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        models.open(lm).run(tokens, {"layers.1:out": explode})
    lm(tokens)
    assert calls == [1]
    assert sum(len(module._forward_hooks) for module in lm.modules()) == 1


def test_patching_everything_from_another_run_gives_that_run(lm: ByteLM, tokens: Tensor) -> None:
    model = models.open(lm)
    other = tokens.flip(0)
    source = model.record(other, "layers.0:out")
    patched = model.run(tokens, {"layers.0:out": edits.take(source)})
    assert torch.equal(patched, source.output)


def test_a_patch_at_one_position_leaves_earlier_positions_alone(lm: ByteLM, tokens: Tensor) -> None:
    model = models.open(lm)
    source = model.record(tokens.flip(0), "layers.0:out")
    site = models.parse("layers.0:out[pos=7]")
    patched, plain = model.run(tokens, {site: edits.take(source)}), lm(tokens)
    assert torch.equal(patched[:, :7], plain[:, :7])
    assert not torch.equal(patched[:, 7:], plain[:, 7:])


def test_gradients_flow_through_an_edit(lm: ByteLM, tokens: Tensor) -> None:
    direction = torch.randn(16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    models.open(lm).run(tokens, {"layers.0:out": edits.add(direction)}).square().mean().backward()
    step = 1e-3 * torch.eye(16)[2]
    high, low = (
        models.open(lm)
        .run(tokens, {"layers.0:out": edits.add(direction.detach() + s)})
        .detach()
        .double()
        .square()
        .mean()
        for s in (step, -step)
    )
    assert direction.grad is not None
    assert float(direction.grad[2]) == pytest.approx(float((high - low) / 2e-3), rel=2e-2)


def test_stopping_early_runs_no_later_layer(lm: ByteLM, tokens: Tensor) -> None:
    ran = []
    lm.layers[1].register_forward_hook(lambda *_: ran.append(1))
    model = models.open(lm)
    recording = model.record(tokens, "layers.0:out", stop=True)
    assert recording.output is None
    assert ran == []
    assert torch.equal(recording["layers.0:out"].array, model.record(tokens, "layers.0:out")["layers.0:out"].array)


def test_a_site_that_does_not_exist_names_what_was_probably_meant(lm: ByteLM, tokens: Tensor) -> None:
    with pytest.raises(SiteError) as refused:
        models.open(lm).record(tokens, "layer.0.attn:z")
    assert "layers.0.attn:z" in refused.value.hint


def test_a_site_that_never_fires_is_an_error() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    model = models.open(Idle())
    with pytest.raises(SiteError, match="never reached unused:out"):
        model.record(torch.ones(2, 3), "unused:out")
    with pytest.raises(SiteError, match="never reached unused:in"):
        model.run(torch.ones(2, 3), {"unused:in": edits.zero()})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # importing torch's compiler warns about torch itself
def test_a_compiled_module_is_refused(lm: ByteLM) -> None:
    with pytest.raises(SiteError, match=r"torch\.compile"):
        models.open(torch.compile(lm))
    lm.compile()
    with pytest.raises(SiteError, match=r"torch\.compile"):
        models.open(lm)


def test_a_site_that_was_not_recorded_is_an_error_not_a_key_error(lm: ByteLM, tokens: Tensor) -> None:
    recording = models.open(lm).record(tokens, "layers.0:out")
    with pytest.raises(SiteError) as refused:
        recording["layers.1:out"]
    assert "layers.0:out" in refused.value.hint


def test_sites_lists_ports_of_ones_own_code(lm: ByteLM) -> None:
    listed = [str(site) for site in models.open(lm).sites("layers.0.attn:*")]
    assert listed == ["layers.0.attn:in", "layers.0.attn:pattern", "layers.0.attn:z", "layers.0.attn:out"]


def test_a_plan_prints_what_it_will_do(lm: ByteLM) -> None:
    plan = models.open(lm).plan("layers.*:out", edits={"layers.1.attn:z[head=0]": edits.zero()}, stop=True)
    assert str(plan).splitlines() == [
        "edit    layers.1.attn:z[head=0]  layers.1.attn.z, a port of its own code: zero",
        "record  layers.0:out             layers.0, its output",
        "record  layers.1:out             layers.1, its output",
        "stop once every recorded site has fired",
    ]


def test_modules_with_tuple_outputs_can_be_edited() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: Tensor) -> Tensor:
            out, _ = self.attention(x, x, x)
            return out

    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(models.open(Wrapped()).run(x, {"attention:out": edits.zero()}), torch.zeros(2, 3, 8))


def test_a_recording_keeps_what_flowed_there_though_the_next_module_writes_in_place() -> None:
    module = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    x = torch.tensor([[-2.0, 3.0]])
    recording = models.open(module).record(x.clone(), "0:out", "1:in", "1:out")
    assert torch.equal(recording["0:out"].array, x)
    assert torch.equal(recording["1:in"].array, x)
    assert torch.equal(recording["1:out"].array, torch.tensor([[0.0, 3.0]]))


def test_what_is_patched_in_is_not_written_to_by_the_model() -> None:
    model = models.open(nn.Sequential(nn.Identity(), nn.ReLU(inplace=True)))
    source = model.record(torch.tensor([[-2.0, 3.0]]), "0:out")
    held = source["0:out"].array.clone()
    patched = model.run(torch.zeros(1, 2), {"0:out": edits.take(source)})
    assert torch.equal(patched, torch.tensor([[0.0, 3.0]]))
    assert torch.equal(source["0:out"].array, held)
    # One value for a whole batch is expanded, and writing to an expanded tensor is an error in torch.
    assert torch.equal(model.run(torch.zeros(3, 2), {"0:out": edits.put(-torch.ones(2))}), torch.zeros(3, 2))


def test_runs_in_several_threads_see_their_own_values_only_and_a_plain_call_none() -> None:
    together = threading.Barrier(3)

    class Meeting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            together.wait(10)  # all three are inside at once
            out = self.inner(x)
            together.wait(10)
            return out

    module = Meeting()
    found: dict[str, float] = {}

    def record(mark: float) -> None:
        rec = models.open(module).record(torch.tensor([mark]), "inner:out", edits={"inner:out": edits.add(0.5)})
        found[f"recorded {mark}"] = float(rec["inner:out"].array)

    def plain() -> None:
        found["plain"] = float(module(torch.tensor([3.0])))

    threads = [threading.Thread(target=record, args=(mark,)) for mark in (1.0, 2.0)] + [threading.Thread(target=plain)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"recorded 1.0": 1.5, "recorded 2.0": 2.5, "plain": 3.0}
    assert not module.inner._forward_hooks


@pytest.mark.parametrize("given", ["gpt2", lambda x: x, None])
def test_what_is_no_module_is_refused_by_name(given: object) -> None:
    with pytest.raises(SiteError, match=f"got {type(given).__name__}"):
        models.open(given)


def test_an_index_outside_and_an_edit_that_is_no_function_are_named() -> None:
    model = models.open(nn.Sequential(nn.Linear(4, 4)))
    x = torch.zeros(2, 3, 4)
    with pytest.raises(SiteError, match=r"0:out\[pos=7\] is outside the value there: axis pos has 3"):
        model.record(x, "0:out[pos=7]")
    with pytest.raises(SiteError, match="expected an edit or a function at 0:out, got int"):
        model.run(x, {"0:out": 0})  # type: ignore[dict-item]
    assert torch.equal(model.run(x), model.module(x))
