"""What people have at hand as trusted examples, signals and settings: taken where it is plain, else refused by name."""

import math
import re

import msgspec
import numpy as np
import pytest
import torch
from watch.loops import RECIPE, REFERENCES, TRUSTED, Scripted, parts

import darklantern as dl
from darklantern.errors import RecordError, SnapshotError, WatchError
from darklantern.models import snapshot
from darklantern.organisms import training
from darklantern.watch import Examples, Settings
from darklantern.watch.examples import PADDING, examples, trusted_examples
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
        ({"hang_after": -5}, "hang_after: expected seconds, more than 0 or None, got -5", "ten minutes"),
        ({"hang_after": "x", "run": "a"}, "hang_after: expected seconds, more than 0 or None, got 'x'", "ten minutes"),
        ({"hang_after": math.inf, "run": "a"}, "hang_after: expected seconds, .* got inf", "ten minutes"),
        ({"alpha": "x"}, "alpha: expected a number between 0 and 1, got 'x'", "alpha=0.05"),
        ({"alpha": 10**400}, "alpha: expected a number between 0 and 1, got 1000", "alpha=0.05"),
        ({"overhead": "1%"}, "overhead: expected a number between 0 and 1, got '1%'", "one per cent"),
        ({"overhead": math.nan}, "overhead: expected a number between 0 and 1, got nan", "one per cent"),
        ({"seed": -1}, "seed: expected a whole number from 0 to .*, got -1", "seed=0"),
        ({"seed": "a"}, "seed: expected a whole number .* got 'a'", "seed=0"),
        ({"seed": 1.5}, "seed: expected a whole number .* got 1.5", "seed=0"),
        ({"step": -1}, "step: expected a whole number ≥ 0, got -1", "updates done before"),
        ({"step": 1.5}, "step: expected a whole number ≥ 0, got 1.5", "updates done before"),
        ({"step": True}, "step: expected a whole number ≥ 0, got True", "updates done before"),
        ({"recipe": 3}, "recipe: expected text, got 3", "or its hash"),
        ({"recipe": None}, "recipe: expected text, got None", "or its hash"),
        ({"data": b""}, "data: expected text, got b''", "or its hash"),
        ({"data": "\udcff"}, "data: expected text, got", "or its hash"),
        ({"references": {}}, r"references: expected References or a path or None, got \{\}", "watch calibrate"),
        ({"references": "a/\0b"}, "references: expected References or a path", "watch calibrate"),
        ({"run": 3}, "run: expected a run's name or its folder or None, got 3", "runs/folder"),
        ({"run": b"x"}, "run: expected a run's name or its folder or None, got b'x'", "runs/folder"),
        ({"run": "a/\0b"}, "run: expected a run's name or its folder", "runs/folder"),
        ({"run": "a/\udcff"}, "run: expected a run's name or its folder", "runs/folder"),
        ({"run": ""}, "run: expected a run's name or its folder or None, got ''", "runs/folder"),
        ({"run": "a b"}, "expected the name of a run or its folder, got 'a b'", "at most 64 letters"),
        ({"run": "~nobody-of-this-name/x"}, "expected the folder of a run, got '~nobody-of", "in full"),
        ({"goes_on": "yes"}, "goes_on: expected True or False, got 'yes'", "folder of `run`"),
        ({"call": 3}, "call: expected a function or None, got 3", "lambda inputs"),
        ({"batch": 3}, "batch: expected a function or None, got 3", "lambda batch"),
        ({"readout": 3}, "readout: expected a function or None, got 3", "lambda residual"),
        ({"weights": 3}, "weights: expected a function or None, got 3", "lambda state"),
        ({"trusted": TRUSTED.astype(object)}, r"trusted examples in numbers, got ndarray .* of object", "an array or"),
        (
            {"trusted": {"input_ids": TRUSTED, "attention_mask": np.ones((3000, 5))}},
            r"an attention mask of trusted examples in the shape of their token ids, \(3000, 49\), got \(3000, 5\)",
            "input_ids",
        ),
        ({"trusted": {"input_ids": TRUSTED, "attention_mask": np.ones((5, 49))}}, r"got \(5, 49\)", "input_ids"),
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


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"every": 2.5}, "a whole number ≥ 1 or None, got 2.5"),
        ({"every": "5"}, "a whole number ≥ 1 or None, got '5'"),
        ({"every": True}, "a whole number ≥ 1 or None, got True"),
        ({"margin": None}, "a whole number ≥ 0, got None"),
        ({"quiet": "x"}, "a number between 0 and 1, got 'x'"),
        ({"quiet": math.nan}, "a number between 0 and 1, got nan"),
        ({"history": 2.5}, "a whole number ≥ 1, got 2.5"),
        ({"history": 1 << 70}, "a whole number ≥ 1, got 118"),
        ({"states": math.nan}, "a whole number ≥ 1, got nan"),
        ({"rollbacks": "3"}, "a whole number ≥ 0, got '3'"),
        ({"cooldown": math.inf}, "a whole number ≥ 1, got inf"),
        ({"on_failure": 3}, "'pause', 'go on' or 'raise', got 3"),
        ({"on_failure": ["pause"]}, r"'pause', 'go on' or 'raise', got \['pause'\]"),
        ({"held_out_screens": "no"}, "True or False, got 'no'"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_its_name_when_settings_are_made(wrong, expected: str) -> None:
    (name,) = wrong
    with pytest.raises(WatchError, match=rf"settings\.{name}: expected {expected}") as refused:
        Settings(**wrong)
    assert refused.value.hint


def test_numbers_of_numpy_are_numbers() -> None:
    """As Python's own from there on, since records and hashes know no others."""
    settings = Settings(every=np.int64(5), quiet=np.float32(0.25), history=np.uint8(16))
    assert repr(settings) == repr(Settings(every=5, quiet=0.25, history=16))
    w = made(settings=settings, seed=np.int64(3), step=np.int32(7), alpha=np.float64(0.05))[0]
    assert (w.step, w.filer.seed) == (7, 3)
    assert {type(each) for each in (w.step, w.filer.seed, w.settings.every, w.settings.history)} == {int}


def test_what_is_refused_touches_nothing(tmp_path) -> None:
    model, optimizer, loader = parts(end=10)
    before = list(tmp_path.iterdir()), [len(part._forward_hooks) for part in model.modules()], loader.state()
    for wrong in ({"seed": -1}, {"step": 1.5}, {"alpha": "x"}, {"hang_after": "x"}, {"goes_on": 1}):
        with pytest.raises(WatchError):
            dl.watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[PROBE], run=tmp_path / "run", **wrong)
    assert before == (list(tmp_path.iterdir()), [len(each._forward_hooks) for each in model.modules()], loader.state())


def test_references_that_cannot_be_are_refused_as_those_in_a_file_are() -> None:
    with pytest.raises(RecordError, match="a maximum"):
        made(references=msgspec.structs.replace(REFERENCES, maxima=()))


def test_a_model_without_numbers_is_refused() -> None:
    model, _, _ = parts()
    with pytest.raises(WatchError, match="parameters on the meta device, such as ") as refused:
        dl.watch(model.to("meta"), trusted=TRUSTED, signals=[PROBE])
    assert "to_empty" in refused.value.hint


@pytest.mark.parametrize("wrong", ["x", b"x", {"step": 3}, 3, lambda: None])
def test_what_gives_no_batches_is_no_loader(wrong) -> None:
    model, optimizer, _ = parts()
    with pytest.raises(WatchError, match=r"expected state=\(optimizer, loader, ...\), got ") as refused:
        dl.watch(model, state=(optimizer, wrong), trusted=TRUSTED, signals=[PROBE])
    assert "one loader" in refused.value.hint


def test_a_mapping_of_lists_with_labels_is_token_rows() -> None:
    found = trusted_examples({"input_ids": ROWS.tolist(), "labels": ROWS.tolist(), "attention_mask": ROWS.tolist()})
    assert found.are_tokens
    assert np.array_equal(found.tokens, np.where(ROWS != 0, ROWS, PADDING))
    classified = trusted_examples({"input_ids": ROWS.tolist(), "labels": [0, 1] * 20})
    assert classified.targets.tolist() == [0, 1] * 20
    with pytest.raises(WatchError, match="expected trusted examples in numbers, got list of 2"):
        trusted_examples({"input_ids": [[1, 2], [3]], "labels": [[1, 2], [3]]})


def test_examples_as_such_are_not_read_again() -> None:
    assert made(trusted=Examples(TRUSTED), batch=lambda batch: batch["ids"])[0].trace.steps == []


def test_a_snapshot_is_found_by_a_text_as_by_a_path(tmp_path) -> None:
    model, optimizer, loader = parts()
    snapshot.save(snapshot.capture(3, model, optimizer, loader), str(tmp_path / "one.safetensors"))
    assert snapshot.load(str(tmp_path / "one.safetensors")).step == 3
    with pytest.raises(SnapshotError, match="no snapshot at nowhere"):
        snapshot.load("nowhere")
