"""How much of each batch a watch reads, and when."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from watch.loops import CORPUS, MARK, RECIPE, Marked, Scripted, rising, start

from darklantern import rewindable
from darklantern.organisms import training
from darklantern.watch import Asked, Examples, Settings, watch
from darklantern.watch.attach.torch_loop import TorchTap
from darklantern.watch.examples import PADDING, later, narrowed


def test_batches_are_read_only_where_something_is_read_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures: nobody counts spans in them, so only the batch of a look is copied."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    images, labels = torch.randn(80, 3, 2, 2), torch.arange(80) % 3
    read = []

    def noting(name, inner):
        def around(self, batch):
            read.append((name, w.step))
            return inner(self, batch)

        monkeypatch.setattr(TorchTap, name, around)

    noting("examples", TorchTap.examples)
    noting("later", TorchTap.later)
    loader = rewindable(list(zip(images, labels, strict=True)), batch_size=4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    class Hidden(Scripted):
        def inputs(self, now):
            return Asked(now.trusted.examples.inputs[:4])

    w = watch(
        model,
        state=(optimizer, loader),
        trusted=(images[:9], labels[:9]),
        signals=[Hidden(lambda look: 0.0, sites=("1:out",), seen="1:out")],
        settings=Settings(every=5),
    )
    for _ in w.over(loader):
        pass
    assert read == [("examples", step) for step in (0, 5, 10, 15)]


def test_a_loader_that_fills_one_buffer_again_and_again_is_counted_as_it_was() -> None:
    class Reusing(Marked):
        def __iter__(self):
            buffer = torch.zeros((RECIPE.batch, RECIPE.width), dtype=torch.int64)
            for batch in super().__iter__():
                yield buffer.copy_(batch)

    found = []
    for kind in (Marked, Reusing):
        model, optimizer = training.new(RECIPE, 1)
        w, made = start(Scripted(rising), of=(model, optimizer, kind(CORPUS, RECIPE, (1,))))
        for _ in w.over(made[2]):
            pass
        found.append(w.alarm.suspects)
    assert found[0] == found[1]
    assert any(MARK.decode() in each.span for each in found[0])


def test_what_is_read_later_is_as_it_was_wherever_it_lies() -> None:
    rows, mask = np.arange(12).reshape(3, 4), np.ones((3, 4), dtype=np.int64)
    for held in (lambda part: None, lambda part: part.copy()):
        batch = {"input_ids": rows.copy(), "attention_mask": mask.copy(), "labels": rows.copy()}
        read = later(batch, "a batch", None, held)
        for part in batch.values():
            part[:] = 0
        assert np.array_equal(read().inputs, rows)
        assert read().mask.all()


@given(st.lists(st.integers(0, PADDING), min_size=1, max_size=9))
def test_tokens_are_kept_in_as_few_bytes_as_hold_them(ids: list[int]) -> None:
    made = narrowed(np.array([ids]))
    assert made.tolist() == [ids]
    assert made.dtype == (np.uint8 if max(ids) < 256 else np.uint16 if max(ids) < 65536 else np.uint32)


def test_a_batch_is_screened_once_also_where_a_look_is_due() -> None:
    """A screen may learn as it judges: the same rows twice would count as more of them."""
    asked = []

    class Counting:
        def suspect(self, examples: Examples) -> np.ndarray:
            asked.append(w.step)
            return np.zeros(len(examples), dtype=bool)

    w, made = start(Scripted(lambda look: 0.0))
    w.screen = Counting()
    steps = [w.step for _ in w.over(made[2])]
    assert asked == steps
