"""How what an edit was given comes to fit the value that it changes: axes by name, device, dtype, shape."""

from typing import Any

import torch
from torch import Tensor

from darklantern.errors import SiteError
from darklantern.models.arithmetic import by_name
from darklantern.models.recording import Value


def held(given: Any, name: str) -> Any:
    """`given` as a Value or a tensor; a number at the precision it has. Raises SiteError for what is neither."""
    if isinstance(given, Value):
        return given
    try:
        return torch.as_tensor(given, dtype=torch.float64 if isinstance(given, float) else None)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SiteError(
            f"{name}: expected a Value, a tensor or a number, got {type(given).__name__} {given!r}"[:200],
            hint="a direction is a tensor such as recording[site].mean('batch', 'pos').array",
        ) from error


def like(given: Any, old: Tensor, axes: tuple[str, ...], name: str) -> Tensor:
    """`given` where `old` lies and of its dtype; a Value with its axes in the order of `axes`."""
    array = _by_axes(given, axes, name) if isinstance(given, Value) else held(given, name)
    return keeping_kind(torch.as_tensor(array), old, name).to(old)


def fitted(given: Any, old: Tensor, axes: tuple[str, ...], name: str) -> Tensor:
    """As `like`, broadcast to the shape of `old`."""
    new = like(given, old, axes, name)
    try:
        return new.expand_as(old)
    except RuntimeError as error:
        came = tuple(given.shape) if isinstance(given, Value | Tensor) else tuple(new.shape)
        raise SiteError(
            f"{name}: expected a value that broadcasts to {' '.join(axes)} {tuple(old.shape)}, got {came}",
            hint="replace a part by what fits it, the site pinned, as in [pos=-1]; or record and run batches of one "
            "shape",
        ) from error


def keeping_kind(new: Tensor, old: Tensor, name: str) -> Tensor:
    """`new`, unless turning it into the dtype of `old` would silently drop a fraction or an imaginary part."""
    real = not old.is_complex()
    if (new.is_complex() and real) or (new.is_floating_point() and real and not old.is_floating_point()):
        raise SiteError(
            f"{name}: the value there is {_dtype(old)}, and what should replace it {_dtype(new)}",
            hint="token numbers take whole numbers (edit embed:out for the vectors); of complex ones take .real or abs",
        )
    return new


def of_fractions(old: Tensor, name: str) -> Tensor:
    """`old`, unless it holds whole numbers, of which there is no mean and no projection."""
    if not (old.is_floating_point() or old.is_complex()):
        raise SiteError(f"{name}: the value there is {_dtype(old)}, whole numbers", hint="edit embed:out, for instance")
    return old


def _by_axes(value: Value, axes: tuple[str, ...], name: str) -> Any:
    if not axes:  # of somebody who knows shapes only
        return value.array
    if strange := [axis for axis in value.axes if axis not in axes]:
        raise SiteError(
            f"{name}: {value.site} has axes {' '.join(value.axes) or '-'}, and what it should go into "
            f"{' '.join(axes) or '-'}, without {' '.join(strange)}",
            hint=f"pin the site or the value, as in .at({strange[0]}=0), or average, .mean({strange[0]!r}); a bare "
            "tensor, value.array, goes by the order of its axes",
        )
    return by_name(value.array, value.axes, axes)


def _dtype(array: Tensor) -> str:
    return str(array.dtype).removeprefix("torch.")
