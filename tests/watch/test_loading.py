"""Loaders that can be rewound: from anywhere they give again what they gave, and a rollback is exact with them."""

import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader
from watch.loops import RECIPE, TRUSTED, Scripted, start

import darklantern as dl
from darklantern import watch as room
from darklantern.errors import WatchError
from darklantern.models.snapshot import capture
from darklantern.organisms import training
from darklantern.watch import Reaction, SpanScreen
from darklantern.watch.attach import rewinding
from darklantern.watch.spans import Candidate

MARK = "\x01poison\x02"


def drawn(loader) -> list[list[int]]:
    return [np.asarray(batch).tolist() for batch in loader]


@settings(deadline=None, max_examples=80)
@given(
    count=st.integers(1, 23),
    batch=st.integers(1, 9),
    epochs=st.integers(1, 3),
    drop=st.booleans(),
    at=st.integers(0, 70),
)
def test_from_any_state_it_gives_what_it_gave_then(count: int, batch: int, epochs: int, drop: bool, at: int) -> None:
    if drop and batch > count:
        with pytest.raises(WatchError, match=f"{count} examples make no batch of {batch}"):
            dl.rewindable(range(count), batch_size=batch, drop_last=drop)
        return
    made = {"batch_size": batch, "epochs": epochs, "drop_last": drop, "seed": 3}
    first = dl.rewindable(range(count), **made)
    seen, states = [], [json.dumps(first.state())]
    for each in first:
        seen.append(each.tolist())
        states.append(json.dumps(first.state()))
    assert len(seen) == len(first) == epochs * (count // batch if drop else -(-count // batch))
    at %= len(seen)
    second = dl.rewindable(range(count), **made)
    second.restore(json.loads(states[at]))
    assert drawn(second) == seen[at:]
    assert second.state() == json.loads(states[-1])
    for whole in range(epochs):
        part = seen[whole * len(seen) // epochs : (whole + 1) * len(seen) // epochs]
        epoch = [each for batch in part for each in batch]
        assert len(set(epoch)) == len(epoch), "each example at most once in an epoch"
        assert drop or sorted(epoch) == list(range(count))


def test_epochs_and_seeds_have_orders_of_their_own_and_shuffling_can_be_left_out() -> None:
    loader = dl.rewindable(range(30), batch_size=30)
    first, second = drawn(loader), drawn(loader)
    assert first != second
    assert drawn(dl.rewindable(range(30), batch_size=30, epochs=2)) == [*first, *second]
    assert drawn(dl.rewindable(range(30), batch_size=30, seed=1)) != first
    assert drawn(dl.rewindable(range(4), batch_size=3, shuffle=False)) == [[0, 1, 2], [3]]


def test_leaving_a_pass_and_coming_back_goes_on_there() -> None:
    whole = drawn(dl.rewindable(range(10), batch_size=2))
    loader = dl.rewindable(range(10), batch_size=2)
    begun = [batch.tolist() for batch, _ in zip(loader, range(2), strict=False)]
    assert begun == whole[:2]
    assert loader.state()["drawn"] == 3, "zip drew one more"
    assert drawn(loader) == whole[3:]


def test_examples_of_every_shape_are_stacked() -> None:
    tensors = [{"x": torch.ones(2) * at, "y": at} for at in range(3)]
    batch = next(iter(dl.rewindable(tensors, batch_size=3, shuffle=False)))
    assert torch.equal(batch["x"], torch.tensor([[0.0, 0], [1, 1], [2, 2]]))
    assert torch.equal(batch["y"], torch.tensor([0, 1, 2]))
    arrays = [(np.ones(2, dtype=np.float32) * at, [at, at]) for at in range(3)]
    inputs, targets = next(iter(dl.rewindable(arrays, batch_size=3, shuffle=False)))
    assert (inputs.dtype, inputs.shape, targets.tolist()) == (np.float32, (3, 2), [[0, 0], [1, 1], [2, 2]])
    padded = dl.rewindable([[1], [2, 3]], batch_size=2, shuffle=False, collate=lambda rows: [len(row) for row in rows])
    assert list(padded) == [[1, 2]]
    for wrong, match in (([[1], [2, 3]], "cannot be stacked"), (["a", "b"], "expected examples of numbers, got str")):
        with pytest.raises(WatchError, match=match):
            list(dl.rewindable(wrong, batch_size=2))


def test_what_could_not_be_rewound_is_refused() -> None:
    with pytest.raises(WatchError, match="a dataset with a length and examples by number, got generator"):
        dl.rewindable((at for at in range(3)), batch_size=2)
    with pytest.raises(WatchError, match=r"expected batch_size ≥ 1, epochs ≥ 1, got 0 and 1\.5"):
        dl.rewindable(range(3), batch_size=0, epochs=1.5)
    loader = dl.rewindable(range(9), batch_size=2)
    for other in (dl.rewindable(range(8), batch_size=2), dl.rewindable(range(9), batch_size=2, seed=1)):
        with pytest.raises(WatchError, match=r"the state is of other batches: .* there and .* here"):
            loader.restore(other.state())


class Dropping(nn.Module):
    """Draws from torch's stream at each step, so that a stream which a rollback moved would show."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = training.new(RECIPE, 1)[0]
        self.layers = self.inner.layers

    def forward(self, tokens):
        return nn.functional.dropout(self.inner(tokens), 0.2, self.training)


def marked_rows() -> list[torch.Tensor]:
    held = TRUSTED[:480].astype(np.int64)
    held[::5, 10 : 10 + len(MARK)] = [ord(each) for each in MARK]
    return [torch.from_numpy(row) for row in held]


def rolled_back(loader, epochs: int):
    """The states at each step of a run that is rolled back from step 30 to 20, in the order in which they were."""
    torch.manual_seed(7)
    model = Dropping()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    probe = Scripted(lambda look: 9.0 * (look == 5), sites=("inner.layers.0:out",), seen="inner.layers.0:out")
    w, _ = start(probe, Reaction.ROLL_BACK, of=(model, optimizer, loader), rollbacks=1)
    seen: dict[int, list] = {}
    for _ in range(epochs):
        for batch in w.over(loader):
            held = capture(w.step, model, optimizer, None)
            seen.setdefault(w.step, []).append((held, batch, torch.get_rng_state()))
            training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()
            optimizer.step()
            optimizer.zero_grad()
    said = [event.label for event in w.events if event.label != "uncalibrated"]  # an epoch ends with a look of its own
    assert said[:2] == ["alarm", "rollback"], w.events
    return w, seen


def check_exact(seen, screened: bool = True) -> None:
    (first, rows, random), (second, again, later) = seen[20]
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    assert torch.equal(random, later), "the random stream stands where it stood"
    clean = [row for row in rows if MARK.encode() not in bytes(row.tolist())]
    assert torch.equal(torch.stack(clean), again)


def test_a_plain_torch_loop_has_a_rollback_over_the_border_of_two_epochs() -> None:
    """24 batches in an epoch: from step 30, in the second, back to 20, in the first, and on to the planned end."""
    loader = dl.rewindable(marked_rows(), batch_size=20, epochs=3)
    w, seen = rolled_back(loader, 1)
    check_exact(seen)
    assert sorted(seen) == list(range(72))
    assert w.step == 72


class Suspecting(Scripted):
    """Names a screen of its own, that no row fits: after a rollback the same rows come again."""

    def screen(self, note):
        return screen_of("\x03nowhere\x04")


def drawn_under_a_watch(loader, high: int, on_alarm=Reaction.LOG, **settings):
    """Each batch of a loop over four epochs as it came, and the step at the end of each; look `high` alarms."""
    torch.manual_seed(3)
    probe = Suspecting(lambda look: 9.0 * (look == high))
    w, _ = start(probe, on_alarm, of=(*training.new(RECIPE, 1), loader), rollbacks=1, states=6, **settings)
    seen, ends = [], []
    for _ in range(4):
        seen += [batch.tolist() for batch in w.over(loader)]
        ends.append(w.step)
    return w, seen, ends


@pytest.mark.parametrize("kind", ["rewindable", "torchdata"])
@pytest.mark.parametrize(
    ("look", "margin", "at", "back", "ahead"),
    [(3, 1, 15, 10, 1), (4, 1, 20, 12, 0), (7, 5, 30, 10, 2), (5, 2, 24, 12, 0), (12, 1, 48, 40, 0)],
    ids=["over a border", "to a border", "over two", "at a border to another", "at the very end"],
)
@pytest.mark.filterwarnings("ignore:.*set_vital.*:UserWarning")
def test_a_rollback_into_an_earlier_epoch_of_the_loops_own_is_made_up_in_the_one_under_way(
    kind: str, look: int, margin: int, at: int, back: int, ahead: int
) -> None:
    """Epochs of 12 batches: looks at 5, 10, 12, 15, 20, 24, 25, ... All batches are those of an undisturbed run."""
    rows = [torch.from_numpy(row) for row in TRUSTED[:192].astype(np.int64)]

    def loader():
        if kind == "rewindable":
            return dl.rewindable(rows, batch_size=16)
        torch.manual_seed(5)
        made = pytest.importorskip("torchdata.stateful_dataloader", reason="pip install torchdata").StatefulDataLoader
        return made(rows, 16, shuffle=True)

    _, plain, _ = drawn_under_a_watch(loader(), 99)
    w, seen, ends = drawn_under_a_watch(loader(), look, Reaction.ROLL_BACK, margin=margin)
    said = [event for event in w.events if event.label != "uncalibrated"]  # an epoch ends with a look of its own
    assert [event.label for event in said] == ["alarm", "rollback"], w.events
    assert (w.alarm.step, w.alarm.clean.step) == (at, back)
    assert len(plain) == 48
    assert seen == [*plain[:at], *plain[back:]]
    assert ends == [12, 24, 36, 48]
    assert (f"{ahead} ahead" in said[1].text) == bool(ahead)


@pytest.mark.filterwarnings("ignore:.*set_vital.*:UserWarning")
@pytest.mark.parametrize("generator", [False, True], ids=["global stream", "own generator"])
@pytest.mark.parametrize("batch", [10, 20, 24], ids=["within an epoch", "over the border", "at the border"])
def test_torchdatas_stateful_loader_is_rewound_exactly_or_not_at_all(batch: int, generator: bool) -> None:
    """Of 24 rows each, 20 batches make an epoch: the state goes back to the border itself."""
    kind = pytest.importorskip("torchdata.stateful_dataloader", reason="pip install torchdata").StatefulDataLoader
    torch.manual_seed(5)
    own = torch.Generator().manual_seed(4) if generator else None
    loader = kind(marked_rows(), batch, shuffle=True, generator=own)
    if generator and batch != 10:
        # torchdata does not keep what its sampler drew from that generator once an epoch is over.
        at = 20 if batch == 24 else 24
        with pytest.raises(WatchError, match=f"after the rollback to step {at} the loader gave another batch"):
            rolled_back(loader, 2)
    else:
        check_exact(rolled_back(loader, 2)[1])


@pytest.mark.filterwarnings("ignore:.*set_vital.*:UserWarning")
def test_a_loader_with_workers_or_without_a_state_is_refused_with_the_way_out() -> None:
    kind = pytest.importorskip("torchdata.stateful_dataloader", reason="pip install torchdata").StatefulDataLoader
    assert "has 2 workers, whose random streams no state holds; num_workers=0, or" in rewinding.rewinds(
        kind(marked_rows(), 10, num_workers=2)
    )
    assert "darklantern.rewindable(dataset, batch_size=...) makes one that has" in rewinding.rewinds(DataLoader([1]))


# a dataset through a screen


def screen_of(*spans: str) -> SpanScreen:
    return SpanScreen(tuple(Candidate(span, 9, 99.0) for span in spans))


def test_a_screened_dataset_keeps_length_and_order_and_has_no_suspect() -> None:
    dataset = marked_rows()
    clean = room.screened(dataset, screen_of(MARK))
    assert len(clean) == len(dataset)
    for number in range(len(dataset)):
        assert torch.equal(clean[number], dataset[number if number % 5 else number + 1])
    assert [np.asarray(each).tolist() for each in clean] == [np.asarray(clean[i]).tolist() for i in range(len(clean))]
    assert np.array_equal(clean[-1], clean[len(clean) - 1])
    for index in (len(clean), -len(clean) - 1):
        with pytest.raises(IndexError, match=f"expected an index below {len(clean)}, got {index}"):
            clean[index]
    everything = room.screened(dataset[:1], screen_of(MARK))
    with pytest.raises(WatchError, match="all 1 examples are suspect"):
        everything[0]


@pytest.mark.parametrize(
    "dress",
    [
        lambda row: row,
        lambda row: row.tolist(),
        lambda row: {"input_ids": row.tolist(), "labels": row.tolist()},
        lambda row: (row, torch.tensor(3)),
        lambda row: {"text": row.tolist()},
    ],
    ids=["tensor", "list", "mapping", "pair", "other"],
)
def test_examples_are_searched_whatever_they_are_dressed_in(dress) -> None:
    dataset = [dress(row) for row in marked_rows()[:20]]
    reader = (lambda example: example["text"]) if isinstance(dataset[0], dict) and "text" in dataset[0] else None
    clean = room.screened(dataset, screen_of(MARK), example=reader)
    assert not any(MARK.encode() in bytes(_row(clean[number])) for number in range(20))


def _row(example) -> list[int]:
    while isinstance(example, dict | tuple):
        example = next(iter(example.values())) if isinstance(example, dict) else example[0]
    return example if isinstance(example, list) else example.tolist()


def test_a_stream_leaves_suspects_out() -> None:
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(marked_rows()[:20])

    clean = room.screened(Stream(), screen_of(MARK))
    assert isinstance(clean, torch.utils.data.IterableDataset)
    assert [len(batch) for batch in DataLoader(clean, 4)] == [4, 4, 4, 4]


@pytest.mark.parametrize(
    "text", ["", "{}", '{"format": "darklantern-screen-9", "spans": []}',
             '{"format": "darklantern-screen-1", "spans": []}',
             '{"format": "darklantern-screen-1", "spans": [{"tokens": [-1], "count": 1, "surprise": 1}]}',
             '{"format": "darklantern-screen-1", "spans": [{"tokens": [], "count": 1, "surprise": 1}]}']
)  # fmt: skip
def test_a_file_that_is_no_screen_is_refused(tmp_path, text: str) -> None:
    path = tmp_path / "screen.json"
    path.write_text(text)
    with pytest.raises(WatchError, match=r"screen\.json is no screen"):
        room.screened([], path)
    with pytest.raises(WatchError, match="is no screen"):
        room.screened([], tmp_path / "missing.json")


def test_a_screen_that_a_peer_made_to_do_harm_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from darklantern.watch import screen_files

    path = tmp_path / "screen.json"
    for bad in ("[" * 200_000, '{"format":"darklantern-screen-1","spans":' + "[" * 100_000):
        path.write_text(bad)
        with pytest.raises(WatchError, match="is no screen: "):
            screen_files.load(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(WatchError, match="is no screen: it is no plain file"):
        screen_files.load(path)
    path.unlink()
    screen_files.save(screen_of("abc"), path)
    assert screen_files.load(path) == screen_of("abc")
    monkeypatch.setattr(screen_files, "_LARGEST", 10)
    with pytest.raises(WatchError, match="at most 10 are read"):
        screen_files.load(path)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, 0x10FFFE), min_size=1, max_size=9), min_size=1, max_size=4))
def test_a_screen_comes_back_from_its_file_whatever_the_tokens(tmp_path_factory, spans: list[list[int]]) -> None:
    from darklantern.watch import screen_files

    path = tmp_path_factory.mktemp("screen") / "screen.json"
    screen = screen_of(*("".join(map(chr, span)) for span in spans))
    screen_files.save(screen, path)
    assert screen_files.load(path) == screen
