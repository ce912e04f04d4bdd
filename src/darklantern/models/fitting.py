"""How what an edit was given comes to fit the value that it changes: axes by name, framework, device, dtype, shape."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.errors import SiteError
from darklantern.models.arithmetic import by_name
from darklantern.models.dtypes import dtype_name, has_fractions, is_complex
from darklantern.models.recording import Value
from darklantern.models.shim import backend, backend_of, convert, framework_of, is_array, plain
from darklantern.models.sites import Site


@dataclass(frozen=True)
class Named:
    """What a Value says of its numbers, which go their own way: through the compiler of a framework, say."""

    site: Site
    axes: tuple[str, ...]


def held(given: Any, name: str) -> tuple[Any, Named | None]:
    """The array in `given`, and what its axes are called if it is a Value; a number at the precision it has.

    Raises SiteError for what is neither a Value, nor an array, nor numbers.
    """
    if isinstance(given, Value):
        return held(given.array, name)[0], Named(given.site, tuple(given.axes))
    if hasattr(given, "__jax_array__") and not is_array(given):
        given = given.__jax_array__()  # a parameter of a JAX library
    if is_array(given) and framework_of(given) != "numpy":
        return given, None
    try:
        array = np.asarray(given, dtype=np.complex64 if isinstance(given, complex) else None)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_numbers(given, name) from error
    if not _is_numbers(array):
        raise _no_numbers(given, name)
    return plain(array), None


def like(operand: Any, old: Any, axes: tuple[str, ...], name: str, named: Named | None = None) -> Any:
    """`operand` where `old` lies, of its framework and dtype; of a Value with its axes in the order of `axes`."""
    array = brought(operand, old)
    if named is not None:
        array = _by_axes(array, named, axes, name)
    return backend_of(old).like(keeping_kind(array, old, name), old)


def fitted(operand: Any, old: Any, axes: tuple[str, ...], name: str, named: Named | None = None) -> Any:
    """As `like`, broadcast to the shape of `old`."""
    return broadcast(like(operand, old, axes, name, named), old, axes, name, tuple(operand.shape))


def broadcast(new: Any, old: Any, axes: tuple[str, ...], name: str, came: tuple[int, ...]) -> Any:
    """`new` in the shape of `old`. Raises SiteError where it does not fit, with the shape in which it `came`."""
    sizes = zip(reversed(new.shape), reversed(old.shape), strict=False)
    if len(new.shape) > len(old.shape) or any(one not in (1, other) for one, other in sizes):
        raise SiteError(
            f"{name}: expected a value that broadcasts to {' '.join(axes)} {tuple(old.shape)}, got {came}",
            hint="replace a part by what fits it, the site pinned, as in [pos=-1]; or record and run batches of one "
            "shape",
        )
    return backend_of(old).xp.broadcast_to(new, old.shape)


def brought(operand: Any, old: Any) -> Any:
    """`operand` in the framework of `old`."""
    there = framework_of(old)
    if (here := framework_of(operand)) == there:
        return operand
    # Without a look at it first: `held` has made it plain, and torch's compiler cannot look.
    return backend(there).from_numpy(operand, copy=False) if here == "numpy" else convert(operand, there, copy=False)


def keeping_kind(new: Any, old: Any, name: str) -> Any:
    """`new`, unless turning it into the dtype of `old` would silently drop a fraction or an imaginary part."""
    real = not is_complex(old)
    if (is_complex(new) and real) or (has_fractions(new) and real and not has_fractions(old)):
        raise SiteError(
            f"{name}: the value there is {dtype_name(old)}, and what should replace it {dtype_name(new)}",
            hint="token numbers take whole numbers (edit embed:out for the vectors); of complex ones take .real or abs",
        )
    return new


def of_fractions(old: Any, name: str) -> Any:
    """`old`, unless it holds whole numbers, of which there is no mean and no projection."""
    if not (has_fractions(old) or is_complex(old)):
        raise SiteError(
            f"{name}: the value there is {dtype_name(old)}, whole numbers", hint="edit embed:out, for instance"
        )
    return old


def _by_axes(array: Any, named: Named, axes: tuple[str, ...], name: str) -> Any:
    if not axes:  # of somebody who knows shapes only
        return array
    if strange := [axis for axis in named.axes if axis not in axes]:
        raise SiteError(
            f"{name}: {named.site} has axes {' '.join(named.axes) or '-'}, and what it should go into "
            f"{' '.join(axes) or '-'}, without {' '.join(strange)}",
            hint=f"pin the site or the value, as in .at({strange[0]}=0), or average, .mean({strange[0]!r}); a bare "
            "tensor, value.array, goes by the order of its axes",
        )
    return by_name(array, named.axes, axes)


def _is_numbers(array: Any) -> bool:
    # Of 64 bits at most, twice that for complex ones: no framework has more.
    known = array.dtype.kind in "biufc" and array.dtype.itemsize <= (16 if array.dtype.kind == "c" else 8)
    return known or "float" in array.dtype.name


def _no_numbers(given: Any, name: str) -> SiteError:
    return SiteError(
        f"{name}: expected a Value, a tensor or a number, got {type(given).__name__} {given!r}"[:200],
        hint="a direction is a tensor such as recording[site].mean('batch', 'pos').array",
    )
