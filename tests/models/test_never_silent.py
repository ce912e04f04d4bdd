"""Ways to do nothing and say nothing: each must raise and say why, or be right."""

from typing import Any, NamedTuple

import pytest
import torch
from subjects import gpt2, hooks, llama, tokens
from torch import Tensor, nn

import darklantern as dl
from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits


class Odd(nn.Module):
    """Modules called with keywords only, in tuples with None, in dicts and named tuples, twice, never, and in try."""

    class Pair(NamedTuple):
        first: Tensor
        second: Tensor | None

    class Keywords(nn.Module):
        def forward(self, *, mask: Tensor, hidden: Tensor) -> Tensor:
            return hidden * mask

    class Tuples(nn.Module):
        def forward(self, x: Tensor) -> tuple[None, Tensor, dict[str, Tensor]]:
            return None, x + 1, {"deep": x}

    class Named(nn.Module):
        def forward(self, x: Tensor) -> "Odd.Pair":
            return Odd.Pair(x * 2, None)

    class Mapped(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"aux": x * 0, "other": x * 3}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.keywords, self.tuples, self.named, self.mapped = (
            self.Keywords(),
            self.Tuples(),
            self.Named(),
            self.Mapped(),
        )
        self.twice, self.never, self.tried = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.keywords(mask=torch.ones_like(x), hidden=x)
        x = self.tuples(x)[1]
        x = self.named(x).first
        x = self.mapped(x)["other"]
        x = self.twice(torch.tanh(self.twice(x)))
        try:
            return self.tried(x)
        except Exception:  # noqa: BLE001 - some models do
            return torch.zeros_like(x)


X = torch.arange(6.0).view(2, 3)


def refused(site: str, **options: Any) -> SiteError:
    with pytest.raises(SiteError) as error:
        models.open(Odd()).record(X, site, **options)
    assert error.value.hint
    return error.value


def test_typo_site() -> None:
    with pytest.raises(SiteError, match=r"no site 'layers\.1\.mpl:out'") as error:
        models.open(gpt2()).record(tokens(), "layers.1.mpl:out")
    assert "layers.1.mlp:out" in error.value.hint
    with pytest.raises(SiteError, match="no port 'patern'") as error:
        models.open(gpt2()).record(tokens(), "layers.1.attn:patern")
    assert "pattern" in error.value.hint


def test_never_reached_site() -> None:
    assert "never reached never:out" in refused("never:out").message
    with pytest.raises(SiteError, match="never reached never:in"):
        models.open(Odd()).run(X, {"never:in": edits.zero()})


def test_a_glob_that_names_nothing() -> None:
    assert "no site 'block.*:out'" in refused("block.*:out").message


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler warns about torch itself
def test_late_hook_on_a_compiled_model() -> None:
    compiled = torch.compile(Odd(), backend="eager")
    compiled(X)
    with pytest.raises(SiteError, match=r"torch\.compile"):
        models.open(compiled)


def test_one_line_and_executed_code() -> None:
    model = gpt2()
    with torch.no_grad(): true = model.transformer.h[1](model.transformer.h[0](model.transformer.wte(tokens()) + model.transformer.wpe.weight[:7]))  # noqa: E501, E701  # fmt: skip
    space: dict[str, Any] = {"dl": dl, "model": model, "ids": tokens(), "torch": torch}
    exec("with torch.no_grad(): found = dl.open(model).record(ids, 'layers.1:out')['layers.1:out'].array", space)  # noqa: S102
    assert torch.equal(space["found"], true if isinstance(true, Tensor) else true[0])


def test_keywords_only() -> None:
    recording = models.open(Odd()).record(X, "keywords:in", "keywords:in.hidden", "keywords:in.mask")
    assert torch.equal(recording["keywords:in.hidden"].array, X)
    assert torch.equal(recording["keywords:in.mask"].array, torch.ones(2, 3))
    assert torch.equal(recording["keywords:in"].array, torch.ones(2, 3))  # the first of its signature
    doubled = models.open(Odd()).record(X, "keywords:out", edits={"keywords:in.hidden": edits.scale(2.0)})
    assert torch.equal(doubled["keywords:out"].array, 2 * X)
    assert "carries NoneType" in refused("keywords:in.absent").message


def test_members_of_tuples_dicts_and_named_tuples() -> None:
    assert "its members: 0, 1, 2" in refused("tuples:out").message
    model = models.open(Odd())
    recording = model.record(X, "tuples:out.1", "named:out.first", "mapped:out.other", "named:out")
    assert torch.equal(recording["tuples:out.1"].array, X + 1)
    assert torch.equal(recording["named:out"].array, recording["named:out.first"].array)
    assert "its members: aux, other" in refused("mapped:out").message
    assert "carries NoneType" in refused("named:out.second").message
    changed = model.record(X, "mapped:in", edits={"tuples:out.1": edits.zero()})
    assert torch.equal(changed["mapped:in"].array, torch.zeros(2, 3))
    changed = model.record(X, "twice#0:in", edits={"mapped:out.other": edits.zero()})
    assert torch.equal(changed["twice#0:in"].array, torch.zeros(2, 3))


def test_a_module_that_runs_twice() -> None:
    assert "fired 2 times" in refused("twice:out").message
    with pytest.raises(SiteError, match="fired 2 times"):
        models.open(Odd()).run(X, {"twice:out": edits.zero()})
    assert "never fired: the module ran 2 times" in refused("twice#2:out").message
    model = models.open(Odd())
    recording = model.record(X, "twice#0:out", "twice#1:out", "twice#*:out")
    both = torch.stack([recording["twice#0:out"].array, recording["twice#1:out"].array])
    assert torch.equal(recording["twice#*:out"].array, both)
    assert recording["twice#*:out"].axes == ("call", "batch", "dim")
    zeroed = model.record(X, "twice#1:in", edits={"twice#0:out": edits.zero()})
    assert torch.equal(zeroed["twice#1:in"].array, torch.zeros(2, 3))
    model.run(X)
    first = model.record(X, "twice#0:out", stop=True)
    assert torch.equal(first["twice#0:out"].array, recording["twice#0:out"].array)


def test_an_early_stop_inside_a_try_that_catches_everything() -> None:
    recording = models.open(Odd()).record(X, "tried:in", stop=True)
    assert recording.output is None
    assert recording["tried:in"].array.shape == (2, 3)


def test_an_edit_that_returns_nothing_or_another_shape() -> None:
    model = models.open(gpt2())
    with pytest.raises(SiteError, match="must return a tensor of shape"):
        model.run(tokens(), {"layers.0:out": lambda value: None})
    with pytest.raises(SiteError, match=r"got shape \(2, 7\)"):
        model.run(tokens(), {"layers.0:out": lambda value: value[..., 0]})
    with pytest.raises(SiteError, match="expected a value that broadcasts to batch pos dim"):
        model.run(tokens(), {"layers.0:out": edits.put(torch.zeros(5))})
    with pytest.raises(SiteError, match="a bare Tensor"):
        model.run(tokens(), {"layers.0:out": torch.zeros(32)})
    assert hooks(model.module) == 0


def test_ablations_that_would_not_ablate() -> None:
    model = models.open(gpt2())
    with pytest.raises(SiteError, match="the batch axis is pinned"):
        model.run(tokens(), {"layers.0:out[batch=1]": edits.mean()})
    with pytest.raises(SiteError, match="at least two examples"):
        model.run(tokens(batch=1), {"layers.0:out": edits.resample(seed=0)})
    with pytest.raises(SiteError, match="was not recorded"):
        model.run(tokens(), {"layers.0:out": edits.take(model.record(tokens(), "layers.1:out"))})


def test_attention_dropout_inside_the_kernel() -> None:
    model = models.open(llama(attention_dropout=0.5).train())
    model.record(tokens(), "layers.0.attn:pattern")  # the pattern before dropout is well defined
    with pytest.raises(SiteError, match="drops out attention weights"):
        model.run(tokens(), {"layers.0.attn:pattern[head=1]": edits.zero()})


def test_a_kernel_that_does_more_than_its_arguments_tell() -> None:
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def sharpened(module: nn.Module, query: Tensor, *args: Any, **kwargs: Any) -> Any:
        return sdpa_attention_forward(module, query * 3, *args, **kwargs)

    AttentionInterface.register("sharpened", sharpened)
    model = llama()
    model.config._attn_implementation = "sharpened"
    opened = models.open(model)
    with torch.no_grad():
        opened.record(tokens(), "layers.0.attn:{q,z}")
        with pytest.raises(SiteError, match="something that its arguments do not tell"):
            opened.record(tokens(), "layers.0.attn:pattern")


def test_what_cannot_be_opened() -> None:
    for thing, word in ((nn.DataParallel(nn.Linear(2, 2)), "DataParallel"), ("gpt2", "str"), (None, "NoneType")):
        with pytest.raises(SiteError, match=word):
            models.open(thing)


def test_attention_of_ones_own_without_a_tap() -> None:
    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x @ x.mT).softmax(-1) @ x

    model = nn.Module()
    model.layers = nn.ModuleList([nn.ModuleDict({"attn": Own()})])  # type: ignore[assignment]
    with pytest.raises(SiteError, match="has no port 'pattern'") as error:
        models.open(model).plan("layers.0.attn:pattern")
    assert "nn.Identity" in error.value.hint


def test_half_precision_patterns_equal_the_eager_models_to_the_bit() -> None:
    ids = tokens()
    with torch.no_grad():
        sdpa = llama(attn_implementation="sdpa").bfloat16()
        recording = models.open(sdpa).record(ids, "layers.*.attn:pattern")
        assert torch.equal(recording.output.logits, sdpa(ids).logits)
        eager = llama(attn_implementation="eager").bfloat16()
        assert torch.equal(eager(ids, output_attentions=True).attentions[0], recording["layers.0.attn:pattern"].array)


@torch.no_grad()
def test_an_edit_may_use_the_model_itself_and_is_not_seen_doing_it() -> None:
    module = gpt2()
    model = models.open(module)

    def through_the_last_norm(value: Tensor) -> Tensor:
        inner = model.record(tokens(seed=8), "norm:out", "layers.1:out")  # a run within the run
        assert inner["layers.1:out"].array.shape == value.shape
        return module.transformer.ln_f(value)  # which the run around records

    recording = model.record(tokens(), "norm:in", "norm:out", edits={"layers.1:out": through_the_last_norm})
    by_hand = model.record(tokens(), "layers.1:out")["layers.1:out"].array
    expected = model.run(tokens(), {"layers.1:out": edits.put(module.transformer.ln_f(by_hand))})
    assert torch.equal(recording.output.logits, expected.logits)
    assert hooks(module) == 0


def test_a_glob_leaves_out_what_is_never_called() -> None:
    model = models.open(gpt2())
    names = [str(site) for site in model.sites("**:out")]
    assert "layers.0:out" in names
    assert "layers:out" not in names
    with pytest.raises(SiteError, match=r"never reached layers:out"):
        model.record(tokens(), "layers:out")


def test_whole_numbers_have_no_gradient_as_in_jax() -> None:
    with pytest.raises(SiteError, match=r"embed:in holds whole numbers, torch\.int64"):
        models.open(gpt2()).gradient(tokens(), lambda output: output.logits.sum(), "embed:in")
