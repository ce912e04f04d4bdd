"""What the frameworks' own tools see inside a model, to hold the engine against: a second witness beside the oracles.

A capture maps a module's native path, parts joined by dots, to what it returned, call by call: `{"block_0.attn": [x]}`,
the model itself under "". What ran in a scan has a first axis `layer`. Other methods than `__call__` follow a colon:
`embed:attend`.
"""

from collections.abc import Mapping
from typing import Any

import haiku as hk
import jax
import numpy as np
from flax import linen, nnx
from flax.traverse_util import flatten_dict

from .twin import Array, Built, Twin

Captured = dict[str, list[Any]]


def capture(twin: Twin, built: Built, inputs: Any) -> Captured:
    """By the framework's own tool. Raises ValueError for frameworks that have none (Equinox, functions)."""
    tools = {"linen": by_linen, "nnx": by_nnx, "haiku": by_haiku}
    if twin.framework not in tools:
        raise ValueError(f"{twin.framework} has no way of its own to see what modules return")
    arguments, keywords = ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
    return tools[twin.framework](built, *arguments, **keywords)


def by_linen(built: Built, *arguments: Any, **keywords: Any) -> Captured:
    """`capture_intermediates`. What a scan runs is there only if the scan has an axis for `intermediates`."""

    def wanted(_: linen.Module, method: str) -> bool:
        return method in ("__call__", "attend")

    _, variables = built.module.apply(
        built.weights, *arguments, **keywords, capture_intermediates=wanted, mutable=["intermediates"]
    )
    return _by_path(flatten_dict(variables["intermediates"]))


def by_nnx(built: Built, *arguments: Any, **keywords: Any) -> Captured:
    """`nnx.capture`, which puts a `sow` behind each method while it runs."""
    seen = nnx.capture(built.module, nnx.Intermediate, method_outputs=nnx.Intermediate)(*arguments, **keywords)[1]
    return _by_path(flatten_dict(nnx.to_pure_dict(seen)))


def by_haiku(built: Built, *arguments: Any, **keywords: Any) -> Captured:
    """`hk.intercept_methods`. Not in a layer_stack: there it sees tracers, which die with the scan."""
    seen: Captured = {}

    def look(run: Any, args: Any, kwargs: Any, context: hk.MethodContext) -> Any:
        returned = run(*args, **kwargs)
        if context.method_name == "__call__" and not isinstance(returned, jax.core.Tracer):
            seen.setdefault(context.module.module_name.replace("/", "."), []).append(returned)
        return returned

    with hk.intercept_methods(look):
        built.module.apply(built.weights, None, *arguments, **keywords)
    return seen


def _by_path(flat: Mapping[tuple[Any, ...], Any]) -> Captured:
    def name(path: tuple[Any, ...]) -> str:
        *parts, method = map(str, path)
        return ".".join(parts) + ("" if method == "__call__" else f":{method}")

    return {name(path): list(calls) for path, calls in flat.items()}


def differences(found: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float = 0.0) -> dict[str, str]:
    """What is wrong, by name; empty where both hold the same names and, at each, the same numbers.

    `tolerance` is a share of the largest expected value; 0 means equal bit for bit.
    """
    wrong = {name: "only in the second" for name in expected.keys() - found.keys()}
    wrong |= {name: "only in the first" for name in found.keys() - expected.keys()}
    for name in found.keys() & expected.keys():
        if text := difference(np.asarray(found[name]), np.asarray(expected[name]), tolerance):
            wrong[name] = text
    return wrong


def difference(found: Array, expected: Array, tolerance: float = 0.0) -> str:
    """How two arrays differ, or nothing."""
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return f"{found.dtype}{found.shape}, not {expected.dtype}{expected.shape}"
    if tolerance == 0.0:
        return "" if found.tobytes() == expected.tobytes() else "not the same bits"
    off = float(np.abs(found - expected).max()) if found.size else 0.0
    allowed = tolerance * float(np.abs(expected).max()) if found.size else 0.0
    return "" if off <= allowed else f"off by {off:.3g}, more than {allowed:.3g}"  # NaN is no small number either
