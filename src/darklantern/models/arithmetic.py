"""Arithmetic of values that keeps the names of axes: `a - b`, `gradient * value`, `value / 2`."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from darklantern.errors import SiteError
from darklantern.models.shim import framework_of, is_array, namespace, plain

if TYPE_CHECKING:
    from typing import Self

    from darklantern.models.recording import Value


class Arithmetic:
    """Values add, subtract, multiply, divide and raise, with numbers, arrays of their shape, and one another.

    Two values meet by the names of their axes. One may lack axes of the other, or have 1 there; what neither has in
    full is refused. The result stands under the site and the tokens of the one with all axes, of two the left one.
    """

    __array_ufunc__ = None
    """NumPy's numbers and arrays leave it to this class, when they stand on the left"""

    def __add__(self, other: Any) -> "Self":
        return _joined(operator.add, self, other)

    def __radd__(self, other: Any) -> "Self":
        return _joined(lambda a, b: b + a, self, other)

    def __sub__(self, other: Any) -> "Self":
        return _joined(operator.sub, self, other)

    def __rsub__(self, other: Any) -> "Self":
        return _joined(lambda a, b: b - a, self, other)

    def __mul__(self, other: Any) -> "Self":
        return _joined(operator.mul, self, other)

    def __rmul__(self, other: Any) -> "Self":
        return _joined(lambda a, b: b * a, self, other)

    def __truediv__(self, other: Any) -> "Self":
        return _joined(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> "Self":
        return _joined(lambda a, b: b / a, self, other)

    def __pow__(self, other: Any) -> "Self":
        return _joined(operator.pow, self, other)

    def __neg__(self) -> "Self":
        return _joined(lambda a, _: -a, self, 0)

    def __abs__(self) -> "Self":
        return _joined(lambda a, _: abs(a), self, 0)


def by_name(array: Any, own: Sequence[str], axes: Sequence[str]) -> Any:
    """`array` with axes named `own`, all of them among `axes`, in the order of `axes`, and 1 where it lacks one."""
    if tuple(own) == tuple(axes):
        return array
    order = [own.index(axis) for axis in axes if axis in own]
    return namespace(array).permute_dims(array, tuple(order))[
        tuple(slice(None) if axis in own else None for axis in axes)
    ]


def _joined(how: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if not isinstance(right, Arithmetic):
        made = how(left.array, _met(right, left.array))
        if tuple(made.shape) != left.shape:
            raise SiteError(
                f"{left.site} has shape {left.shape}, got {tuple(getattr(right, 'shape', ()))}",
                hint="a number, an array that broadcasts to it, or a Value, whose axes have names",
            )
        return replace(left, array=made)
    other: Value = right  # type: ignore[assignment]
    base = left if set(other.axes) <= set(left.axes) else other
    _check(left, other, base)
    mine, theirs = left.array, other.array
    if framework_of(mine) == "numpy":
        mine = _met(mine, theirs)
    else:
        theirs = _met(theirs, mine)
    return replace(base, array=how(by_name(mine, left.axes, base.axes), by_name(theirs, other.axes, base.axes)))


def _met(given: Any, array: Any) -> Any:
    """What NumPy made, as the array's own framework has it: torch and NumPy do not add in either order.

    Raises SiteError for an array of another framework.
    """
    framework = framework_of(array)
    if not is_array(given) or framework_of(given) == framework:
        return given
    if framework_of(given) != "numpy":
        raise SiteError(
            f"an array of {framework_of(given)} does not add to one of {framework}",
            hint=f'value.to("{framework}") has the same numbers there',
        )
    return namespace(array).asarray(plain(given), device=array.device) if framework == "torch" else given


def _check(left: "Value", right: "Value", base: "Value") -> None:
    def shown(value: "Value") -> str:
        sizes = zip(value.axes, value.shape, strict=True)
        return f"{value.site} ({' '.join(f'{axis}={size}' for axis, size in sizes)})"

    full = dict(zip(base.axes, base.shape, strict=True))
    for value in (left, right):
        for axis, size in zip(value.axes, value.shape, strict=True):
            if axis not in full or size not in (1, full[axis]):
                raise SiteError(
                    f"{shown(left)} and {shown(right)} do not fit: axis {axis}",
                    hint="select or average first, .at(...) or .mean(...), or compute with the arrays",
                )
    if left.lengths and right.lengths and tuple(left.lengths) != tuple(right.lengths):
        raise SiteError(
            f"{left.site} has examples of {list(left.lengths)} tokens, {right.site} of {list(right.lengths)}",
            hint="positions do not correspond; model.batch(prompts, align=others) makes sure that they do",
        )
