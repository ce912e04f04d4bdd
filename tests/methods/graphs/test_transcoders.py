"""Transcoders: which features are active, files, and arrays that do not fit."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from darklantern.errors import MethodError
from darklantern.methods.graphs import Transcoder, load_transcoder


def arrays(seed: int = 0, features: int = 12, dim: int = 4) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = {"W_enc": (features, dim), "b_enc": (features,), "W_dec": (features, dim), "b_dec": (dim,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


@given(seed=st.integers(0, 99), k=st.integers(1, 12), threshold=st.floats(0, 2))
def test_features_are_active_above_their_threshold_and_among_the_largest(seed: int, k: int, threshold: float) -> None:
    made = arrays(seed)
    values = np.random.default_rng(seed + 1).normal(size=(5, 4))
    found = Transcoder(**made, k=k, threshold=threshold).encoded(values)
    for row, value in zip(found, values, strict=True):
        pre = made["W_enc"] @ value + made["b_enc"]
        largest = sorted(range(12), key=lambda each: -pre[each])[:k]
        expected = [pre[each] if each in largest and pre[each] > threshold else 0 for each in range(12)]
        np.testing.assert_allclose(row, expected, atol=1e-12)


def test_arrays_of_every_framework_make_the_same_transcoder() -> None:
    plain = {name: each.astype(np.float32) for name, each in arrays().items()}
    for convert in (torch.from_numpy, jnp.asarray):
        made = Transcoder(**{name: convert(each) for name, each in plain.items()})
        for name, each in plain.items():
            np.testing.assert_array_equal(getattr(made, name), each)
    held = made.W_enc
    with pytest.raises(ValueError, match="read-only"):
        held[0] = 0


def test_a_file_has_the_arrays_by_their_names(tmp_path: Path) -> None:
    given = {**arrays(), "W_skip": np.eye(4), "threshold": np.full(12, 0.1)}
    save_file(given, tmp_path / "one.safetensors")
    made = load_transcoder(tmp_path / "one.safetensors", k=3, read="layers.*.norm2:out")
    for name, each in given.items():
        np.testing.assert_array_equal(getattr(made, name), each)
    assert repr(made) == (
        "Transcoder(12 features, the 3 largest, 4 → 4 dims, with a skip connection, "
        "layers.*.norm2:out → layers.*.mlp:out)"
    )
    save_file({"W_enc": np.eye(4), "w": np.eye(2)}, tmp_path / "other.safetensors")
    with pytest.raises(MethodError, match="lacks b_enc, W_dec, b_dec and has w besides"):
        load_transcoder(tmp_path / "other.safetensors")
    (tmp_path / "none.safetensors").write_bytes(b"no such thing")
    for name in ("none.safetensors", "missing.safetensors"):
        with pytest.raises(MethodError, match="cannot read a transcoder"):
            load_transcoder(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("W_enc", np.ones((4, 12)), r"b_enc of a transcoder has shape \(12,\), expected \(4,\)"),
        ("W_dec", np.ones((11, 4)), r"W_dec of a transcoder has shape \(11, 4\)"),
        ("b_dec", np.ones(5), r"b_dec of a transcoder has shape \(5,\), expected \(4,\)"),
        ("W_skip", np.ones((4, 5)), "W_skip of a transcoder"),
        ("W_enc", np.full((12, 4), np.nan), "W_enc of a transcoder must hold finite fractions"),
        ("W_enc", np.ones((12, 4), int), "W_enc of a transcoder must hold finite fractions"),
        ("threshold", -1.0, "threshold is below 0"),
        ("k", 0, "of which 0 features are active"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, value: Any, says: str) -> None:
    with pytest.raises(MethodError, match=says):
        Transcoder(**{**arrays(), name: value})
