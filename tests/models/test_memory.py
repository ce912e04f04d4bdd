"""Where recordings go, and that nothing of a run stays behind."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from subjects import gpt2, llama, tokens
from torch import Tensor

from darklantern import models
from darklantern.errors import SiteError, StoreError
from darklantern.models import edits


@torch.no_grad()
def test_a_folder_holds_what_memory_would_and_maps_it(tmp_path: Path) -> None:
    model = models.open(llama().bfloat16())
    sites = ("layers.*:out", "layers.1.attn:pattern[head=2]")
    held, kept = model.record(tokens(), *sites), model.record(tokens(), *sites, to=tmp_path / "run")
    loaded = models.load_recording(tmp_path / "run")
    for site in held:
        assert torch.equal(kept[site].array, held[site].array)
        assert torch.equal(loaded[site].array, held[site].array)
        assert loaded[site].axes == held[site].axes
    assert len(list((tmp_path / "run").glob("*.safetensors"))) == len(held)
    with pytest.raises(SiteError, match="is not empty"):
        model.record(tokens(), *sites, to=tmp_path / "run")


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    with torch.no_grad():
        models.open(gpt2()).record(tokens(), "layers.*:out", to=tmp_path / "run")
    with pytest.raises(SiteError, match="does not hold a whole recording"):
        models.load_recording(tmp_path)
    file = tmp_path / "run" / "000001.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(SiteError, match="does not hold a whole recording"):
        models.load_recording(tmp_path / "run")


def test_a_folder_that_cannot_be_written_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with torch.no_grad(), pytest.raises((StoreError, SiteError, OSError)):
        models.open(gpt2()).record(tokens(), "layers.0:out", to=tmp_path / "file")


@torch.no_grad()
def test_values_are_reduced_as_they_are_captured(tmp_path: Path) -> None:
    model = models.open(gpt2())
    full = model.record(tokens(), "layers.*:out")
    small = model.record(tokens(), "layers.*:out", reduce=lambda value: value.mean("pos"), to=tmp_path / "run")
    assert small.nbytes * 7 == full.nbytes
    for site in full:
        assert small[site].axes == ("batch", "dim")
        assert torch.equal(small[site].array, full[site].array.mean(1))
    norms = model.record(tokens(), "layers.1:out", reduce=lambda value: value.array.norm(dim=-1))
    assert norms["layers.1:out"].array.shape == (2, 7)
    with pytest.raises(SiteError, match="must return a Value or a tensor"):
        model.record(tokens(), "layers.1:out", reduce=lambda value: 3)


@torch.no_grad()
def test_a_stream_makes_one_recording_at_a_time(tmp_path: Path) -> None:
    model, made = models.open(gpt2()), []

    def batches():
        for seed in range(3):
            made.append(seed)
            yield tokens(seed=seed)

    for number, recording in enumerate(model.stream(batches(), "layers.1:out", to=tmp_path)):
        assert made == list(range(number + 1))
        assert torch.equal(
            recording["layers.1:out"].array, model.record(tokens(seed=number), "layers.1:out")["layers.1:out"].array
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000", "000001", "000002"]
    assert [r["layers.1:out"].array.device.type for r in model.stream([tokens()], "layers.1:out", to="cpu")] == ["cpu"]
    with pytest.raises(SiteError, match="no site"):
        model.stream([tokens()], "layers.9:out")  # at once, not with the first batch


def test_nothing_of_a_run_is_alive_after_its_recording_is_gone() -> None:
    module = llama()
    model = models.open(module)
    seen: list[weakref.ref[Tensor]] = []

    def watched(value: Tensor) -> Tensor:
        seen.append(weakref.ref(value))
        return value * 1.0

    recording = model.record(tokens(), "layers.*:out", "layers.*.attn:pattern", edits={"layers.1:out": watched})
    seen += [weakref.ref(value.array) for value in recording.values()]
    gradients = model.gradient(tokens(), lambda out: out.logits.sum(), "layers.*:out")
    seen += [weakref.ref(value.array) for value in gradients.gradients.values()]
    del recording, gradients
    gc.collect()
    assert [ref() for ref in seen if ref() is not None] == []


def test_values_are_arrays_for_numpy_too() -> None:
    with torch.no_grad():
        value = models.open(gpt2().bfloat16()).record(tokens(), "layers.0:out")["layers.0:out"]
    assert np.asarray(value).dtype == np.float32
    assert "batch=2 pos=7 dim=32, bfloat16" in repr(value)
    assert value.at(pos=-1).axes == ("batch", "dim")
    with pytest.raises(SiteError, match="pins 'head'"):
        value.at(head=1)
    assert edits.put(value).name == "put((2, 7, 32))"
