"""Transcoders: what stands in for a layer's MLP, as frozen values. Nothing here trains one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from darklantern.errors import MethodError
from darklantern.models.shim import is_array, numbers

Array = NDArray[Any]
READ, WRITE = "layers.*.mlp:in", "layers.*.mlp:out"
_FIELDS = ("W_enc", "b_enc", "W_dec", "b_dec", "W_skip", "threshold")


@dataclass(frozen=True, eq=False, repr=False)
class Transcoder:
    """A wide, sparse stand-in for one MLP: features that are read at one site and written at another.

    A feature's pre-activation is its row of `W_enc` times what stands at `read`, plus `b_enc`. It is active where that
    is above its `threshold` (0 without one: ReLU; JumpReLU otherwise) and, with `k`, among the k largest of its
    position. An active feature's activation is its pre-activation.

    Arrays of torch, JAX or NumPy, kept as NumPy's. Raises MethodError for shapes that do not fit and numbers that are
    not finite. Sources: Dunefsky et al. 2024, Transcoders find interpretable LLM feature circuits; Ameisen et al. 2025.
    """

    W_enc: Array
    """(feature, dim)"""
    b_enc: Array
    """(feature,)"""
    W_dec: Array
    """(feature, dim); or (layer, feature, dim) of a cross-layer transcoder, which writes to its own layer and the next
    ones, as many as there are"""
    b_dec: Array
    """(dim,), added to its own layer"""
    W_skip: Array | None = None
    """(dim, dim) of an affine transcoder: `W_skip` times what is read is added to what it writes"""
    threshold: Array | None = None
    """(feature,), or one number for all; not below 0"""
    k: int | None = None
    """how many features of a position are active at most"""
    read: str = READ
    """`*` stands for the layer"""
    write: str = WRITE

    def __post_init__(self) -> None:
        for name in _FIELDS:
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _held(given, name))
        _check(self)

    @property
    def features(self) -> int:
        """How many it has."""
        return int(self.W_enc.shape[0])

    @property
    def decoders(self) -> Array:
        """(layer, feature, dim): what a feature writes into its own layer, the next one and so on."""
        return self.W_dec if self.W_dec.ndim == 3 else self.W_dec[None]

    def cast(self, dtype: "np.dtype[Any]") -> "Transcoder":
        """The same in numbers of `dtype`; itself where it has those."""
        held = {name: getattr(self, name) for name in _FIELDS if getattr(self, name) is not None}
        other = {name: each.astype(dtype) for name, each in held.items() if each.dtype != dtype}
        return replace(self, **other) if other else self

    def encoded(self, values: Array) -> Array:
        """The features' activations, (pos, feature), at what is read, (pos, dim); 0 where they are not active."""
        pre = values @ self.W_enc.T + self.b_enc
        active = pre > (0 if self.threshold is None else self.threshold)
        if self.k is not None and self.k < self.features:
            lowest = np.partition(pre, -self.k, axis=-1)[:, -self.k, None]
            active &= pre >= lowest
        return np.where(active, pre, 0)

    def __repr__(self) -> str:
        dims = f"{self.W_enc.shape[1]} → {self.W_dec.shape[-1]} dims"
        gate = f"the {self.k} largest" if self.k else "ReLU" if self.threshold is None else "JumpReLU"
        several = f", into {len(self.decoders)} layers" if self.W_dec.ndim == 3 else ""
        skip = ", with a skip connection" if self.W_skip is not None else ""
        return f"Transcoder({self.features} features, {gate}, {dims}{several}{skip}, {self.read} → {self.write})"


def load_transcoder(path: str | PathLike[str], **more: Any) -> Transcoder:
    """The transcoder in a safetensors file with arrays named as its fields; `more` are fields that are not in it.

    Raises MethodError for a file that is none, lacks an array or has one of another name, and for numbers that NumPy
    has not, as bfloat16.
    """
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (SafetensorError, OSError, TypeError) as error:
        raise MethodError(f"cannot read a transcoder from {path}: {error}", hint="a safetensors file") from error
    missing = [name for name in _FIELDS[:4] if name not in arrays and name not in more]
    strange = sorted(set(arrays) - set(_FIELDS))
    if missing or strange:
        raise MethodError(
            f"{path} lacks {', '.join(missing) or 'nothing'} and has {', '.join(strange) or 'nothing'} besides",
            hint=f"arrays are called {', '.join(_FIELDS)}; W_skip and threshold may be left out",
        )
    return Transcoder(**{**arrays, **more})


def by_layer(given: Sequence[Transcoder] | Mapping[int, Transcoder], layers: int) -> dict[int, Transcoder]:
    """Which layer has which: of a list one for each layer. Raises MethodError for other numbers of them."""
    if isinstance(given, Mapping):
        found = dict(given)
    else:
        found = dict(enumerate(given))
        if len(found) != layers:
            raise MethodError(
                f"{len(found)} transcoders for {layers} layers",
                hint="one for each layer, or a dict from layer to transcoder: the other MLPs are errors as a whole",
            )
    for layer, each in found.items():
        if not isinstance(each, Transcoder) or layer not in range(layers):
            raise MethodError(
                f"expected a Transcoder for a layer from 0 to {layers - 1}, got {type(each).__name__} for {layer!r}",
                hint="Transcoder(W_enc, b_enc, W_dec, b_dec), or load_transcoder(path)",
            )
        if layer + len(each.decoders) > layers:
            raise MethodError(
                f"the transcoder of layer {layer} writes into {len(each.decoders)} layers, and only "
                f"{layers - layer} are left",
                hint=f"W_dec of shape ({layers - layer}, feature, dim)",
            )
    if not found:
        raise MethodError("expected a transcoder, got none", hint="one for each layer whose MLP it stands in for")
    return found


def _held(given: Any, name: str) -> Array:
    array = numbers(given) if is_array(given) else np.asarray(given)
    if array.dtype.kind != "f" and name == "threshold":
        array = array.astype(np.float64)
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise MethodError(f"{name} of a transcoder must hold finite fractions", hint=f"it is of dtype {array.dtype}")
    array = array.view()
    array.flags.writeable = False
    return array


def _check(made: Transcoder) -> None:
    """Raises MethodError where shapes do not fit each other."""
    features, dim = made.W_enc.shape if made.W_enc.ndim == 2 else (0, 0)
    out = made.W_dec.shape[-1]
    expected: dict[str, tuple[tuple[int, ...], ...]] = {
        "W_enc": ((features, dim),),
        "b_enc": ((features,),),
        "W_dec": ((features, out), (*made.W_dec.shape[:1], features, out)),
        "b_dec": ((out,),),
        "W_skip": ((out, dim),),
        "threshold": ((), (features,)),
    }
    for name, shapes in expected.items():
        given = getattr(made, name)
        if given is not None and (given.shape not in shapes or not given.size):
            raise MethodError(
                f"{name} of a transcoder has shape {given.shape}, expected {' or '.join(map(str, shapes))}",
                hint="both W_enc and W_dec have a row for each feature: W.T turns one that has columns",
            )
    if made.threshold is not None and (made.threshold < 0).any():
        raise MethodError("a transcoder's threshold is below 0", hint="0 is ReLU's")
    if made.k is not None and made.k < 1:
        raise MethodError(f"a transcoder of which {made.k} features are active", hint="k=1 or more; None for all")
