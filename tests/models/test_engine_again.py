"""What several runs, names, calls and readers share: one backward pass, one value, one folder, one argument."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from subjects import gpt2, hooks, llama, tokens
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from darklantern import models
from darklantern.errors import SiteError, StoreError
from darklantern.models import edits

KINDS = pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "non-reentrant"])


class Stack(nn.Module):
    """Three blocks, checkpointed or not."""

    def __init__(self, reentrant: bool | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        for block in self.layers:
            x = block(x) if self.reentrant is None else checkpoint(block, x, use_reentrant=self.reentrant)
        return x


def points() -> Tensor:
    return torch.randn(5, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)


def slopes(module: nn.Module, loss: Callable[[Any], Tensor]) -> list[Tensor]:
    module.zero_grad()
    loss(models.open(module)).backward()
    return [each.grad.clone() for each in module.parameters() if each.grad is not None]


# one backward pass through several runs

A, B = {"layers.*.0:out": edits.scale(0.5)}, {"layers.*.0:out": edits.add(torch.ones(4))}
LOSSES: dict[str, Callable[[Any], Tensor]] = {
    "two runs": lambda m: m.run(points(), A).square().sum() + 3 * m.run(points(), B).sum(),
    "a run and a plain call": lambda m: m.run(points(), A).square().sum() + 3 * m.module(points()).sum(),
    "a plain call and a run": lambda m: m.module(points()).square().sum() + 3 * m.run(points(), A).sum(),
    "one run into another": lambda m: m.run(m.run(points(), A), B).square().sum(),
    "a run without edits": lambda m: (
        m.record(points(), "layers.1:out").output.sum() + m.run(points(), B).square().sum()
    ),
}


@KINDS
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_one_backward_pass_through_several_runs_is_each_ones_own(
    loss: Callable[[Any], Tensor], reentrant: bool
) -> None:
    found = slopes(Stack(reentrant), loss)
    for mine, true in zip(found, slopes(Stack(), loss), strict=True):
        torch.testing.assert_close(mine, true)


@KINDS
def test_a_run_within_a_backward_pass_is_its_own(reentrant: bool) -> None:
    module = Stack(reentrant)
    model, seen = models.open(module), []
    right = models.open(Stack()).record(points(), "layers.1:out")["layers.1:out"].array

    @torch.enable_grad()
    def look(_: Tensor) -> None:
        seen.append(model.record(points(), "layers.1:out")["layers.1:out"].array)

    x = points()
    x.register_hook(look)
    model.run(x, A).sum().backward()
    assert torch.equal(seen[0], right)


@KINDS
def test_gradients_at_sites_outside_of_checkpointed_parts_are_had_too(reentrant: bool) -> None:
    found, true = (
        models.open(Stack(kind)).gradient(points(), torch.sum, "layers.0:in", "layers.2:out").gradients
        for kind in (reentrant, None)
    )
    for site in true:
        torch.testing.assert_close(found[site].array, true[site].array)


def test_a_gradient_where_the_model_turns_them_off_is_an_error_and_not_zero() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.a(x)
            return self.b(x)  # type: ignore[no-any-return]

    with pytest.raises(SiteError, match="computes a:out with gradients turned off"):
        models.open(Partly()).gradient(points(), torch.sum, "a:out")


def test_products_keep_edits_and_go_by_names() -> None:
    model, x = models.open(Stack()), points()
    changes, site = {"layers.0:out": edits.scale(0.5)}, "layers.1:out"
    true = model.edited(changes).jvp(x, {"layers.0:out": torch.ones(4)}, site)
    found = model.jvp(x, {"layers.0:out": torch.ones(4)}, site, edits=changes)
    assert torch.equal(found[site].array, true[site].array) and torch.equal(found.output, true.output)
    square = torch.randn(3, 3, 4)
    lines = models.open(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    per_example = lines.record(square, "1:out")["1:out"].mean("pos")
    product = lines.vjp(square, {"1:out": per_example}, "0:out").gradients["0:out"].array
    weight = lines.module[1].weight  # type: ignore[index]
    torch.testing.assert_close(product, (per_example.array @ weight)[:, None].expand(3, 3, 4))


# one value, several names and readers


def test_edits_under_two_names_of_a_value_apply_in_the_order_given() -> None:
    model, one, other = models.open(gpt2()), "layers.1.mlp:pre", "layers.1.mlp.act:in"
    changes = {one: torch.ones_like, other: edits.scale(2.0), f"{one}[batch=0:2]": edits.add(1.0)}
    assert model.record(tokens(), one, edits=changes)[one].array.unique().tolist() == [3.0]
    again = {one: [torch.ones_like, edits.scale(2.0), edits.add(1.0)]}
    assert model.record(tokens(), other, edits=again)[other].array.unique().tolist() == [3.0]


def test_what_a_users_own_hook_returns_is_what_flows_on() -> None:
    module = Stack()
    module.layers[1].register_forward_hook(lambda *given: given[-1] * 1.5)
    model = models.open(module)
    seen = model.record(points(), "layers.1:out", "layers.2:in")
    assert torch.equal(seen["layers.1:out"].array, seen["layers.2:in"].array)
    seen = model.record(points(), "layers.2:in", edits={"layers.1:out": torch.ones_like})
    assert (seen["layers.2:in"].array == 1).all()


class Dense(nn.Module):
    """An activation in place on a value that is read again, as in pre-activation and dense networks."""

    def __init__(self, inplace: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.relu, self.b = nn.Linear(4, 4), nn.ReLU(inplace), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.b(self.relu(x)) + x  # type: ignore[no-any-return]


@pytest.mark.parametrize("site", ["relu:in", "a:out", "relu:out", "b:in"])
def test_looking_with_gradients_on_changes_nothing_where_a_part_writes_into_its_argument(site: str) -> None:
    module, x = Dense(), points()
    model, own = models.open(module), module(x)
    assert torch.equal(model.record(x, site).output, own)
    assert torch.equal(model.run(x, {site: edits.scale(1.0)}), own)
    found = model.gradient(x, torch.sum, "a:in").gradients["a:in"].array
    torch.testing.assert_close(model.gradient(x, torch.sum, site, "a:in").gradients["a:in"].array, found)


def test_a_part_that_writes_into_its_argument_without_saying_so_is_noticed() -> None:
    class Writes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(2)

    module = nn.Sequential(nn.Linear(4, 4), Writes())
    with pytest.raises(SiteError, match="1 writes into its argument"):
        models.open(module).record(points(), "1:in")
    with torch.no_grad():
        assert models.open(module).record(points(), "1:in")


def test_a_member_of_what_is_no_tuple_is_an_error() -> None:
    with torch.no_grad(), pytest.raises(SiteError, match=r"0:out\.1 carries NoneType"):
        models.open(nn.Sequential(nn.Linear(4, 4))).record(points(), "0:out.1")


@torch.no_grad()
def test_edited_patterns_reach_the_weights_that_attention_returns() -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    model, x = models.open(attention), torch.randn(2, 3, 8)
    given = models.Inputs((x, x, x), {}) if hasattr(models, "Inputs") else (x, x, x)
    plain = attention(x, x, x)[1]
    for site, change in ((":pattern[head=1]", edits.zero()), (":q[head=1]", edits.zero())):
        output, weights = model.run(given, {site: change})
        heads = model.record(given, ":pattern", edits={site: change})[":pattern"].array
        torch.testing.assert_close(weights, heads.mean(1))
        assert not torch.allclose(weights, plain) and output.shape == x.shape
    eager = gpt2(attn_implementation="eager")
    inputs = {"input_ids": tokens(), "output_attentions": True}
    found = models.open(eager).run(inputs, {"layers.1.attn:pattern[head=2,pos=3]": edits.zero()}).attentions[1]
    true = eager(**inputs).attentions[1]
    assert not found[:, 2, 3].any()
    true[:, 2, 3] = 0
    assert torch.equal(found, true)


@pytest.mark.parametrize("shape", [(2, 5, 8), (2, 1, 5, 2, 4)])
def test_attention_over_other_axes_than_four_is_refused(shape: tuple[int, ...]) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = Attention()

        def forward(self, x: Tensor) -> Tensor:
            return self.attn(x)  # type: ignore[no-any-return]

    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x)

    for port in ("z", "pattern"):
        with pytest.raises(SiteError, match=r"not \(batch, head, pos, dim\)"):
            models.open(Own()).record(torch.randn(shape), f"attn:{port}")


# one run, several calls


class Again(nn.Module):
    """Attention that runs twice, over other lengths and perhaps with a mask that is written into in between."""

    def __init__(self, mask: bool = False) -> None:
        super().__init__()
        self.attn, self.mask = self.Attention(), mask

    class Attention(nn.Module):
        def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
            heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
            return F.scaled_dot_product_attention(heads, heads, heads, mask).transpose(1, 2).flatten(2)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(5, 5, dtype=torch.bool).tril() if self.mask else None
        y = self.attn(x[:, :5], mask)
        if mask is not None:
            mask.fill_(True)
        return y.sum() + self.attn(x, None).sum()  # type: ignore[no-any-return]


@torch.no_grad()
def test_calls_are_numbered_as_they_come_also_where_one_can_wait() -> None:
    model, x = models.open(Again()), torch.randn(1, 15, 8)
    for _ in range(3):
        assert model.record(x, "attn#0:pattern")["attn#0:pattern"].shape == (1, 2, 5, 5)
        assert model.record(x, "attn#1:pattern")["attn#1:pattern"].shape == (1, 2, 15, 15)


@torch.no_grad()
def test_a_mask_that_is_overwritten_gives_no_other_pattern() -> None:
    model, x = models.open(Again(mask=True)), torch.randn(1, 15, 8)
    found = []
    for _ in range(4):
        try:
            found.append(model.record(x, "attn#0:pattern")["attn#0:pattern"].array)
        except SiteError as error:
            assert "overwritten later" in error.message
    assert len(found) >= 3
    assert all(not each.triu(1).any() for each in found)


@torch.no_grad()
def test_everything_can_be_recorded_and_what_cannot_is_told() -> None:
    model = models.open(gpt2())
    found = model.record(tokens(), "**:out")
    assert "layers.1:out" in found and "embed:out" in found
    missed = {str(site): why for site, why in found.missed.items()}
    assert "never reached" in missed["layers.0.attn.attn_dropout:out"]
    assert f"not recorded, see .missed: {len(missed)} sites" in repr(found)
    with pytest.raises(SiteError, match="never reached"):
        model.record(tokens(), "**:out", "layers.0.attn.attn_dropout:out")
    everything = model.record(tokens(), "**:*")
    assert {"layers.1.attn:pattern", "layers.1:resid_mid", "norm:scale"} <= set(everything)


# starts


def test_a_start_is_of_one_model_and_may_hold_edits_of_earlier_blocks() -> None:
    model, changes = models.open(gpt2(4)), {"layers.0:out": edits.scale(2.0), "layers.1.mlp:neurons": edits.zero()}
    steered = model.edited(changes)
    with torch.no_grad():
        start = steered.start(tokens(), "layers.2")
        assert torch.equal(steered.run(start).logits, model.run(tokens(), changes).logits)
    with pytest.raises(SiteError, match="taken from another model"):
        models.open(gpt2(4)).run(model.start(tokens(), "layers.2"))


def test_a_start_is_tried_out_on_numbers_that_the_model_knows() -> None:
    labels = tokens().clone()
    labels[:, :2] = -100
    module = gpt2()
    given = {"input_ids": tokens(), "labels": labels, "token_type_ids": torch.zeros_like(labels)}
    start = models.open(module).start(given, "layers.1")
    with torch.no_grad():
        assert torch.equal(models.open(module).run(start).loss, module(**given, use_cache=False).loss)


# generation

OPTIONS = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}


@torch.no_grad()
def test_keys_and_patterns_of_the_newest_token_are_one_for_each_step() -> None:
    model = models.open(llama())
    given = {"input_ids": tokens(pos=6), "attention_mask": torch.ones(2, 6, dtype=torch.int64)}
    names = [f"layers.1.attn:{port}[pos=-1]" for port in ("q", "k", "pattern")]
    found = model.generate(given, *names, "layers.1.attn:pattern[step=1]", **OPTIONS)
    full = model.record(found.output[:, :-1], *(f"layers.1.attn:{port}" for port in ("q", "k", "pattern")))
    for name in names:
        value, whole = found[name], full[name.partition("[")[0]]
        assert value.axes[0] == "step" and value.shape[0] == 5
        wanted = torch.stack([whole.at(pos=5 + step).array for step in range(5)])
        torch.testing.assert_close(value.array, wanted, atol=1e-5, rtol=1e-4)
    assert found["layers.1.attn:pattern[step=1]"].shape[-2:] == (1, 7)


@torch.no_grad()
def test_a_prompt_in_several_steps_and_a_cache_of_a_window_are_refused() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    given = {"input_ids": tokens(pos=6), "attention_mask": torch.ones(2, 6, dtype=torch.int64)}
    with pytest.raises(SiteError, match="cuts the prompt into several steps"):
        models.open(gpt2()).generate(given, "layers.1:out", prefill_chunk_size=3, **OPTIONS)
    config = MistralConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=4, pad_token_id=0,
    )  # fmt: skip
    model = models.open(MistralForCausalLM(config).eval())
    for port in ("k", "pattern"):
        with pytest.raises(SiteError, match="keeps a window of them only"):
            model.generate(given, f"layers.1.attn:{port}", **OPTIONS)
    assert model.generate(given, "layers.1.attn:z", **OPTIONS)["layers.1.attn:z"].shape[1] == 10


# folders


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(self.a(x))  # type: ignore[no-any-return]


@torch.no_grad()
def test_all_calls_come_back_from_a_folder_as_they_were(tmp_path: Path) -> None:
    model = models.open(Twice())
    found = model.record(points(), "a#*:out", to=tmp_path / "run")
    loaded = models.load_recording(tmp_path / "run")
    assert list(loaded) == list(found) == ["a#*:out"]
    assert torch.equal(loaded["a#*:out"].array, model.record(points(), "a#*:out")["a#*:out"].array)
    assert sorted(each.suffix for each in (tmp_path / "run").iterdir()) == [".json", ".safetensors"]


@torch.no_grad()
def test_a_run_that_fails_leaves_no_recording_and_its_folder_can_be_used_again(tmp_path: Path) -> None:
    model = models.open(Twice())
    with pytest.raises(SiteError, match="fired 2 times"):
        model.record(points(), "a:out", to=tmp_path / "run")
    with pytest.raises(SiteError, match="does not hold a whole recording"):
        models.load_recording(tmp_path / "run")
    assert model.record(points(), "a#0:out", to=tmp_path / "run")


def record_and_die(folder: Path) -> None:
    def die(value: Any) -> Any:
        if value.site.path == "layers.2":
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    with torch.no_grad():
        models.open(Stack()).record(points(), "layers.*:out", to=folder, reduce=die)


def test_a_run_that_was_killed_leaves_no_recording(tmp_path: Path) -> None:
    # Not forked: other tests of this process may have started JAX's threads, which a fork would leave behind.
    process = multiprocessing.get_context("spawn").Process(target=record_and_die, args=(tmp_path / "run",))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(list((tmp_path / "run").glob("*.safetensors"))) == 2
    with pytest.raises(SiteError, match="does not hold a whole recording"):
        models.load_recording(tmp_path / "run")


@torch.no_grad()
def test_of_two_at_once_in_one_folder_one_is_refused(tmp_path: Path) -> None:
    model, refused = models.open(Stack()), []

    def meanwhile(value: Any) -> Any:
        if not refused:
            with pytest.raises(SiteError, match="is not empty") as error:
                model.record(points(), "layers.0:out", to=tmp_path / "run")
            refused.append(error)
        return value

    model.record(points(), "layers.*:out", to=tmp_path / "run", reduce=meanwhile)
    assert len(models.load_recording(tmp_path / "run")) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.pop("tokens"),
        lambda index: index.update(tokens=3),
        lambda index: index["values"][0].update(axes=["batch"]),
        lambda index: index.update(values=[]),
        lambda index: index["values"][0].update(file="../elsewhere.safetensors"),
        lambda index: index.update(format="other"),
    ],
)
@torch.no_grad()
def test_a_damaged_index_is_no_recording(change: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    models.open(Stack()).record(points(), "layers.*:out", to=tmp_path / "run")
    path = tmp_path / "run" / "recording.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    with pytest.raises(SiteError, match="does not hold a whole recording"):
        models.load_recording(tmp_path / "run")


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to"), torch.no_grad():
        models.open(Stack()).record(points(), "layers.0:out", to=tmp_path / "file")


def test_a_part_that_reduce_takes_would_go_by_another_name() -> None:
    with torch.no_grad(), pytest.raises(SiteError, match="reduce took a part"):
        models.open(gpt2()).record(tokens(), "layers.1.attn:z", reduce=lambda value: value.at(head=3))


# mistakes


def test_what_is_no_input_is_told() -> None:
    model = models.open(gpt2())
    for given in ([[1, 2, 3]], []):
        with pytest.raises(SiteError, match="expected what the model takes"):
            model.run(given)
    with pytest.raises(SiteError, match="not called itself"):
        model(tokens())
    with pytest.raises(SiteError, match="no sites were given"):
        model.gradient(tokens(), lambda output: output.logits.sum())
    with pytest.raises(SiteError, match="edits as a mapping"):
        model.run(tokens(), [("layers.1:out", edits.zero())])  # type: ignore[arg-type]
    with pytest.raises(SiteError) as refused:
        model.run(tokens(), {"layers.1:out": edits.add(torch.randn(63))})
    assert "layers.1:out" in "".join(refused.value.__notes__)
    assert hooks(model.module) == 0


def test_a_block_beyond_the_last_says_which_there_are() -> None:
    for site in ("layers.12:out", "layers.9.attn:z"):
        with pytest.raises(SiteError, match="no site") as refused:
            models.open(gpt2()).sites(site)
        assert refused.value.hint == "there are layers.0 … layers.2"
