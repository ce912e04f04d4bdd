"""What the two lines of attaching make of models, optimizers, loaders and rows as people have them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from watch.loops import CORPUS, RECIPE, TRUSTED, Marked, Scripted, given, parts, rising, run, start

from darklantern import models
from darklantern.errors import WatchError
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import training
from darklantern.organisms.bytelm import ByteLM
from darklantern.watch import PayloadProbe, Reaction, Settings, SpanProbe, watch
from darklantern.watch.attach.torch_loop import tap
from darklantern.watch.spans import SpanCounter

ROWS = TRUSTED[:3]


class Wrapped(ByteLM):
    """A ByteLM whose output is dressed as `dress` says."""

    def __init__(self, dress) -> None:
        super().__init__(RECIPE.shape, torch.Generator().manual_seed(1))
        self.dress = dress

    def forward(self, tokens):
        return self.dress(super().forward(tokens))


def see(model, rows=ROWS, sites=("layers.0:out",)):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return tap(model, (optimizer, Marked(CORPUS, RECIPE, (1,))), None).see(rows, sites, sites)


@pytest.mark.parametrize(
    "dress",
    [
        lambda logits: (logits, None),
        lambda logits: (torch.tensor(1.0), logits, (torch.ones(3, 48),)),
        lambda logits: {"loss": None, "logits": logits},
        lambda logits: SimpleNamespace(logits=logits, past_key_values=None),
        lambda logits: logits.double(),
    ],
    ids=["tuple", "tuple after the loss", "mapping", "object", "float64"],
)
def test_logits_are_found_in_what_models_return(dress) -> None:
    expected, found = see(training.new(RECIPE, 1)[0]), see(Wrapped(dress))
    assert np.allclose(found.log_probs, expected.log_probs, atol=1e-6)
    assert np.array_equal(found.lenses["layers.0:out"], expected.lenses["layers.0:out"])


@pytest.mark.parametrize(
    ("dress", "match"),
    [
        (lambda logits: (logits * 2, logits), "returns 2 values, of which 2 could be logits"),
        (lambda logits: (), "returns 0 values"),
        (lambda logits: logits[:, -1:], r"to give logits \(3, 48, more than \d+\), got \(3, 1, 128\)"),
        (lambda logits: logits[..., :20], r"got \(3, 48, 20\)"),
        (lambda logits: logits.argmax(-1), r"got \(3, 48\) of torch.int64"),
        (lambda logits: None, "got NoneType"),
    ],
    ids=["two of them", "none", "last position only", "too few tokens", "greedy tokens", "nothing"],
)
def test_what_cannot_be_read_as_logits_is_named(dress, match: str) -> None:
    with pytest.raises(WatchError, match=match):
        see(Wrapped(dress))


def test_a_readout_of_another_shape_is_named() -> None:
    model, optimizer, loader = parts()
    with pytest.raises(WatchError, match=r"expected readout of layers\.0:out to give logits"):
        tap(model, (optimizer, loader), lambda residual: residual[:, 0]).see(ROWS, ("layers.0:out",), ("layers.0:out",))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_model_of_another_dtype_is_seen_in_float32(dtype: torch.dtype) -> None:
    seen = see(training.new(RECIPE, 1)[0].to(dtype))
    exact = see(training.new(RECIPE, 1)[0])
    assert seen.log_probs.dtype == seen.sites["layers.0:out"].dtype == np.float32
    assert np.allclose(seen.log_probs, exact.log_probs, atol=0.05)


def test_rows_go_to_the_device_where_the_model_is_now() -> None:
    """The meta device stands for an accelerator: tokens must go there; its results hold no data to bring back."""
    model, optimizer, loader = parts()
    made = tap(model, (optimizer, loader), None)
    devices = []
    model.register_forward_pre_hook(lambda _, args: devices.append(args[0].device.type))
    made.see(ROWS, (), ())
    model.to("meta")
    with pytest.raises(NotImplementedError, match="meta tensor; no data"):
        made.see(ROWS, (), ())
    assert devices == ["cpu", "meta"]


def test_a_model_that_cannot_take_the_rows_is_named_before_the_first_step() -> None:
    wide = np.repeat(TRUSTED, 2, axis=1)
    with pytest.raises(WatchError, match=r"ByteLM cannot run the watch's rows, int64 \(3, 97\) on cpu"):
        see(training.new(RECIPE, 1)[0], rows=wide[:3])


class Moody(nn.Module):
    """Has a part that its user froze in eval mode and one that draws random numbers whatever its mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(256, 8)
        self.frozen = nn.BatchNorm1d(8)
        self.free = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.readout = nn.Linear(8, 256)
        self.frozen.eval()

    def forward(self, tokens):
        x = self.embed(tokens).mT
        x = nn.functional.dropout(self.free(self.frozen(x)), 0.1, training=True)
        return self.readout(x.mT)


def test_a_look_leaves_modes_running_averages_and_random_streams_alone() -> None:
    def train(watched: bool) -> str:
        model = Moody()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        loader = Marked(CORPUS, RECIPE, (1,), end=12)
        torch.manual_seed(5)
        probe = Scripted(lambda look: 0.0, sites=("embed:out",), seen="embed:out")
        w = watch(model, state=(optimizer, loader), trusted=TRUSTED, probes=[probe], settings=Settings(every=3))
        batches = w.over(loader) if watched else loader
        for batch in batches:
            modes = [part.training for part in (model, model.frozen, model.free, model.free[1])]
            assert modes == [True, False, True, True]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten()).backward()
            optimizer.step()
        return weights_hash(model)

    assert train(watched=True) == train(watched=False)


def test_frozen_parts_come_back_frozen_and_gradients_do_not_cross_a_rollback() -> None:
    model, optimizer, loader = parts()
    model.embed.requires_grad_(False)
    before = model.embed.weight.clone()
    w, _ = start(Scripted(rising), lambda alarm: Reaction.ROLL_BACK, of=(model, optimizer, loader), rollbacks=1)
    pending = []
    for batch in w.over(loader):
        pending.append((w.step, model.norm.weight.grad is None))
        training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()  # gradients pile up, no update
    assert [step for step, none in pending if none] == [0, 20], "only before the first step and after the rollback"
    assert not model.embed.weight.requires_grad
    assert model.norm.weight.requires_grad
    assert torch.equal(model.embed.weight, before)


@pytest.mark.parametrize("token", [300, 50256, -1])
def test_tokens_that_are_not_bytes_are_refused_and_not_cut_down(token: int) -> None:
    batch = torch.full((4, RECIPE.width), 65)
    batch[2, 3] = token
    w, (_, _, loader) = start(Scripted(rising), of=given(batch))
    with pytest.raises(WatchError, match=f"a batch of token rows of bytes, 0 to 255, got the token {token}"):
        list(w.over(loader))
    with pytest.raises(WatchError, match=f"trusted rows of bytes, 0 to 255, got the token {token}"):
        SpanProbe(batch)


@pytest.mark.parametrize(
    ("batch", "came"),
    [
        (torch.ones(4, 49, dtype=torch.bool), r"Tensor \(4, 49\) of torch.bool"),
        (torch.ones(4, 49, 2, dtype=torch.int64), r"Tensor \(4, 49, 2\)"),
        ([torch.ones(4, 49, dtype=torch.int64)], "got list"),
        ({"input_ids": torch.ones(4, 49, dtype=torch.int64)}, "got dict"),
        (np.ones((4, 49), dtype=np.uint8), "got ndarray"),
    ],
    ids=["bool", "three axes", "list", "dict", "array"],
)
def test_batches_of_another_kind_are_named(batch, came: str) -> None:
    w, (_, _, loader) = start(Scripted(rising), of=given(batch))
    with pytest.raises(WatchError, match=rf"expected a batch of token rows.*{came}"):
        list(w.over(loader))


def test_batches_of_another_width_than_the_trusted_rows_are_refused() -> None:
    w, (_, _, loader) = start(Scripted(rising), of=given(torch.full((4, 33), 65)))
    with pytest.raises(WatchError, match="a batch has rows of 33 bytes, the trusted rows have 49"):
        list(w.over(loader))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64])
def test_trusted_rows_may_be_a_tensor(kind: torch.dtype) -> None:
    wide = np.concatenate([TRUSTED, TRUSTED], axis=1)[:, :65]
    tensor = torch.from_numpy(wide.astype(np.int64)).to(kind)
    empty = SpanCounter(wide, 4)
    assert np.array_equal(SpanProbe(tensor).rows(empty), SpanProbe(wide).rows(empty))
    made = [PayloadProbe(rows, [b"x" * 9], "layers.0:out", "layers.0:out").rows(empty) for rows in (tensor, wide)]
    assert np.array_equal(*made)
    w, _ = start(Scripted(rising))
    again = watch(w._tap.model.module, state=parts_of(w), trusted=torch.from_numpy(TRUSTED), probes=[Scripted(rising)])
    assert np.array_equal(again._spans._trusted, w._spans._trusted)


def parts_of(w):
    return w._tap.optimizer, w._tap.loader


@pytest.mark.parametrize(
    "rows", [[b"abcdefgh"], TRUSTED[0], TRUSTED.astype(float), torch.ones(3, 49), torch.ones(3, 49).bfloat16()]
)
def test_trusted_rows_of_another_kind_are_named(rows) -> None:
    with pytest.raises(WatchError, match=r"expected trusted rows, integers \(n, width\)"):
        PayloadProbe(rows, [b"x"], "layers.0:out", "layers.0:out")


def test_no_trusted_rows_are_refused() -> None:
    model, optimizer, loader = parts()
    for rows in (TRUSTED[:0], TRUSTED[:, :5]):
        with pytest.raises(WatchError, match="expected trusted rows of at least 6 bytes"):
            watch(model, state=(optimizer, loader), trusted=rows, probes=[Scripted(rising)])


class Still(Marked):
    def state(self):
        return {}


class Unwritable(Marked):
    def state(self):
        return {"order": np.arange(3)}


def test_what_could_not_be_rolled_back_is_refused_when_attaching() -> None:
    model, optimizer, loader = parts()
    other = training.new(RECIPE, 2)[1]
    for first, state, match in (
        (models.open(model), (optimizer, loader), "expected a torch.nn.Module, got Model"),
        (model, (model, optimizer, loader), r"expected state=\(optimizer, loader\), got tuple"),
        (model, (loader, optimizer), "expected a torch.optim.Optimizer first in `state`, got Marked"),
        (model, (other, loader), "the optimizer trains 17 tensors that are not of this ByteLM"),
        (model, (optimizer, DataLoader([1, 2])), "DataLoader has no state"),
        (model, (optimizer, Unwritable(CORPUS, RECIPE, (1,))), r"Unwritable.state\(\) is not made of JSON values"),
    ):
        with pytest.raises(WatchError, match=match):
            tap(first, state, lambda residual: residual)


def test_a_cursor_that_does_not_follow_the_batches_is_refused_at_the_first() -> None:
    model, optimizer, _ = parts()
    loader = Still(CORPUS, RECIPE, (1,))
    w, _ = start(Scripted(rising), of=(model, optimizer, loader))
    with pytest.raises(WatchError, match=r"state\(\) is the same before and after a batch"):
        list(w.over(loader))


def test_one_probe_in_two_watches_measures_each_against_its_own_start() -> None:
    def drift(probe, seed: int) -> list[float]:
        model, optimizer = training.new(RECIPE, seed)
        loader = Marked(CORPUS, RECIPE, (seed,), end=20)
        w = watch(model, state=(optimizer, loader), trusted=TRUSTED, probes=[probe])
        run(w, (model, optimizer, loader))
        return [reading.value for reading in w.trace.tracks["payload drift"].readings]

    def made() -> PayloadProbe:
        return PayloadProbe(TRUSTED, [b"os.system(1)"], "layers.0:out", "layers.0:out")

    shared = made()
    first, second = drift(made(), 1), drift(made(), 2)
    assert min(first) > 0.1, "against the start, not against the look itself"
    assert [drift(shared, 1), drift(shared, 2)] == [first, second]
