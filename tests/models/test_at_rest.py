"""Folders of recordings: from every framework to every one, whole or refused, with the framework installed or not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from darklantern import models
from darklantern.errors import SiteError, StoreError
from darklantern.models import Recording, Value, parse
from darklantern.models.array_files import mapped, write
from darklantern.models.dtypes import dtype_name, numpy_dtype
from darklantern.models.keeping import Keeper, is_device, keeper
from darklantern.models.shim import convert, framework_of

FRAMEWORKS = ("torch", "jax", "numpy")
SITE = parse("layers.0:out")
AXES = ("batch", "pos", "dim")
DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "float16", "float32", "bfloat16", "complex64"),
    *("uint16", "uint32", "float8_e4m3fn", "float8_e5m2"),
)
on_each = pytest.mark.parametrize("framework", FRAMEWORKS)


def numbers(dtype: str = "float32", shape: tuple[int, ...] = (2, 3, 4)) -> Any:
    drawn = np.random.default_rng(0).normal(size=shape) * 3
    return np.abs(drawn).astype(numpy_dtype(dtype)) if "uint" in dtype else drawn.astype(numpy_dtype(dtype))


def recording(array: Any, **more: Any) -> Recording:
    return Recording([(SITE, array, AXES[: array.ndim])], None, **more)


def same(found: Any, true: Any) -> None:
    """Bit for bit, and of one dtype."""
    held = convert(found, "numpy")
    assert dtype_name(held) == dtype_name(true)
    assert held.shape == true.shape
    assert held.tobytes() == np.ascontiguousarray(true).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrote", FRAMEWORKS)
def test_what_one_framework_wrote_any_other_reads_bit_for_bit(wrote: str, dtype: str, tmp_path: Path) -> None:
    true = numbers(dtype)
    recording(convert(true, wrote)).save(tmp_path / "run")
    by_default = models.load_recording(tmp_path / "run")[SITE].array
    assert framework_of(by_default) == wrote
    same(by_default, true)
    for framework in FRAMEWORKS:
        found = models.load_recording(tmp_path / "run", framework)[SITE]
        assert framework_of(found.array) == framework
        assert found.axes == AXES
        same(found.array, true)


@given(
    true=arrays.arrays(
        st.sampled_from(["bool", "int8", "int64", "uint16", "float16", "float32", "float64", "complex64"]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    turned=st.booleans(),
)
def test_any_array_of_numpys_comes_back(true: Any, turned: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("arrays") / "one.safetensors"
    true = true.T if turned else true
    write(true, path)
    same(mapped(path, "numpy"), true)
    same(mapped(path, "torch"), true)


def test_numpys_arrays_are_mapped_and_what_is_written_into_them_goes_into_no_file(tmp_path: Path) -> None:
    recording(jnp.asarray(numbers())).save(tmp_path / "run")
    found = models.load_recording(tmp_path / "run", "numpy")[SITE].array
    base = found
    while not isinstance(base, np.memmap):
        base = base.base
    assert base.mode == "c"
    found[0, 0, 0] = 99
    same(models.load_recording(tmp_path / "run", "numpy")[SITE].array, numbers())


def test_a_folder_from_before_frameworks_had_names_is_of_torch(tmp_path: Path) -> None:
    true, path = numbers("bfloat16"), tmp_path / "run" / "recording.json"
    recording(convert(true, "torch"), tokens=[["a", "b", "c"], ["d"]]).save(tmp_path / "run")
    index = json.loads(path.read_text())
    assert index["values"][0].pop("framework") == "torch"
    path.write_text(json.dumps(index))
    found = models.load_recording(tmp_path / "run")
    assert framework_of(found[SITE].array) == "torch"
    same(found[SITE].array, true)
    assert found.lengths == (3, 1)
    same(models.load_recording(tmp_path / "run", "numpy")[SITE].array, true)


@on_each
@pytest.mark.parametrize("damage", ["cut", "swapped", "empty", "gone"])
def test_a_file_that_is_not_whole_is_refused(framework: str, damage: str, tmp_path: Path) -> None:
    recording(convert(numbers(), framework)).save(tmp_path / "run")
    file = tmp_path / "run" / "000000.safetensors"
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[:-7], "swapped": whole[:8] + whole[9:] + b" ", "empty": b""}.get(damage, whole))
    if damage == "gone":
        file.unlink()
    for to in (None, *FRAMEWORKS):
        with pytest.raises(SiteError, match="does not hold a whole recording"):
            models.load_recording(tmp_path / "run", to)


@pytest.mark.parametrize(
    "change",
    [
        {"framework": "tensorflow"},
        {"framework": 3},
        {"axes": ["pos"]},
        {"site": "no site"},
        {"file": "000007.safetensors"},
    ],
)
def test_an_index_that_says_something_else_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    recording(jnp.asarray(numbers())).save(tmp_path / "run")
    path = tmp_path / "run" / "recording.json"
    index = json.loads(path.read_text())
    index["values"][0] |= change
    path.write_text(json.dumps(index))
    with pytest.raises(SiteError, match="does not hold a whole recording"):
        models.load_recording(tmp_path / "run")


@pytest.mark.parametrize("framework", ["torch", "numpy"])
def test_numbers_that_files_do_not_have_leave_nothing(framework: str, tmp_path: Path) -> None:
    wide = convert(np.ones((2, 3, 4), np.complex128), framework)
    with pytest.raises(StoreError, match="cannot write complex128: safetensors files have no such dtype") as refused:
        recording(wide).save(tmp_path / "run")
    assert "reduce=" in refused.value.hint and "complex64" in refused.value.hint
    assert list((tmp_path / "run").iterdir()) == []


def test_whole_numbers_that_jax_has_no_room_for_are_refused_and_not_wrapped_around(tmp_path: Path) -> None:
    recording(torch.tensor([1, 2**40])).save(tmp_path / "large")
    with pytest.raises(SiteError, match=r"int64 numbers up to .* do not fit into int32") as refused:
        models.load_recording(tmp_path / "large", "jax")
    assert "jax_enable_x64" in refused.value.hint
    recording(torch.tensor([1, 2**30])).save(tmp_path / "small")
    assert models.load_recording(tmp_path / "small", "jax")[SITE].array.tolist() == [1, 2**30]


def test_a_framework_that_is_none_is_refused(tmp_path: Path) -> None:
    recording(jnp.asarray(numbers())).save(tmp_path / "run")
    with pytest.raises(SiteError, match="expected torch, jax or numpy as framework, got 'tf'"):
        models.load_recording(tmp_path / "run", "tf")


# without a framework


def without(*missing: str, code: str) -> str:
    """What a process prints in which `missing` are not installed."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"
    done = subprocess.run([sys.executable, "-c", blocked + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_jax_alone_saves_and_loads(tmp_path: Path) -> None:
    code = f"""
import jax.numpy as jnp
from darklantern.models import Recording, load_recording, parse
value = jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3)
Recording([(parse("a:out"), value, ("batch", "dim"))], None).save({str(tmp_path / "run")!r})
found = load_recording({str(tmp_path / "run")!r})
print(found["a:out"].at(dim=-1).mean("batch"))
"""
    assert "Value(a:out[dim=-1], scalar, bfloat16, norm 3.5)" in without("torch", code=code)


@pytest.mark.parametrize("wrote", ["torch", "jax"])
def test_with_neither_a_recording_is_numpys(wrote: str, tmp_path: Path) -> None:
    recording(convert(numbers(), wrote)).save(tmp_path / "run")
    code = f"""
from darklantern.errors import MissingExtraError
from darklantern.models import load_recording
folder = {str(tmp_path / "run")!r}
try: load_recording(folder)
except MissingExtraError as error: print(error, "|", error.hint)
try: load_recording(folder, {wrote!r})
except MissingExtraError as error: print(error.hint)
found = load_recording(folder, "numpy")
print(found, found["layers.0:out[pos=-1]"].mean("dim"), sep="\\n")
found.save(folder + "-again")
print(load_recording(folder + "-again"))
"""
    said = without("torch", "jax", "jaxlib", "ml_dtypes", code=code).split("\n")
    assert "was written from" in said[0] and 'load_recording(folder, framework="numpy")' in said[0]
    assert said[1] == f'pip install "darklantern[{wrote}]"'
    assert said[3].startswith("layers.0:out  batch=2 pos=3 dim=4  float32") and said[3] == said[-1]


def test_without_ml_dtypes_numpy_says_what_would_bring_its_numbers(tmp_path: Path) -> None:
    recording(convert(numbers("bfloat16"), "torch")).save(tmp_path / "run")
    code = f"""
from darklantern.errors import SiteError
from darklantern.models import load_recording
try: load_recording({str(tmp_path / "run")!r}, "numpy")
except SiteError as error: print(error, "|", error.hint)
"""
    said = without("torch", "jax", "jaxlib", "ml_dtypes", code=code)
    assert said.startswith("NumPy has no dtype bfloat16 here | pip install ml_dtypes")


def test_looking_at_values_of_sixteen_bits_takes_no_ml_dtypes() -> None:
    code = """
import torch, numpy as np
from darklantern.models import Value, parse
value = Value(parse("a:out"), torch.ones(3, dtype=torch.bfloat16), ("dim",))
print(np.asarray(value).dtype, value)
"""
    assert without("jax", "jaxlib", "ml_dtypes", code=code).startswith("float32 Value(a:out, dim=3, bfloat16")


# while a run lasts


def kept(keeping: Keeper | None, **values: Any) -> Recording:
    """A run of JAX's engine: values go through the keeper, and its recording is finished."""
    assert keeping is not None
    rows = []
    for name, array in values.items():
        site = parse(f"{name}:out")
        rows.append((site, *keeping.keep(site, array, AXES[: array.ndim], [["a", "b", "c"], ["d"]])))
    return keeping.finished(Recording(rows, "output", [["a", "b", "c"], ["d"]]))


def test_a_keeper_writes_jaxs_arrays_and_maps_them(tmp_path: Path) -> None:
    a, b = numbers(), numbers("bfloat16")
    found = kept(keeper(tmp_path / "run", None, "jax"), a=jnp.asarray(a), b=jnp.asarray(b))
    assert framework_of(found["a:out"].array) == "numpy"
    assert found.output == "output" and found.lengths == (3, 1)
    for recorded in (found, models.load_recording(tmp_path / "run")):
        same(recorded["a:out"].array, a)
        same(recorded["b:out"].array, b)
    assert framework_of(models.load_recording(tmp_path / "run")["b:out"].array) == "jax"
    assert len(list((tmp_path / "run").iterdir())) == 3
    with pytest.raises(SiteError, match="is not empty"):
        keeper(tmp_path / "run", None, "jax")


def test_a_keeper_reduces_jaxs_arrays(tmp_path: Path) -> None:
    true = numbers()
    for to in (None, "cpu", tmp_path / "run"):
        found = kept(keeper(to, lambda value: value.mean("pos"), "jax"), a=jnp.asarray(true))["a:out"]
        assert found.axes == ("batch", "dim")
        np.testing.assert_allclose(np.asarray(found)[1], true[1, 0], rtol=1e-6)  # the second prompt has one token
    norms = kept(keeper(None, lambda value: jnp.linalg.norm(value.array, axis=-1), "jax"), a=jnp.asarray(true))
    assert norms["a:out"].axes == ("axis0", "axis1")
    for odd, came in ((3, "int"), (true, "an array of numpy"), (torch.ones(3), "an array of torch")):
        with pytest.raises(SiteError, match=f"reduce must return a Value or a tensor at a:out, got {came}"):
            kept(keeper(None, lambda value, odd=odd: odd, "jax"), a=jnp.asarray(true))
    with pytest.raises(SiteError, match="reduce took a part"):
        kept(keeper(None, lambda value: value.at(pos=0), "jax"), a=jnp.asarray(true))


def test_a_keeper_puts_jaxs_arrays_onto_a_device() -> None:
    found = kept(keeper("cpu", None, "jax"), a=jnp.asarray(numbers()))["a:out"].array
    assert found.devices() == {jax.devices("cpu")[0]}
    assert keeper(None, None, "jax") is None
    with pytest.raises(SiteError, match="to='cpu:99': this JAX has no such device here"):
        keeper("cpu:99", None, "jax")


def test_what_a_dropped_run_wrote_goes(tmp_path: Path) -> None:
    keeping = Keeper(tmp_path / "run", None, "jax")
    keeping.keep(SITE, jnp.asarray(numbers()), AXES, None)
    with pytest.raises(SiteError, match="the run that wrote it did not end"):
        models.load_recording(tmp_path / "run")
    keeping.dropped()
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("word", "framework", "device"),
    [
        *((word, "jax", True) for word in ("cpu", "gpu", "tpu", "cuda:1", "gpu:0")),
        *((word, "torch", True) for word in ("cpu", "cuda:1", "mps")),
        *((word, each, False) for word in ("./cpu", "cache", "runs/gpu") for each in ("jax", "torch")),
        ("tpu", "torch", False),
    ],
)
def test_the_names_of_devices_are_each_frameworks(word: str, framework: str, device: bool) -> None:
    assert is_device(word, framework) is device


@pytest.mark.parametrize(("word", "meant"), [("cdua", "cuda"), ("cup", "cpu"), ("put", "tpu"), ("nvidia", "cuda")])
def test_a_word_that_is_nearly_a_device_makes_no_folder(word: str, meant: str) -> None:
    with pytest.raises(SiteError, match="is no device") as refused:
        is_device(word, "jax")
    assert f"did you mean {meant}? For a folder of that name, ./{word}" in refused.value.hint


WRITING = """
import os, resource, signal, sys
import {library} as library
from darklantern.errors import StoreError
from darklantern.models import parse
from darklantern.models.keeping import Keeper
if {limit}:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
keeping = Keeper({folder!r}, None, {framework!r})
try:
    for number in range(3):
        keeping.keep(parse("a%d:out" % number), library.ones((8, 512)), ("pos", "dim"), None)
        if not {limit} and number == 1: os.kill(os.getpid(), signal.SIGKILL)
except StoreError as error:
    keeping.dropped()
    print(error, "|", error.hint)
"""


@pytest.mark.parametrize(("framework", "library"), [("torch", "torch"), ("jax", "jax.numpy")])
def test_a_killed_run_leaves_no_recording_and_a_full_disk_is_told(framework: str, library: str, tmp_path: Path) -> None:
    def run(limit: int) -> subprocess.CompletedProcess[str]:
        code = WRITING.format(framework=framework, library=library, limit=limit, folder=str(tmp_path / f"run{limit}"))
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert run(0).returncode == -9
    with pytest.raises(SiteError, match="the run that wrote it did not end"):
        models.load_recording(tmp_path / "run0")
    full = run(9000)
    assert "cannot write" in full.stdout and "is the disk full?" in full.stdout, full.stderr
    assert list((tmp_path / "run9000").iterdir()) == []


def test_a_recording_of_several_frameworks_comes_back_as_it_was(tmp_path: Path) -> None:
    rows = [(parse(f"{each}:out"), convert(numbers(), each), AXES) for each in FRAMEWORKS]
    Recording(rows, None).save(tmp_path / "run")
    found = models.load_recording(tmp_path / "run")
    assert [framework_of(found[f"{each}:out"].array) for each in FRAMEWORKS] == list(FRAMEWORKS)
    assert all(isinstance(each, Value) for each in found.to("numpy").values())
