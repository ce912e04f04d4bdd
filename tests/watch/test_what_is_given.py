"""What people have at hand as trusted examples, signals and settings: taken where it is plain, else refused by name."""

import re

import numpy as np
import pytest
import torch
from watch.loops import RECIPE, TRUSTED, Scripted, parts

import darklantern as dl
from darklantern.errors import SnapshotError, WatchError
from darklantern.models import snapshot
from darklantern.organisms import training
from darklantern.watch import Examples, Settings
from darklantern.watch.examples import examples, trusted_examples
from darklantern.watch.language import SpanProbe
from darklantern.watch.language.token_rows import token_rows

ROWS = TRUSTED[:40].astype(np.int64)
TENSORS = torch.from_numpy(ROWS)
IMAGES, CLASSES = torch.arange(96.0).reshape(8, 3, 2, 2), torch.arange(8) % 3
PROBE = Scripted(lambda look: 0.0)


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        TENSORS,
        list(ROWS),
        list(TENSORS),
        ROWS.tolist(),
        torch.utils.data.TensorDataset(TENSORS),
        {"input_ids": TENSORS},
        Examples(ROWS),
    ],
    ids=["array", "tensor", "arrays", "tensors", "lists", "dataset", "mapping", "examples"],
)
def test_trusted_rows_come_in_any_of_these_forms(given) -> None:
    found = trusted_examples(given)
    assert np.array_equal(found.inputs, ROWS)
    assert found.are_tokens


@pytest.mark.parametrize(
    "given", [(IMAGES, CLASSES), [IMAGES, CLASSES], torch.utils.data.TensorDataset(IMAGES, CLASSES)]
)
def test_inputs_with_targets_are_a_pair_or_a_dataset_of_two_tensors(given) -> None:
    found = trusted_examples(given)
    assert np.array_equal(found.inputs, IMAGES.numpy())
    assert np.array_equal(found.targets, CLASSES.numpy())


def test_a_list_of_images_is_as_many_images() -> None:
    assert trusted_examples(list(IMAGES)).inputs.shape == (8, 3, 2, 2)


PAIRS = list(zip(TENSORS, TENSORS, strict=True))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.utils.data.DataLoader(TENSORS), "got DataLoader"),
        (PAIRS, "got list of 40"),
        ([list(pair) for pair in PAIRS], "got list of 40"),
        ([{"input_ids": row} for row in ROWS], "got list of 40"),
        ("rows", "got str"),
        (torch.utils.data.TensorDataset(IMAGES, CLASSES, CLASSES), "got tuple of 3"),
    ],
    ids=["loader", "pairs", "lists of two", "mappings", "text", "three tensors"],
)
def test_what_is_none_of_them_is_told_what_is_taken(given, said: str) -> None:
    with pytest.raises(
        WatchError, match=f"a list of three or more of one shape, .* or a TensorDataset, {said}"
    ) as refused:
        trusted_examples(given)
    assert "next(iter(loader))" in refused.value.hint


def test_a_list_of_differing_widths_names_them() -> None:
    with pytest.raises(WatchError, match=r"of one shape, got \(49,\), \(7,\)"):
        trusted_examples([*ROWS, ROWS[0, :7]])


def test_a_batch_of_three_alike_is_no_list_of_examples() -> None:
    with pytest.raises(WatchError, match="expected a batch as an array"):
        examples([TENSORS, TENSORS, TENSORS], "a batch")


def test_probes_take_what_the_watch_takes() -> None:
    assert np.array_equal(token_rows(list(TENSORS), "trusted rows"), ROWS)


def made(**given):
    model, optimizer, loader = parts(end=10)
    w = dl.watch(model, state=(optimizer, loader), **{"trusted": TRUSTED, "signals": [PROBE]} | given)
    return w, model, optimizer, loader


def test_a_list_of_trusted_rows_is_watched_with() -> None:
    w, model, optimizer, loader = made(trusted=list(TRUSTED), settings=Settings(every=5))
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    assert w.trace.steps == [5, 10]


def zero(seen):
    return 0.0


@pytest.mark.parametrize(("signal", "name"), [(PROBE, "scripted"), (zero, "zero"), (dl.signal(zero), "zero")])
def test_one_signal_is_a_list_of_one(signal, name: str) -> None:
    assert list(made(signals=signal)[0].trace.tracks) == [name]


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        ({"every": 5}, "watch takes no every=, which is one of its settings", r"settings=dl.Settings\(every=5\)"),
        ({"on_failure": "raise"}, "no on_failure=, which is one", r"Settings\(on_failure='raise'\)"),
        ({"on_alert": 1}, "watch takes no on_alert=", "did you mean on_alarm"),
        ({"settings": {"every": 5}}, "expected settings as Settings, got dict", r"settings=dl.Settings\(every=5\)"),
        ({"settings": 5}, "expected settings as Settings, got int", r"settings=dl.Settings\(every=10\)"),
        ({"hang_after": 5}, "hang_after=5 is for a watchdog", 'run="a name"'),
        ({"signals": 3}, "expected probes or functions as signals, got 3", "SpanProbe"),
        ({"signals": "span"}, "expected probes or functions as signals, got 'span'", "SpanProbe"),
        ({"signals": SpanProbe}, "expected probes or functions as signals", "an instance and not the class"),
        (
            {"batch": lambda batch: batch["ids"]},
            r"batch= failed on trusted examples, ndarray \(3000, 49\) of uint8: IndexError",
            "and out of `trusted` as well",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_with_a_way_out(wrong, message: str, hint: str) -> None:
    with pytest.raises(WatchError, match=message) as refused:
        made(**wrong)
    assert re.search(hint, refused.value.hint)


def test_examples_as_such_are_not_read_again() -> None:
    assert made(trusted=Examples(TRUSTED), batch=lambda batch: batch["ids"])[0].trace.steps == []


def test_a_snapshot_is_found_by_a_text_as_by_a_path(tmp_path) -> None:
    model, optimizer, loader = parts()
    snapshot.save(snapshot.capture(3, model, optimizer, loader), str(tmp_path / "one.safetensors"))
    assert snapshot.load(str(tmp_path / "one.safetensors")).step == 3
    with pytest.raises(SnapshotError, match="no snapshot at nowhere"):
        snapshot.load("nowhere")
