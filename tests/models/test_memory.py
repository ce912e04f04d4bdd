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


def test_a_folder_that_holds_recordings_or_none_says_so(tmp_path: Path) -> None:
    model = models.open(gpt2())
    with torch.no_grad():
        for _ in model.stream([tokens()] * 7, "layers.0:out", to=tmp_path / "run"):
            pass
    with pytest.raises(SiteError, match="it holds 7 recordings, 000000 … 000006") as refused:
        models.load_recording(tmp_path / "run")
    assert "load each" in refused.value.hint
    with pytest.raises(SiteError, match="there is no folder"):
        models.load_recording(tmp_path / "nowhere")
    (tmp_path / "run" / "000000" / "recording.json").unlink()
    with pytest.raises(SiteError, match=r"it has no recording\.json"):
        models.load_recording(tmp_path / "run" / "000000")


@torch.no_grad()
def test_a_dtype_that_files_do_not_have_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    model = models.open(torch.nn.Sequential(torch.nn.Identity()))
    x = torch.zeros(2, 3, 4, dtype=torch.complex128)
    with pytest.raises(StoreError, match="complex128: safetensors files have no such dtype") as refused:
        model.record(x, "0:out", to=tmp_path / "run")
    assert "reduce=" in refused.value.hint
    assert list((tmp_path / "run").iterdir()) == []
    with pytest.raises(StoreError, match="complex128"):
        model.record(x, "0:out").save(tmp_path / "saved")
    smaller = lambda value: value.array.to(torch.complex64)  # noqa: E731 - as the hint has it
    assert model.record(x, "0:out", reduce=smaller, to=tmp_path / "run")["0:out"].array.dtype == torch.complex64


@torch.no_grad()
@pytest.mark.parametrize(
    ("word", "meant"),
    [("cdua", "cuda"), ("gpu", "cuda"), ("gpu:0", "cuda"), ("CUDA", "cuda"), ("cuda1", "cuda"), ("cup", "cpu")],
)
def test_a_word_that_is_nearly_a_device_makes_no_folder(
    word: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = models.open(gpt2())
    for call in (
        lambda: model.record(tokens(), "layers.0:out", to=word),
        lambda: list(model.stream([tokens()], "layers.0:out", to=word)),
    ):
        with pytest.raises(SiteError, match="is no device") as refused:
            call()
        assert f"did you mean {meant}? For a folder of that name, ./{word}" in refused.value.hint
    assert list(tmp_path.iterdir()) == []
    model.record(tokens(), "layers.0:out", to=f"./{word}")
    model.record(tokens(), "layers.0:out", to="cache")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([word, "cache"])


@torch.no_grad()
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device")
def test_a_device_that_is_not_there_is_an_error_of_ours() -> None:
    with pytest.raises(SiteError, match="to='cuda': this torch has no such device here") as refused:
        models.open(gpt2()).record(tokens(), "layers.0:out", to="cuda")
    assert "cpu" in refused.value.hint


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
