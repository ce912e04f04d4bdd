"""A screened batch: every part of it follows its examples, whatever it is made of, and what went wrong is noticed."""

from collections import OrderedDict, UserDict, defaultdict, namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from watch.loops import CORPUS, MARK, RECIPE, Marked, Scripted, rising, start

from darklantern.errors import WatchError
from darklantern.organisms import training
from darklantern.watch import Examples, Reaction
from darklantern.watch.attach import filtering
from darklantern.watch.attach.filtering import Filter
from darklantern.watch.attach.torch_loop import tap
from darklantern.watch.batches import Batch

ROWS = np.arange(24).reshape(6, 4)
KEPT = np.array([True, False, True, True, False, True])
LEFT = [0, 2, 3, 5]
Pair = namedtuple("Pair", "ids, names")


def torch_tap(batch=None):
    return tap(torch.nn.Linear(2, 2), (), batch=batch)


def keep(batch):
    return torch_tap().keep(batch, KEPT)


@pytest.mark.parametrize("make", [torch.from_numpy, np.asarray, np.ndarray.tolist])
def test_rows_of_any_make_are_filtered(make) -> None:
    for batch in ([make(ROWS)], (make(ROWS), make(ROWS[:, 0]))):
        made = keep(batch)
        assert type(made) is type(batch)
        assert np.array_equal(made[0], ROWS[LEFT])
        assert type(made[0]) is type(batch[0])
    assert np.array_equal(made[1], ROWS[LEFT, 0])


def test_what_goes_with_the_rows_goes_with_them_and_the_rest_stays() -> None:
    batch = {
        "input_ids": torch.from_numpy(ROWS),
        "attention_mask": ROWS > 3,
        "text": [f"row {i}" for i in range(6)],
        "said": ("a", None, "c", "d", None, "f"),
        "meta": {"source": [{"file": i} for i in range(6)], "day": Pair(ROWS[:, 0], list("abcdef"))},
        "boxes": [torch.zeros(k, 4) for k in (1, 6, 2, 0, 3, 6)],
        "num_items_in_batch": torch.tensor(5),
        "scalar": np.array(6),
        "scale": 0.5,
        "none": None,
        "size": (28, 28, 3),
        "name": "sixsix",
        "table": torch.eye(5),
    }
    made = keep(batch)
    assert np.array_equal(made["input_ids"], ROWS[LEFT])
    assert np.array_equal(made["attention_mask"], ROWS[LEFT] > 3)
    assert made["text"] == ["row 0", "row 2", "row 3", "row 5"]
    assert made["said"] == ("a", "c", "d", "f")
    assert made["meta"]["source"] == [{"file": i} for i in LEFT]
    assert np.array_equal(made["meta"]["day"].ids, ROWS[LEFT, 0])
    assert made["meta"]["day"].names == list("acdf")
    assert [len(each) for each in made["boxes"]] == [1, 2, 0, 6]
    assert all(made[name] is batch[name] for name in ("num_items_in_batch", "scalar", "scale", "none", "name", "table"))
    assert made["size"] == (28, 28, 3)
    assert len(batch["text"]) == 6


@pytest.mark.parametrize("kind", [UserDict, OrderedDict])
def test_a_map_of_a_kind_of_its_own_stays_one(kind) -> None:
    made = keep(kind(input_ids=ROWS))
    assert type(made) is kind
    assert np.array_equal(made["input_ids"], ROWS[LEFT])
    held = defaultdict(list, input_ids=ROWS)
    assert keep(held).default_factory is list
    assert len(held["input_ids"]) == 6


def test_pairs_of_two_examples_are_no_list_of_examples() -> None:
    two = torch.arange(8).reshape(2, 4)
    made = torch_tap().keep((two, two + 8), np.array([False, True]))
    assert [each.tolist() for each in made] == [[[4, 5, 6, 7]], [[12, 13, 14, 15]]]
    with pytest.raises(WatchError, match="could be either axis"):
        torch_tap().keep({"ids": two, "pair": [two, two]}, np.array([False, True]))


@given(st.lists(st.booleans(), min_size=2, max_size=9), st.booleans())
def test_parts_stay_in_step_for_any_choice(kept, jax_like) -> None:
    count = len(kept)
    order = np.flatnonzero(kept)
    if jax_like and len(order):
        order = np.resize(order, count)
    batch = {"a": np.arange(count), "b": [str(i) for i in range(count)], "c": (np.arange(3 * count).reshape(count, 3),)}
    made = Filter(order, count, lambda part, index: part[index]).of(batch)
    assert made["a"].tolist() == order.tolist() == [int(each) for each in made["b"]]
    if count != 1:
        assert (made["c"][0][:, 0] // 3).tolist() == order.tolist()


class Own:
    """A batch of a class that nobody can look into."""

    def __init__(self, rows) -> None:
        self.rows = rows


@pytest.mark.parametrize("where", ["own", "square", "beside"])
def test_a_batch_that_cannot_be_screened_is_refused(where) -> None:
    rows = torch.from_numpy(ROWS[:4])
    kept = np.array([True, True, False, True])
    if where == "own":
        given, read = Own(rows), lambda batch: batch.rows
    elif where == "square":  # a list of four rows of four
        given, read = list(rows), torch.stack
    else:
        given, read = {"rows": rows, "real": Own(rows)}, lambda batch: batch["real"].rows
    with pytest.raises(WatchError, match="other examples than those that were to be left") as refused:
        Batch(given, torch_tap(read)).only(kept)
    assert "first axis is the batch" in refused.value.hint


def test_a_part_that_no_index_cuts_is_refused() -> None:
    class Solid(torch.Tensor):
        def __getitem__(self, index):
            raise NotImplementedError("solid")

    with pytest.raises(WatchError, match="taken out of a batch, dict: solid"):
        keep({"rows": ROWS, "solid": torch.zeros(6).as_subclass(Solid)})


def test_a_reader_may_pad_to_the_longest_row() -> None:
    def read(texts):
        width = max(map(len, texts))
        ids = np.array([[ord(c) for c in each.ljust(width)] for each in texts])
        return {"input_ids": ids, "attention_mask": ids != 32}

    batch = Batch(["ab", "abcdef", "abc"], torch_tap(read))
    made = batch.only(np.array([True, False, True]))
    assert made.given == ["ab", "abc"]
    assert made.examples.inputs.shape == (2, 6)


def test_other_rows_targets_or_masks_are_noticed() -> None:
    rows = Examples(np.array([[1.0, np.nan], [2.0, 3.0]]), np.arange(2))
    filtering.check(rows, Examples(rows.inputs.copy(), rows.targets.copy()))
    tokens = Examples(ROWS, None, ROWS > 2)
    for found, wanted in (
        (rows.take([1, 0]), rows),
        (Examples(rows.inputs, rows.targets[::-1]), rows),
        (Examples(rows.inputs), rows),
        (rows.take([0]), rows),
        (Examples(ROWS, None, ROWS > 1), tokens),
        (Examples(ROWS[:, :2]), Examples(ROWS)),
    ):
        with pytest.raises(WatchError, match="other examples"):
            filtering.check(found, wanted)


def texts(rows):
    return [bytes(row) for row in rows.numpy().astype(np.uint8)]


@pytest.mark.parametrize("kind", ["tensors", "arrays", "lists", "maps"])
def test_after_a_rollback_no_marked_row_is_handed_out_in_any_make_of_batch(kind) -> None:
    makes = {
        "tensors": lambda rows: rows,
        "arrays": lambda rows: rows.numpy(),
        "lists": lambda rows: [rows.numpy()],
        "maps": lambda rows: {"input_ids": rows, "text": texts(rows), "count": torch.tensor(16)},
    }

    class Made(Marked):
        def __iter__(self):
            return (makes[kind](rows) for rows in super().__iter__())

    model, optimizer = training.new(RECIPE, 1)
    loader = Made(CORPUS, RECIPE, (1,))
    w, _ = start(
        Scripted(rising), on_alarm=lambda alarm: Reaction.ROLL_BACK, of=(model, optimizer, loader), rollbacks=1
    )
    marked = 0
    for batch in w.over(loader):
        rows = batch["input_ids"] if kind == "maps" else batch[0] if kind == "lists" else batch
        if w.rollbacks:
            marked += sum(MARK in bytes(row) for row in np.asarray(rows).astype(np.uint8))
            if kind == "maps":
                assert batch["text"] == texts(rows)
        training.train_step(model, optimizer, RECIPE, w.step, torch.as_tensor(np.asarray(rows)))
    assert w.rollbacks
    assert w.screened_rows
    assert not marked
