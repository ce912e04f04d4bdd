"""What kind of numbers an array holds, by the name of its dtype, which is one word in every framework."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from darklantern.errors import SiteError

if TYPE_CHECKING:
    import numpy as np


def dtype_name(array: Any) -> str:
    """`float32`, `bfloat16`, `int64`, `bool`, `complex64`, …: torch's, JAX's and NumPy's name of it."""
    return str(array.dtype).removeprefix("torch.")


def is_complex(array: Any) -> bool:
    return dtype_name(array).startswith("complex")


def has_fractions(array: Any) -> bool:
    """Whether it holds real numbers with fractions, so neither whole nor complex ones nor truth values."""
    return "float" in dtype_name(array)


def numpy_dtype(name: str) -> "np.dtype[Any]":
    """NumPy's dtype of that name. Those it lacks itself, such as bfloat16, it has from ml_dtypes, which JAX brings.

    Raises SiteError where there is none.
    """
    import numpy as np

    try:
        if not hasattr(np, name) and find_spec("ml_dtypes"):
            import ml_dtypes

            return np.dtype(getattr(ml_dtypes, name))
        return np.dtype(name)
    except (AttributeError, TypeError) as error:
        raise SiteError(
            f"NumPy has no dtype {name} here",
            hint="pip install ml_dtypes, which adds bfloat16 and others, or turn it into float32 first",
        ) from error
