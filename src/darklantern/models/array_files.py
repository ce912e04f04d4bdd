"""One array, one safetensors file: written from any framework, mapped into memory for those that can have it there.

In: an array, or a path. Out: the file, or an array. Whether a file is whole is for `at_rest` to say.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from darklantern.models.dtypes import dtype_name, numpy_dtype
from darklantern.models.shim import convert, framework_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAME = "value"
"""of the one array in a file"""
_DTYPES = {
    "BOOL": "bool",
    **{
        f"{letter}{bits}": f"{name}{bits}" for letter, name in (("U", "uint"), ("I", "int")) for bits in (8, 16, 32, 64)
    },
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BF16": "bfloat16",
    "C64": "complex64",
    **{f"F8_{kind.upper()}": f"float8_{kind}" for kind in ("e5m2", "e4m3fnuz", "e5m2fnuz")},
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
}
"""the format's names → NumPy's"""


def write(array: Any, path: Path) -> None:
    """`array` as the file `path`. Raises KeyError for a dtype that the format has no name for."""
    if framework_of(array) == "torch":
        from safetensors.torch import save_file

        save_file({_NAME: array.detach().contiguous().cpu()}, path)
        return
    import numpy as np
    from safetensors.numpy import save_file as save_numpy

    if dtype_name(array) not in _DTYPES.values():
        raise KeyError(dtype_name(array))
    save_numpy({_NAME: np.asarray(convert(array, "numpy", copy=False), order="C")}, path)


def mapped(path: Path, framework: str) -> Any:
    """The array in the file `path`: torch's and NumPy's are mapped from there, JAX's are copied, as it maps no files.

    What is written into a mapped one goes into no file. Raises SafetensorError, OSError or ValueError for a file that
    is not whole, SiteError for numbers that the framework does not have.
    """
    if framework == "torch":
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(_NAME)
    return convert(_of_numpy(path), framework, copy=framework == "jax")


def _of_numpy(path: Path) -> "NDArray[Any]":
    """A NumPy array over the mapped file."""
    import numpy as np

    with safe_open(path, framework="np") as file:  # which finds out whether the file is as long as it says
        about = file.get_slice(_NAME)
        shape, name = tuple(about.get_shape()), about.get_dtype()
    if name not in _DTYPES:
        raise SafetensorError(f"{path} holds {name}, which no array here does")
    with path.open("rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        begin, _ = json.loads(raw.read(length))[_NAME]["data_offsets"]
    dtype = numpy_dtype(_DTYPES[name])
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.asarray(np.memmap(path, dtype, mode="c", offset=8 + length + begin, shape=shape))
