"""A state dict of any shape as JSON values and named tensors, and back: schedulers, scalers, further optimizers."""

from collections.abc import Callable
from typing import Any

from darklantern.errors import SnapshotError


def taken_apart(tree: Any, name: str, keep: Callable[[str, Any], None], is_tensor: Callable[[Any], bool]) -> Any:
    """`tree` as JSON values; each tensor is handed to `keep` under a name that begins with `name`.

    Raises SnapshotError for a leaf that JSON cannot hold.
    """
    if is_tensor(tree):
        keep(name, tree)
        return {"tensor": name}
    if isinstance(tree, dict):
        pairs = [[key, taken_apart(value, f"{name}.{key}", keep, is_tensor)] for key, value in tree.items()]
        if all(isinstance(key, str | int) for key in tree):
            return {"dict": pairs}
    elif isinstance(tree, list | tuple):
        parts = [taken_apart(value, f"{name}.{at}", keep, is_tensor) for at, value in enumerate(tree)]
        return {"tuple" if isinstance(tree, tuple) else "list": parts}
    elif tree is None or isinstance(tree, str | int | float):
        return {"value": tree}
    raise SnapshotError(
        f"{name} holds a {type(tree).__name__}, which a snapshot cannot keep",
        hint="keep numbers, texts, tensors, and lists and dicts of them in state_dict()",
    )


def put_together(tree: Any, tensors: dict[str, Any]) -> Any:
    """What `taken_apart` took. Raises LookupError for a tensor that is not there."""
    ((kind, held),) = tree.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "dict":
        return {key: put_together(value, tensors) for key, value in held}
    if kind in ("list", "tuple"):
        made = [put_together(value, tensors) for value in held]
        return tuple(made) if kind == "tuple" else made
    return held
