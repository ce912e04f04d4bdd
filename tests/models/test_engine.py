"""Runs that are interrupted, overlap, fail or look at one value twice: nothing wrong without an error, nothing left."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType
from typing import Any

import pytest
import torch
from subjects import gpt2, hooks, llama, tokens
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from darklantern import models
from darklantern.errors import SiteError
from darklantern.methods import linearise
from darklantern.models import edits
from darklantern.models.on_torch import hub, placing


class Attention(nn.Module):
    """Attention that calls the function itself."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out_proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each.unflatten(-1, (2, -1)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Stack(nn.Module):
    """Two blocks of attention and an activation, checkpointed or not."""

    def __init__(self, reentrant: bool | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Sequential(Attention(), nn.Linear(8, 8), nn.GELU()) for _ in range(2))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        for block in self.layers:
            x = block(x) if self.reentrant is None else checkpoint(block, x, use_reentrant=self.reentrant)
        return x


def points(requires_grad: bool = False) -> Tensor:
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(3)).requires_grad_(requires_grad)


def gradients(module: nn.Module, output: Callable[[], Tensor]) -> list[Tensor]:
    module.zero_grad()
    output().square().sum().backward()
    return [each.grad.clone() for each in module.parameters() if each.grad is not None]


KINDS = pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "non-reentrant"])


# a backward pass that raises


@KINDS
def test_after_a_backward_pass_that_raised_the_next_one_is_the_models_own(reentrant: bool) -> None:
    module = Stack(reentrant)
    x = points(requires_grad=True)
    own = gradients(module, lambda: module(x))
    output = models.open(module).run(x, {"layers.*.1:out": edits.scale(0.5)})

    def fails(_: Tensor) -> None:
        raise MemoryError("no room")

    failing = next(module.parameters()).register_hook(fails)
    with pytest.raises(MemoryError):
        output.square().sum().backward()
    failing.remove()
    del output
    assert not any(each() for each in hub._PASSES.values())
    assert all(map(torch.equal, gradients(module, lambda: module(x)), own))
    gc.collect()
    module(x)
    assert hooks(module) == 0


# several runs on one module


@KINDS
def test_an_earlier_graph_that_is_still_alive_edits_nothing_twice(reentrant: bool) -> None:
    module, x = Stack(reentrant), points(requires_grad=True)
    changes = {"layers.*.0:z": edits.scale(0.5)}
    right = models.open(Stack()).run(x, changes)
    model = models.open(module)
    kept = [model.run(x, changes) for _ in range(3)]
    assert all(torch.equal(each, right) for each in kept)


def test_threads_that_edit_one_attention_each_edit_it_once() -> None:
    module, x = Stack(), points()
    model = models.open(module)
    with torch.no_grad():
        right = [model.run(x, {"layers.*.0:z": edits.scale(factor)}) for factor in (0.25, 0.5, 2.0)]
    wrong: list[str] = []

    def work(number: int) -> None:
        with torch.no_grad():
            for _ in range(60):
                found = model.run(x, {"layers.*.0:z": edits.scale((0.25, 0.5, 2.0)[number])})
                # torch shares out work in each thread by itself, and so may round otherwise here; an edit that is
                # another's, or applied twice, is off by a hundredth and more.
                if not torch.allclose(found, right[number], atol=1e-6):
                    wrong.append(f"run {number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []
    assert hooks(module) == 0 and "forward" not in module.layers[0][0].__dict__  # type: ignore[index]


def test_a_run_within_an_edit_is_apart_from_the_run_around_it() -> None:
    module, x = Stack(), points()
    model = models.open(module)
    inner: list[Tensor] = []

    def again(value: Tensor) -> Tensor:
        inner.append(model.record(x, "layers.0.0:z")["layers.0.0:z"].array)
        return value * 0.5

    with torch.no_grad():
        assert torch.equal(model.run(x, {"layers.0.0:z": again}), model.run(x, {"layers.0.0:z": edits.scale(0.5)}))
        assert torch.equal(inner[0], model.record(x, "layers.0.0:z")["layers.0.0:z"].array)


def test_a_hook_called_without_keyword_arguments_does_nothing() -> None:
    """As torch calls it when a run in another thread ends between its list of hooks and its look at their kinds."""
    module = nn.Linear(2, 2)
    x = torch.ones(1, 2)
    assert hub.before(module, (x,)) is None
    assert hub.after(module, (x,), x) is x


# edits


def test_an_edit_may_write_into_what_it_is_given() -> None:
    module = gpt2()
    model = models.open(module)

    def pure(value: Tensor) -> Tensor:
        return torch.cat([value[:, :1], value[:, 1:2] * 0, value[:, 2:]], 1)

    def in_place(value: Tensor) -> Tensor:
        value[:, 1] = 0
        return value

    with torch.no_grad():
        for site in ("layers.1.attn:result", "layers.1.attn:z", "layers.1.norm2:in", "layers.1.mlp:slope", "embed:out"):
            found = model.run(tokens(), {site: in_place}).logits
            assert torch.equal(found, model.run(tokens(), {site: pure}).logits), site
            assert not torch.equal(found, model.run(tokens()).logits), site


def test_an_edit_in_place_leaves_the_callers_tensor_as_it_is() -> None:
    module, x = Stack(), points()
    before = x.clone()
    models.open(module).run(x, {"layers.0:in": lambda value: value.zero_()})
    assert torch.equal(x, before)


def test_a_recording_shows_what_flowed_on_whichever_name_it_was_asked_for_by() -> None:
    model = models.open(llama())
    with torch.no_grad():
        seen = model.record(tokens(), "layers.0.attn:q_pre", edits={"layers.0.attn.q_proj:out": edits.zero()})
        assert not seen["layers.0.attn:q_pre"].array.any()
        seen = model.record(tokens(), "layers.0.attn.q_proj:out", edits={"layers.0.attn:q_pre": edits.zero()})
        assert not seen["layers.0.attn.q_proj:out"].array.any()
        seen = model.record(tokens(), "layers.0.attn:result", edits={"layers.0.attn.o_proj:in": edits.zero()})
        assert not seen["layers.0.attn:result"].array.any()


def test_two_names_of_one_value_take_an_edit_each_and_show_both() -> None:
    model = models.open(llama())
    changes = {"layers.0.attn.q_proj:out": edits.scale(2.0), "layers.0.attn:q_pre": edits.scale(3.0)}
    names = ("layers.0.attn.q_proj:out", "layers.0.attn:q_pre")
    with torch.no_grad():
        plain, seen = model.record(tokens(), *names), model.record(tokens(), *names, edits=changes)
    for name in names:
        torch.testing.assert_close(seen[name].array, plain[name].array * 6)


def test_a_slope_is_that_of_what_went_in() -> None:
    model = models.open(Stack())
    names = ("layers.0.2:pre", "layers.0.2:post", "layers.0.2:slope")
    seen = model.record(points(), *names, edits={"layers.0.2:pre": edits.scale(0.3)})
    pre, post, slope = (seen[name].array for name in names)
    torch.testing.assert_close(slope * pre, post)


def test_nothing_flows_below_a_constant_where_activations_are_linear() -> None:
    model = linearise(models.open(Stack()), {"activation"})
    changes = {"layers.1.2:pre[pos=0]": edits.put(torch.ones(8))}
    found = model.gradient(points(), torch.sum, "layers.1.1:in", edits=changes).gradients["layers.1.1:in"]
    assert not found.at(pos=0).array.any() and found.at(pos=1).array.all()


# gradients


class Twice(nn.Module):
    """One part that runs twice."""

    def __init__(self, reentrant: bool | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.reentrant = nn.Linear(4, 4), nn.Linear(4, 4), reentrant

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.part(torch.tanh(self.part(x))))

    def part(self, x: Tensor) -> Tensor:
        return self.a(x) if self.reentrant is None else checkpoint(self.a, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [None, False])
def test_the_gradient_at_all_calls_has_one_for_each(reentrant: bool | None) -> None:
    model, x = models.open(Twice(reentrant)), torch.randn(3, 4, requires_grad=True)
    found = model.gradient(x, lambda y: y.square().sum(), "a#*:out")
    gradient, value = found.gradients["a#*:out"], found.values["a#*:out"]
    assert gradient.shape == value.shape == (2, 3, 4) and gradient.axes == ("call", "batch", "dim")
    plain = models.open(Twice())
    for call in (0, 1):
        one = plain.gradient(x, lambda y: y.square().sum(), f"a#{call}:out").gradients[f"a#{call}:out"]
        torch.testing.assert_close(gradient.array[call], one.array)


def test_the_gradient_at_all_calls_is_refused_where_calls_run_again_in_an_order_of_their_own() -> None:
    with pytest.raises(SiteError, match="fires several times"):
        models.open(Twice(True)).gradient(torch.randn(3, 4, requires_grad=True), lambda y: y.square().sum(), "a#*:out")


def test_a_gradient_never_takes_an_optimisers_step() -> None:
    """Under reentrant checkpointing gradients pass the parameters, where a step may be hooked in."""
    module, steps = Stack(True), []
    module.layers[1][1].weight.register_post_accumulate_grad_hook(lambda _: steps.append(1))  # type: ignore[index]
    with pytest.raises(SiteError, match=r"layers\.1\.1\.weight has hooks that act on its gradient"):
        models.open(module).gradient(points(requires_grad=True), torch.sum, "layers.0.1:out")
    assert not steps


def test_a_forward_product_leaves_other_threads_kernels_as_they_are() -> None:
    model, x, seen = models.open(Stack()), points(), []

    def look(value: Tensor) -> Tensor:
        reader = threading.Thread(target=lambda: seen.append(torch.backends.cuda.flash_sdp_enabled()))
        reader.start()
        reader.join()
        return value

    model.jvp(x, {"layers.0:in": torch.ones(8)}, "layers.1:out", edits={"layers.0.1:out": look})
    assert seen == [True]


# starts


def test_what_comes_before_a_start_cannot_be_changed_from_there() -> None:
    model = models.open(gpt2())
    start = model.start(tokens(), "layers.1")
    for change in ({"embed:out": edits.zero()}, {"norm:out": edits.zero(), "embed:out": edits.scale(2.0)}):
        with pytest.raises(SiteError, match="embed:out comes before"):
            model.run(start, change)
    with pytest.raises(SiteError, match="embed:out comes before"):
        model.gradient(start, lambda output: output.logits.sum(), "embed:out")
    with pytest.raises(SiteError, match="embed:out comes before"):
        model.jvp(start, {"embed:out": torch.ones(1)}, "norm:out")


def test_a_start_belongs_to_the_edits_it_was_taken_under() -> None:
    model = models.open(gpt2())
    changes = {"embed:out": edits.scale(2.0), "layers.1:in": edits.scale(0.5), "layers.2:out": edits.scale(3.0)}
    steered = model.edited(changes)
    with torch.no_grad():
        start = steered.start(tokens(), "layers.1")
        assert torch.equal(steered.run(start).logits, model.run(tokens(), changes).logits)
        with pytest.raises(SiteError, match=r"taken under the edit scale\(2\)"):
            model.run(start)


def test_a_start_leaves_statistics_and_random_numbers_as_they_are() -> None:
    class Batched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            for block in self.layers:
                x = block(x)
            return x

    module = Batched()
    before = {name: each.clone() for name, each in module.state_dict().items()}
    stream = torch.get_rng_state()
    model = models.open(module)
    start = model.start(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), "layers.1")
    model.executed(start, "layers.2:out")
    assert all(torch.equal(each, before[name]) for name, each in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream)


def test_where_a_run_stops_does_not_depend_on_what_ran_before() -> None:
    model, x = models.open(Twice()), torch.randn(3, 4)
    first = model.record(x, "a:out", stop=True)["a:out"].array
    model.record(x, "a#*:out")
    assert torch.equal(model.record(x, "a:out", stop=True)["a:out"].array, first)
    assert torch.equal(model.record(x, "a#0:out")["a#0:out"].array, first)


# what is asked for


def test_a_part_that_was_replaced_after_opening_is_not_looked_up_at_the_old_object() -> None:
    module = gpt2()
    model = models.open(module)
    held = module.transformer.h[1].mlp.c_fc
    module.transformer.h[1].mlp.c_fc = nn.Sequential(held)
    with pytest.raises(SiteError, match=r"transformer\.h\.1\.mlp\.c_fc is another module than when"):
        model.record(tokens(), "layers.1.mlp.c_fc:out")
    assert models.open(module).record(tokens(), "layers.1.mlp:out")


def test_what_is_sent_away_or_reduced_keeps_no_graph() -> None:
    model = models.open(gpt2())
    for options in ({"to": "cpu"}, {"reduce": lambda value: value.mean("pos")}):
        assert model.record(tokens(), "layers.1:out", **options)["layers.1:out"].array.grad_fn is None
    assert model.record(tokens(), "layers.1:out")["layers.1:out"].array.grad_fn is not None


def test_nothing_to_record_is_said() -> None:
    with pytest.raises(SiteError, match="no sites were given"):
        models.open(gpt2()).record(tokens())


def test_decoding_steps_belong_to_generate() -> None:
    with pytest.raises(SiteError, match="names decoding steps"):
        models.open(gpt2()).record(tokens(), "layers.1:out[step=0]")


def test_the_end_of_padded_tensors_is_refused_and_that_of_full_ones_is_not() -> None:
    model = models.open(gpt2())
    mask = torch.ones_like(tokens())
    seen = model.record({"input_ids": tokens(), "attention_mask": mask}, "layers.1:out[pos=-1]")
    assert seen["layers.1:out[pos=-1]"].shape[0] == len(tokens())
    mask[0, -1] = 0
    for site in ("layers.1:out[pos=-1]", "layers.1:out[pos=2:]", "layers.1:out[pos={0,-2}]"):
        with pytest.raises(SiteError, match="end in padding"):
            model.record({"input_ids": tokens(), "attention_mask": mask}, site)


# interrupts


@contextmanager
def interrupted(at: int, where: tuple[str, ...]) -> Iterator[list[int]]:
    """KeyboardInterrupt where Python looks for signals: at the `at`-th start or end of a call in files named so."""
    seen = [0]

    def look(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        # What a finalizer or the collector's callback raises goes nowhere.
        nowhere = code.co_name in ("__del__", "_collecting")
        if event in ("call", "c_return") and code.co_filename.endswith(where) and not nowhere:
            seen[0] += 1
            if seen[0] == at:
                raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def test_an_interrupt_at_any_call_leaves_a_model_that_can_be_looked_into() -> None:
    """Where hooks, taps and stubs are put on and taken off."""
    module, x = Stack(), points()
    model = models.open(module)
    sites, changes = ("layers.0.0:pattern", "layers.0.2:slope", "layers.1.1:out"), {"layers.0.1:out": edits.scale(2.0)}
    where = ("on_torch/placing.py", "on_torch/lasting.py", "on_torch/stubs.py")
    with torch.no_grad():
        right = model.record(x, *sites, edits=changes)
        own = module(x)
        for at in count(1):
            with interrupted(at, where):
                try:
                    model.record(x, *sites, edits=changes)
                except KeyboardInterrupt:
                    pass
                else:
                    break
            assert torch.equal(module(x), own), at
            again = model.record(x, *sites, edits=changes)
            assert all(torch.equal(again[site].array, right[site].array) for site in sites), at
            assert hooks(module) == 0, at
            assert all("forward" not in each.__dict__ for each in module.modules()), at
    assert at > 40


def test_a_finalizer_that_runs_in_the_midst_of_our_own_lock_does_not_wait_for_it() -> None:
    module, x = Stack(False), points(requires_grad=True)
    output = models.open(module).run(x, {"layers.0.1:out": edits.scale(0.5)})
    done = threading.Event()

    def collected() -> None:
        nonlocal output
        with placing._LOCK:
            del output
            gc.collect()
        done.set()

    threading.Thread(target=collected, daemon=True).start()
    assert done.wait(10)
    module(x)
    assert hooks(module) == 0


def test_what_the_collector_finds_goes_with_the_next_call() -> None:
    """It may run while torch goes through a module's hooks, which must not change then."""
    module, x = Stack(False), points(requires_grad=True)
    cycle: list[Any] = [models.open(module).run(x, {"layers.0.1:out": edits.scale(0.5)})]
    cycle.append(cycle)
    held = hooks(module)
    del cycle
    gc.collect()
    assert hooks(module) == held > 0
    module(x)
    assert hooks(module) == 0


def test_what_is_compiled_beside_a_run_compiles_without_it() -> None:
    module, x = Stack(False), points(requires_grad=True)
    held = models.open(module).run(x, {"layers.0.1:out": edits.scale(0.5)})
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(module.layers[0], backend="eager", fullgraph=True)
        assert torch.equal(compiled(x), module.layers[0](x))
    torch._dynamo.reset()
    assert hooks(module) > 0
    del held
