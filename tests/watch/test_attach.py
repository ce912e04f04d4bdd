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
from darklantern.watch import Asked, Examples, Probe, Reaction, Reading, Seen, Settings, Signal, watch
from darklantern.watch.attach.torch_loop import tap
from darklantern.watch.examples import PADDING, examples

ROWS = TRUSTED[:3, :-1]
SITE = "layers.0:out"


class Wrapped(ByteLM):
    """A ByteLM whose output is dressed as `dress` says."""

    def __init__(self, dress) -> None:
        super().__init__(RECIPE.shape, torch.Generator().manual_seed(1))
        self.dress = dress

    def forward(self, tokens):
        return self.dress(super().forward(tokens))


def see(model, rows=ROWS, sites=("layers.0:out",)):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return Seen(tap(model, (optimizer, Marked(CORPUS, RECIPE, (1,)))).see(rows, sites, sites, True))


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
    assert np.array_equal(found.lens("layers.0:out"), expected.lens("layers.0:out"))


@pytest.mark.parametrize(
    ("dress", "match"),
    [
        (lambda logits: (logits * 2, logits), "returns 2 values, of which 2 could be logits"),
        (lambda logits: (), "returns 0 values"),
        (lambda logits: logits[0], r"to give logits \(3, …, classes\), got \(48, 128\)"),
        (lambda logits: logits.argmax(-1), r"got \(3, 48\) of torch.int64"),
        (lambda logits: None, "got NoneType"),
    ],
    ids=["two of them", "none", "one example only", "greedy tokens", "nothing"],
)
def test_what_cannot_be_read_as_logits_is_named(dress, match: str) -> None:
    with pytest.raises(WatchError, match=match):
        see(Wrapped(dress))


def test_a_readout_of_another_shape_is_named() -> None:
    model, optimizer, loader = parts()
    with pytest.raises(WatchError, match=r"expected readout of layers\.0:out to give logits"):
        tap(model, (optimizer, loader), lambda residual: residual[:, 0]).see(ROWS, (SITE,), (SITE,), False)


def test_a_pass_ends_at_the_deepest_site_unless_the_output_is_read() -> None:
    model, optimizer, loader = parts()
    ran = []
    model.unembed.register_forward_hook(lambda *_: ran.append("unembed"))
    made = tap(model, (optimizer, loader))
    assert made.see(ROWS, (SITE,), (), False).output is None
    assert ran == []
    assert made.see(ROWS, (SITE,), (), True).output.shape == (3, 48, 128)
    assert ran == ["unembed"]


def test_what_the_model_says_of_given_tokens_is_reckoned_in_place() -> None:
    seen = see(training.new(RECIPE, 1)[0])
    targets = TRUSTED[:3, 1:].astype(np.int64)
    expected = np.take_along_axis(seen.log_probs, targets[..., None], -1)[..., 0]
    assert np.allclose(seen.log_prob(targets), expected, atol=1e-6)
    lens = np.take_along_axis(seen.lens(SITE), targets[..., None], -1)[..., 0]
    assert np.allclose(seen.lens_prob(SITE, targets), lens, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_model_of_another_dtype_is_seen_in_float32(dtype: torch.dtype) -> None:
    seen = see(training.new(RECIPE, 1)[0].to(dtype))
    exact = see(training.new(RECIPE, 1)[0])
    assert seen.log_probs.dtype == seen["layers.0:out"].dtype == np.float32
    assert np.allclose(seen.log_probs, exact.log_probs, atol=0.05)


def test_rows_go_to_the_device_where_the_model_is_now() -> None:
    """The meta device stands for an accelerator: tokens must go there; its results hold no data to bring back."""
    model, optimizer, loader = parts()
    made = tap(model, (optimizer, loader))
    devices = []
    model.register_forward_pre_hook(lambda _, args: devices.append(args[0].device.type))
    made.see(ROWS, (), (), True)
    model.to("meta")
    assert made.see(ROWS, (), (), True).output.device.type == "meta"
    assert devices == ["cpu", "meta"]


def test_a_model_that_cannot_take_the_rows_is_named_before_the_first_step() -> None:
    wide = np.repeat(TRUSTED, 2, axis=1)
    with pytest.raises(WatchError, match=r"ByteLM cannot run the watch's rows, int64 \(3, 98\) on cpu"):
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
        w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[probe], settings=Settings(every=3))
        batches = w.over(loader) if watched else loader
        for batch in batches:
            modes = [part.training for part in (model, model.frozen, model.free, model.free[1])]
            assert modes == [True, False, True, True]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten()).backward()
            optimizer.step()
        return weights_hash(model)

    assert train(watched=True) == train(watched=False)


def test_frozen_parts_come_back_frozen_and_gradients_as_they_stood() -> None:
    model, optimizer, loader = parts()
    model.embed.requires_grad_(False)
    before = model.embed.weight.clone()
    w, _ = start(Scripted(rising), lambda alarm: Reaction.ROLL_BACK, of=(model, optimizer, loader), rollbacks=1)
    pending = []
    for batch in w.over(loader):
        grad = model.norm.weight.grad
        pending.append((w.step, None if grad is None else grad.clone()))
        training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()  # gradients pile up, no update
    assert [step for step, grad in pending if grad is None] == [0]
    first, second = (grad for step, grad in pending if step == 20)
    assert torch.equal(first, second)
    assert not model.embed.weight.requires_grad
    assert model.norm.weight.requires_grad
    assert torch.equal(model.embed.weight, before)


ROW = np.arange(12).reshape(3, 4)


@pytest.mark.parametrize(
    ("batch", "inputs", "targets"),
    [
        (torch.from_numpy(ROW), ROW, None),
        (ROW.astype(np.uint8), ROW, None),
        ([torch.from_numpy(ROW)], ROW, None),
        ((torch.ones(3, 2), torch.tensor([1, 0, 1])), np.ones((3, 2)), [1, 0, 1]),
        ({"input_ids": torch.from_numpy(ROW), "labels": torch.from_numpy(ROW)}, ROW, None),
        ({"input_ids": torch.from_numpy(ROW), "labels": torch.tensor([1, 0, 1])}, ROW, [1, 0, 1]),
        ({"pixel_values": torch.ones(3, 2).bfloat16(), "label": torch.tensor([1, 0, 1])}, np.ones((3, 2)), [1, 0, 1]),
        (Examples(ROW, np.array([1, 2, 3])), ROW, [1, 2, 3]),
    ],
    ids=["tensor", "array", "list of one", "pair", "tokens", "classified tokens", "pixels", "examples"],
)
def test_examples_are_taken_out_of_what_loaders_yield(batch, inputs, targets) -> None:
    found = examples(batch, "a batch")
    assert np.array_equal(found.inputs, inputs)
    assert (found.targets is None) == (targets is None)
    assert targets is None or found.targets.tolist() == targets
    assert found.are_tokens == (targets is None)


@pytest.mark.parametrize(
    ("batch", "came"),
    [
        ("text", "got str"),
        ({"text": [1]}, "got a mapping with 'text'"),
        ((torch.ones(2), torch.ones(2), torch.ones(2)), "got tuple of 3"),
        (None, "got NoneType"),
    ],
)
def test_batches_of_another_kind_are_named(batch, came: str) -> None:
    with pytest.raises(WatchError, match=f"expected a batch as an array.*{came}"):
        examples(batch, "a batch")
    assert examples(batch, "a batch", lambda batch: (ROW, [1, 2, 3])).targets.tolist() == [1, 2, 3]


@pytest.mark.parametrize("token", [PADDING, -1])
def test_numbers_that_are_no_token_ids_are_refused(token: int) -> None:
    with pytest.raises(WatchError, match=f"expected a batch of token ids from 0 on, got {token}"):
        examples(np.where(ROW == 3, token, ROW), "a batch")


def test_a_pair_of_differing_length_is_refused() -> None:
    with pytest.raises(WatchError, match=r"one target for each input, got inputs \(3, 4\) and targets \(2,\)"):
        examples((ROW, np.ones(2)), "a batch")


def test_padded_positions_are_known_by_the_mask() -> None:
    found = examples({"input_ids": ROW, "attention_mask": ROW % 4 < 3}, "a batch")
    assert (found.tokens[:, 3] == PADDING).all()
    assert np.array_equal(found.tokens[:, :3], ROW[:, :3])
    assert np.array_equal(found.take([1]).tokens, found.tokens[1:2])


def test_a_classifier_is_watched_by_a_function_of_examples_and_screened_by_its_rows() -> None:
    """No tokens, no readout, no spans: inputs and targets, as a vision loop has them."""

    class Pairs(Marked):
        def __iter__(self):
            for batch in super().__iter__():
                yield batch[:, :8].float(), batch[:, 8] % 3

    class Norm(Probe):
        signals = (Signal("norm", "I0", "signal", "", "mean norm of the hidden layer"),)
        sites = ("0:out",)
        settings = {}  # noqa: RUF012

        def inputs(self, now):
            assert now.spans is None
            assert now.fresh is None or now.fresh.targets is not None
            return Asked(now.trusted.examples.inputs[:4])

        def read(self, seen):
            return (Reading(float(np.linalg.norm(seen["0:out"], axis=-1).mean())),)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer, loader = torch.optim.SGD(model.parameters(), 1e-3), Pairs(CORPUS, RECIPE, (1,), end=20)
    trusted = (np.ones((9, 8), dtype=np.float32), np.zeros(9, dtype=np.int64))
    w = watch(model, state=(optimizer, loader), trusted=trusted, signals=[Norm()], settings=Settings(every=5))
    for inputs, targets in w.over(loader):
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    readings = [reading.value for reading in w.trace.tracks["norm"].readings]
    assert len(readings) == 4
    assert readings[-1] == pytest.approx(float(model[0](torch.ones(8)).detach().norm()), abs=1e-5)


def test_batches_of_another_shape_than_the_trusted_examples_are_refused() -> None:
    w, (_, _, loader) = start(Scripted(rising), of=given((torch.ones(4, 3), torch.ones(4))))
    with pytest.raises(WatchError, match=r"a batch has examples \(3,\), the trusted ones are \(49,\)"):
        list(w.over(loader))


def test_no_trusted_rows_are_refused() -> None:
    model, optimizer, loader = parts()
    for rows in (TRUSTED[:0], TRUSTED[:, :5]):
        with pytest.raises(WatchError, match="expected trusted rows of at least 6 tokens"):
            watch(model, state=(optimizer, loader), trusted=rows, signals=[Scripted(rising)])


class Still(Marked):
    def state(self):
        return {}


class Unwritable(Marked):
    def state(self):
        return {"order": np.arange(3)}


class Keyed(Marked):
    def state(self):
        return {0: 1}


class Paired(Marked):
    def state(self):
        return {"at": [(1, 2)]}


def test_what_could_not_be_rolled_back_is_refused_when_attaching() -> None:
    model, optimizer, loader = parts()
    other = training.new(RECIPE, 2)[1]
    for first, state, match in (
        (models.open(model), (optimizer, loader), "expected a torch.nn.Module, got Model"),
        (model, (model, optimizer, loader), r"expected state=\(optimizer, loader, ...\), got ByteLM, AdamW, Marked"),
        (model, (optimizer, loader, loader), r"got AdamW, Marked, Marked"),
        (model, (other, loader), "the optimizer trains 17 tensors that are not of this ByteLM"),
        (model, (optimizer, Unwritable(CORPUS, RECIPE, (1,))), r"Unwritable.state\(\) is not made of JSON values"),
        (
            model,
            (optimizer, Keyed(CORPUS, RECIPE, (1,))),
            r"Keyed.state\(\) comes back from JSON as something else: {0",
        ),
        (model, (optimizer, Paired(CORPUS, RECIPE, (1,))), r"comes back from JSON as something else: \(1, 2\)"),
    ):
        with pytest.raises(WatchError, match=match):
            tap(first, state, lambda residual: residual)


def test_what_cannot_be_rewound_is_said_at_once_and_an_alarm_then_stops() -> None:
    model, optimizer, _ = parts()
    rows = list(torch.from_numpy(TRUSTED[:32].astype(np.int64)))
    for state, why in (
        (
            (optimizer, DataLoader(list(torch.from_numpy(TRUSTED[:32].astype(np.int64))), batch_size=16)),
            "DataLoader has no state() and restore(state)",
        ),
        ((optimizer,), "the watch was given no loader"),
        ((), "the watch was given no optimizer"),
    ):
        w = watch(model, state=state, trusted=TRUSTED, signals=[Scripted(rising)])
        assert bool(w.events[1:]) == bool(state), "without a state the loop decides: it may be a trainer's"
        next(w.over(state[1] if len(state) > 1 else given(torch.stack(rows))[2]))
        (said,) = [event for event in w.events if event.label == "no rollback"]
        assert why in said.text
    once = DataLoader([torch.from_numpy(TRUSTED[at].astype(np.int64)) for at in range(900)], batch_size=16)
    w, made = start(Scripted(rising), Reaction.ROLL_BACK, of=(model, optimizer, once))
    run(w, made)
    assert w.step == 30
    assert "no rollback: DataLoader has no state()" in w.stopped or "nothing of the new rows" in w.stopped


def test_what_else_a_loop_carries_on_is_rolled_back_too() -> None:
    model, optimizer, loader = parts()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.5)
    w = watch(
        model,
        state=(optimizer, loader, scheduler),
        trusted=TRUSTED,
        signals=[Scripted(rising)],
        settings=Settings(every=5, margin=1, rollbacks=1),
        on_alarm=Reaction.ROLL_BACK,
    )
    rates = {}
    for batch in w.over(loader):
        rates.setdefault(w.step, []).append((scheduler.last_epoch, optimizer.param_groups[0]["lr"]))
        training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()
        optimizer.step()
        scheduler.step()
    twice = [seen for seen in rates.values() if len(seen) == 2]
    assert twice
    assert all(first == second for first, second in twice)


def test_a_cursor_that_does_not_follow_the_batches_is_refused_at_the_first() -> None:
    model, optimizer, _ = parts()
    loader = Still(CORPUS, RECIPE, (1,))
    w, _ = start(Scripted(rising), of=(model, optimizer, loader))
    with pytest.raises(WatchError, match=r"state\(\) is the same before and after a batch"):
        list(w.over(loader))


def test_one_probe_in_two_watches_measures_each_against_its_own_start() -> None:
    class Drift(Probe):
        signals = (Signal("drift", "I0", "signal", "", "distance from the first look"),)
        sites = (SITE,)
        settings = {}  # noqa: RUF012

        def inputs(self, now):
            return Asked(ROWS)

        def note(self, seen):
            return seen[SITE].copy()

        def read(self, seen):
            return (Reading(float(np.abs(seen[SITE] - seen.first).max())),)

    def drift(probe, seed: int) -> list[float]:
        model, optimizer = training.new(RECIPE, seed)
        loader = Marked(CORPUS, RECIPE, (seed,), end=20)
        made = (model, optimizer, loader)
        w = watch(model, state=made[1:], trusted=TRUSTED, signals=[probe], settings=Settings(every=5))
        run(w, made)
        return [reading.value for reading in w.trace.tracks["drift"].readings]

    shared = Drift()
    first, second = drift(Drift(), 1), drift(Drift(), 2)
    assert min(first) > 0.01, "against the start, not against the look itself"
    assert [drift(shared, 1), drift(shared, 2)] == [first, second]
