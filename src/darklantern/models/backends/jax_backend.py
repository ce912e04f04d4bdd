"""JAX behind the shim."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from darklantern.errors import SiteError
from darklantern.models.backends import adam
from darklantern.models.backends.trees import one_number, refuse_whole
from darklantern.models.dtypes import dtype_name


class JaxBackend:
    """See `Backend`, which says what each does."""

    name = "jax"
    xp = jnp
    devices = ("cpu", "gpu", "cuda", "rocm", "tpu")

    def value_and_grad(self, metric: Callable[[Any], Array]) -> Callable[[Any], tuple[Array, Any]]:
        def both(params: Any) -> tuple[Array, Any]:
            refuse_whole(params)
            value, gradients = jax.value_and_grad(one_number(metric))(params)
            return value, gradients

        return both

    def vmap(self, function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
        return jax.vmap(function, in_axes, out_axes)

    def jit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return jax.jit(function)

    def softmax(self, array: Array, axis: int = -1) -> Array:
        return jax.nn.softmax(array, axis)

    def logsumexp(self, array: Array, axis: int = -1, keepdims: bool = False) -> Array:
        return jax.nn.logsumexp(array, axis=axis, keepdims=keepdims)

    def relu(self, array: Array) -> Array:
        return jax.nn.relu(array)

    def gelu(self, array: Array, tanh: bool = False) -> Array:
        return jax.nn.gelu(array, approximate=tanh)

    def erf(self, array: Array) -> Array:
        return jax.lax.erf(array)

    def top_k(self, array: Array, count: int) -> tuple[Array, Array]:
        values, indices = jax.lax.top_k(array, count)
        return values, indices

    def einsum(self, spec: str, *arrays: Array) -> Array:
        return jnp.einsum(spec, *arrays)

    def quantile(self, array: Array, q: float, axis: int | None = None, keepdims: bool = False) -> Array:
        return jnp.quantile(array, q, axis=axis, keepdims=keepdims)

    def normal(self, shape: Sequence[int], seed: int, like: Array | None = None) -> Array:
        drawn = jax.random.normal(jax.random.key(seed), tuple(shape), jnp.float32)
        return drawn if like is None else self.like(drawn, like)

    def index_set(self, array: Array, index: Any, new: Any) -> Array:
        return array.at[_without_lists(index)].set(jnp.asarray(new, dtype=array.dtype))

    def stop_gradient(self, array: Array) -> Array:
        return jax.lax.stop_gradient(array)

    def adam_start(self, params: Any) -> Any:
        return adam.start(self.xp, params)

    def adam_step(
        self,
        state: Any,
        params: Any,
        grads: Any,
        rate: float = 1e-3,
        decay: tuple[float, float] = (0.9, 0.999),
        tiny: float = 1e-8,
    ) -> tuple[Any, Any]:
        return adam.step(self.xp, state, params, grads, rate, decay, tiny)

    def is_device(self, word: str) -> bool:
        kind, _, number = word.partition(":")
        return kind in self.devices and (number.isdecimal() or word == kind)

    def usable(self, device: str) -> jax.Device:
        kind, _, number = device.partition(":")
        try:
            return jax.devices(kind)[int(number or 0)]
        except (RuntimeError, IndexError) as error:
            raise SiteError(
                f"to={device!r}: this JAX has no such device here: {str(error).splitlines()[0]}",
                hint=f'to="cpu" keeps values in memory; for a folder of that name, ./{device}',
            ) from error

    def placed(self, array: Array, device: jax.Device) -> Array:
        return jax.device_put(array, device)

    def like(self, array: Array, old: Array) -> Array:
        made = jnp.astype(array, old.dtype)
        if self.is_traced(made) or self.is_traced(old):
            return made  # compiled code says itself where things lie
        there = old.devices()
        return made if made.devices() == there or len(there) > 1 else jax.device_put(made, next(iter(there)))

    def factor(self, number: Array, old: Array) -> Array:
        # JAX would widen the value to the number's dtype.
        return self.like(number, old)

    def is_traced(self, array: Any) -> bool:
        return isinstance(array, jax.core.Tracer)

    def is_on_host(self, array: Array) -> bool:
        return all(device.platform == "cpu" for device in array.devices())

    def copied(self, array: Array) -> Array:
        return jnp.array(array, copy=True)

    def to_numpy(self, array: Array, copy: bool) -> Any:
        try:
            return np.array(array) if copy else np.asarray(array)
        except (TypeError, RuntimeError) as error:
            raise SiteError(
                f"an array of {dtype_name(array)} cannot become a NumPy array: {error}",
                hint="jax.random.key_data(...) of keys; of what lies on several hosts, an array that all of them have",
            ) from error

    def from_numpy(self, array: Any, copy: bool) -> Array:
        """64 bits become 32, unless jax_enable_x64 is on, where that keeps the numbers; whole ones exactly."""
        try:
            dtype = jnp.asarray(np.empty(0, array.dtype)).dtype  # what JAX makes of it, with 64 bits or without
        except TypeError as error:
            raise SiteError(
                f"JAX has no dtype {dtype_name(array)}", hint="turn it into float32 first, or other numbers"
            ) from error
        if dtype != array.dtype:
            array, copy = _narrowed(array, dtype), False
        return jnp.array(array, copy=True) if copy else jnp.asarray(array)

    def from_device(self, array: Any, copy: bool) -> Array | None:
        if dtype_name(array).endswith(("64", "128")) and jnp.result_type(float) != jnp.float64:
            return None  # by way of NumPy, where it shows whether 32 bits hold it
        try:
            return jax.dlpack.from_dlpack(array.detach().contiguous(), copy=copy or None)
        except (TypeError, ValueError, RuntimeError, AttributeError, BufferError, AssertionError):
            return None


def _without_lists(index: Any) -> Any:
    """JAX takes lists of indices as arrays only."""
    if isinstance(index, tuple):
        return tuple(_without_lists(each) for each in index)
    return np.asarray(index) if isinstance(index, list) else index


def _narrowed(given: Any, dtype: Any) -> Any:
    """`given` in fewer bits. Raises SiteError where `dtype` lacks the range for it: whole numbers would wrap around."""
    with np.errstate(over="ignore"):
        made = given.astype(dtype)
    whole = given.dtype.kind in "iu"
    if np.array_equal(given, made) if whole else np.array_equal(np.isfinite(given), np.isfinite(made)):
        return made
    raise SiteError(
        f"{dtype_name(given)} numbers up to {np.abs(given[np.isfinite(given)]).max():.4g} do not fit into "
        f"{dtype_name(made)}, which JAX makes of them",
        hint='jax.config.update("jax_enable_x64", True) keeps 64 bits',
    )


BACKEND = JaxBackend()
