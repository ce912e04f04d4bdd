"""The seam between frameworks, on which methods are written once.

`namespace(array)` has what the array API has, `backend_of(array)` the dozen functions that it lacks, and `convert`
takes arrays from one framework to another. Importing this loads no framework: each is loaded when it is asked for.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

from darklantern.errors import MissingExtraError, SiteError
from darklantern.models.backends import Backend
from darklantern.models.dtypes import dtype_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BACKENDS = {"torch": "PyTorch", "jax": "JAX"}
_KINDS = (("torch", "Tensor"), ("jax", "Array"), ("numpy", "ndarray"), ("numpy", "generic"))
_loaded: dict[str, Backend] = {}


def framework_of(array: Any) -> str:
    """`torch`, `jax` (traced arrays too) or `numpy`. Raises SiteError for what is no array of theirs."""
    if found := _framework(array):
        return found
    raise SiteError(
        f"expected an array of torch, JAX or NumPy, got {type(array).__name__}", hint="numpy.asarray(...) makes one"
    )


def is_array(given: Any) -> bool:
    """Whether it is an array of torch, JAX or NumPy."""
    return _framework(given) is not None


def is_traced(given: Any) -> bool:
    """Whether it is an array within `jax.jit`, `grad`, `vmap` or `scan`, whose numbers are not there yet."""
    return _framework(given) == "jax" and backend("jax").is_traced(given)


def backend(framework: str) -> Backend:
    """What `framework`, torch or jax, has beyond the array API. Loads it. Raises MissingExtraError without it."""
    if (found := _loaded.get(framework)) is not None:
        return found
    if framework not in _BACKENDS:
        raise SiteError(
            f"expected torch or jax, got {framework!r}", hint='convert(array, "torch") or "jax": NumPy has no gradients'
        )
    try:
        made: Backend = import_module(f"darklantern.models.backends.{framework}_backend").BACKEND
    except ModuleNotFoundError as error:
        if error.name not in (framework, f"{framework}lib"):
            raise
        raise MissingExtraError(
            f"this needs {_BACKENDS[framework]}, which is not installed",
            hint=f'pip install "darklantern[{framework}]"',
        ) from error
    return _loaded.setdefault(framework, made)


def backend_of(array: Any) -> Backend:
    """The backend of an array's framework. Raises SiteError for NumPy's."""
    return backend(framework_of(array))


def namespace(array: Any) -> Any:
    """The functions of the array API for arrays such as this one."""
    framework = framework_of(array)
    if framework != "numpy":
        return backend(framework).xp
    from array_api_compat import numpy as namespace_of_numpy

    return namespace_of_numpy


def convert(array: Any, to: str, copy: bool = True) -> Any:
    """The same numbers in an array of `to`: torch, jax or numpy; bfloat16 stays what it is.

    A copy, without gradients where the framework changes; with `copy=False` it may share memory with `array`, and then
    what is written into one shows in the other, in JAX's too, which are not meant to change. From an accelerator it
    comes to the host, unless torch and JAX both have that. In JAX 64 bits become 32 unless `jax_enable_x64` is on.
    Raises SiteError for numbers that `to` does not have, and for traced arrays.
    """
    source = framework_of(array)
    if to not in (*_BACKENDS, "numpy"):
        raise SiteError(f"expected torch, jax or numpy to convert to, got {to!r}", hint='convert(array, "numpy")')
    if source == to:
        return _copied(array) if copy else array
    if source == "numpy":
        return backend(to).from_numpy(plain(array), copy)
    here = backend(source)
    if here.is_traced(array):
        raise SiteError(
            f"an array of JAX of shape {tuple(array.shape)} is traced, so it has no numbers yet that {to} could have",
            hint="return it from the function under jax.jit, grad, vmap or scan, and convert what comes out",
        )
    if to == "numpy":
        return here.to_numpy(array, copy)
    there = backend(to)
    if not here.is_on_host(array) and (made := there.from_device(array, copy)) is not None:
        return made
    # What NumPy sees of an accelerator is a copy already.
    return there.from_numpy(plain(here.to_numpy(array, copy=False)), copy and here.is_on_host(array))


def numbers(array: Any) -> "NDArray[Any]":
    """What an array holds, to be read by NumPy: bfloat16 and other numbers that NumPy lacks as float32."""
    if dtype_name(array).startswith(("bfloat16", "float8_", "float4_")):
        xp = namespace(array)
        array = xp.astype(array, xp.float32)
    held: NDArray[Any] = convert(array, "numpy", copy=False)
    return held


def stacked(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one framework and shape, along a new axis."""
    return namespace(arrays[0]).stack(list(arrays), axis=axis)


def listed(index: list[int], array: Any) -> Any:
    """A list of indices as `array` takes it: JAX's arrays take no lists."""
    if framework_of(array) != "jax":
        return index
    import numpy as np

    return np.asarray(index)


def plain(array: Any) -> "NDArray[Any]":
    """A NumPy array that every framework takes: writable, in this machine's byte order, no stride negative."""
    import numpy as np

    held = np.asarray(array)
    if held.flags.writeable and held.dtype.isnative and min(held.strides, default=0) >= 0:
        return held
    return np.array(held, dtype=held.dtype.newbyteorder("="), order="C")


def tokens(rows: "NDArray[np.uint8]", framework: str = "torch") -> Any:
    """Byte rows (n, width) as the integer tokens that a model takes."""
    return convert(rows.astype("int64"), framework, copy=False)


def log_probs(logits: Any) -> "NDArray[np.float64]":
    """Natural logarithms of the softmax over the last axis, as NumPy."""
    import numpy as np

    out: NDArray[np.float64]
    if framework_of(logits) == "torch":
        out = logits.detach().double().log_softmax(-1).cpu().numpy()
    else:
        held = convert(logits, "numpy").astype(np.float64)
        held -= held.max(-1, keepdims=True)
        out = held - np.log(np.exp(held).sum(-1, keepdims=True))
    return out


@contextmanager
def without_gradients() -> Iterator[None]:
    """What runs here keeps no autograd graph: for results that are numbers. JAX keeps none anyway."""
    torch = sys.modules.get("torch")
    with nullcontext() if torch is None else torch.no_grad():
        yield


def keep_to_one_thread() -> None:
    """As `one_thread`, for a process that does nothing else."""
    if (torch := _torch()) is not None:
        torch.set_num_threads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread. For models too small to share out: a second thread saves at most a quarter on an idle
    machine, and on a busy one a forward pass was measured at 170 ms instead of 0.3.

    Of torch: JAX takes the number of its threads from the environment, before it is loaded.
    """
    if (torch := _torch()) is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _framework(array: Any) -> str | None:
    # By what is loaded: an array of a framework that is not cannot be there. Plain enough for a compiler to trace.
    for name, kind in _KINDS:
        if isinstance(array, getattr(sys.modules.get(name), kind, ())):
            return name
    return None


def _copied(array: Any) -> Any:
    if framework_of(array) == "numpy":
        return array.copy()
    here = backend_of(array)
    return array if here.is_traced(array) else here.copied(array)


def _torch() -> Any:
    """torch, if it is installed; not where only JAX is in use."""
    if sys.modules.get("jax") and not sys.modules.get("torch"):
        return None
    try:
        return import_module("torch")
    except ModuleNotFoundError:
        return None
