"""Trees of arrays, as dicts, lists and tuples of them; and what a gradient asks of one."""

from collections.abc import Callable, Iterator
from typing import Any

from darklantern.errors import SiteError
from darklantern.models.dtypes import dtype_name, has_fractions, is_complex


def mapped(how: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """A tree like `tree`, of what `how` makes of each array, and of its place in `others`."""
    if isinstance(tree, dict):
        return {name: mapped(how, each, *(other[name] for other in others)) for name, each in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [mapped(how, *each) for each in zip(tree, *others, strict=True)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return how(tree, *others)


def leaves(tree: Any) -> Iterator[Any]:
    """The arrays of a tree."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if not isinstance(tree, list | tuple):
        yield tree
        return
    for each in tree:
        yield from leaves(each)


def refuse_whole(params: Any) -> None:
    """Raises SiteError for a tree without arrays, or with what has no gradient."""
    found = list(leaves(params))
    for each in found:
        if not hasattr(each, "dtype"):
            raise SiteError(
                f"expected a tree of arrays to take the gradient of, got {type(each).__name__} in it",
                hint="what is no parameter belongs into the function, not into its argument",
            )
        if not (has_fractions(each) or is_complex(each)):
            raise SiteError(
                f"there is no gradient with respect to {dtype_name(each)}, whole numbers",
                hint="leave them out of the tree, or hand over what they index",
            )
    if not found:
        raise SiteError("expected a tree of arrays to take the gradient of, got an empty one", hint='{"weight": array}')


def one_number(metric: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`metric`, held to returning one number."""

    def held(params: Any) -> Any:
        value = metric(params)
        shape = getattr(value, "shape", None)
        if shape is None or tuple(shape):
            came = type(value).__name__ if shape is None else f"shape {tuple(shape)}"
            raise SiteError(
                f"a gradient is that of one number, an array of no axes, got {came}",
                hint="return loss.mean() or loss.sum()",
            )
        return value

    return held
