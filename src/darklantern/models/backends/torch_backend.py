"""PyTorch behind the shim."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from array_api_compat import torch as namespace
from torch import Tensor

from darklantern.errors import SiteError
from darklantern.models.backends import adam
from darklantern.models.backends.trees import one_number, refuse_whole
from darklantern.models.dtypes import dtype_name, numpy_dtype

_BITS = {1: torch.uint8, 2: torch.int16}
"""what stands for numbers that NumPy has from elsewhere, by their bytes"""
_FOREIGN = ("bfloat16", "float8_")


class TorchBackend:
    """See `Backend`, which says what each does."""

    name = "torch"
    xp = namespace
    devices = ("cpu", "cuda", "mps", "xpu")

    def value_and_grad(self, metric: Callable[[Any], Tensor]) -> Callable[[Any], tuple[Tensor, Any]]:
        def both(params: Any) -> tuple[Tensor, Any]:
            refuse_whole(params)
            # Not autograd.grad, which vmap cannot go through.
            gradients, value = torch.func.grad_and_value(one_number(metric))(params)
            return value, gradients

        return both

    def vmap(self, function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
        return torch.func.vmap(function, in_axes, out_axes)

    def jit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def softmax(self, array: Tensor, axis: int = -1) -> Tensor:
        return array.softmax(axis)

    def logsumexp(self, array: Tensor, axis: int = -1, keepdims: bool = False) -> Tensor:
        return array.logsumexp(axis, keepdims)

    def relu(self, array: Tensor) -> Tensor:
        return array.relu()

    def gelu(self, array: Tensor, tanh: bool = False) -> Tensor:
        return torch.nn.functional.gelu(array, approximate="tanh" if tanh else "none")

    def erf(self, array: Tensor) -> Tensor:
        return array.erf()

    def top_k(self, array: Tensor, count: int) -> tuple[Tensor, Tensor]:
        values, indices = array.topk(count, -1)
        return values, indices

    def einsum(self, spec: str, *arrays: Tensor) -> Tensor:
        return torch.einsum(spec, *arrays)

    def quantile(self, array: Tensor, q: float, axis: int | None = None, keepdims: bool = False) -> Tensor:
        # Not torch.quantile, which takes no more than 16 million numbers, and none of 16 bits.
        shape = [1] * array.ndim if axis is None else [*array.shape]
        if axis is not None:
            shape[axis] = 1
        ordered = (array.flatten() if axis is None else array.movedim(axis, -1)).sort(-1).values
        place = q * (ordered.shape[-1] - 1)
        low = int(place)
        below, above = ordered[..., low], ordered[..., min(low + 1, ordered.shape[-1] - 1)]
        found = torch.lerp(below, above, place - low)
        # Sorted, NaN comes last.
        found = torch.where(ordered[..., -1].isnan(), ordered[..., -1], found)
        return found.reshape(shape) if keepdims else found

    def normal(self, shape: Sequence[int], seed: int, like: Tensor | None = None) -> Tensor:
        # Drawn on the host, so that it is the same wherever `like` lies.
        drawn = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))
        return drawn if like is None else drawn.to(like)

    def index_set(self, array: Tensor, index: Any, new: Any) -> Tensor:
        # By the places' numbers, and not in place: in a batched function the copy would not be batched as `new` is.
        places = torch.arange(array.numel(), device=array.device).reshape(array.shape)[index]
        put = torch.as_tensor(new).to(array).broadcast_to(places.shape)
        return array.flatten().index_put((places.flatten(),), put.flatten()).reshape(array.shape)

    def stop_gradient(self, array: Tensor) -> Tensor:
        return array.detach()

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
        with torch.no_grad():
            return adam.step(self.xp, state, params, grads, rate, decay, tiny)

    def is_device(self, word: str) -> bool:
        try:
            return torch.device(word) is not None
        except RuntimeError:
            return False

    def usable(self, device: str) -> str:
        # torch built without it says so with an AssertionError, of one that is not there otherwise.
        try:
            torch.empty(0, device=device)
        except (AssertionError, RuntimeError) as error:
            raise SiteError(
                f"to={device!r}: this torch has no such device here: {str(error).splitlines()[0]}",
                hint=f'to="cpu" keeps values in memory; for a folder of that name, ./{device}',
            ) from error
        return device

    def placed(self, array: Tensor, device: str) -> Tensor:
        return array.to(device)

    def like(self, array: Tensor, old: Tensor) -> Tensor:
        return array.to(old)

    def factor(self, number: Tensor, old: Tensor) -> Tensor:
        # torch lets an array of no axes leave the dtype alone, and reckons with all of its digits.
        return number if number.device.type == "cpu" else number.to(old.device)

    def is_traced(self, array: Tensor) -> bool:
        return False

    def is_on_host(self, array: Tensor) -> bool:
        return array.device.type == "cpu"

    def copied(self, array: Tensor) -> Tensor:
        return array.clone()

    def to_numpy(self, array: Tensor, copy: bool) -> Any:
        held = array.detach().resolve_conj().resolve_neg()
        try:
            moved = held.cpu()
            name = dtype_name(moved)
            if name.startswith(_FOREIGN):
                made: Any = moved.view(_BITS[moved.element_size()]).numpy().view(numpy_dtype(name))
            else:
                made = moved.numpy()
        except (TypeError, RuntimeError, NotImplementedError, KeyError) as error:
            raise SiteError(
                f"a tensor of {dtype_name(array)} on {array.device} cannot become a NumPy array: {error}",
                hint="turn it into float32 first, or a sharded, sparse or quantised one into a plain one",
            ) from error
        return made.copy() if copy and moved is held else made

    def from_numpy(self, array: Any, copy: bool) -> Tensor:
        try:
            made = torch.as_tensor(array)
        except TypeError:
            made = _by_bits(array)
        return made.clone() if copy else made

    def from_device(self, array: Any, copy: bool) -> Tensor | None:
        try:
            made = torch.utils.dlpack.from_dlpack(array)
        except (TypeError, ValueError, RuntimeError, AttributeError, BufferError, AssertionError):
            return None
        return made.clone() if copy else made


def _by_bits(array: Any) -> Tensor:
    """A NumPy array of numbers that NumPy has from elsewhere."""
    name = dtype_name(array)
    if not name.startswith(_FOREIGN) or not hasattr(torch, name):
        raise SiteError(f"torch has no dtype {name}", hint="turn it into float32 first, as in array.astype('float32')")
    bits = array.view({1: "uint8", 2: "int16"}[array.dtype.itemsize])
    return torch.as_tensor(bits).view(getattr(torch, name))


BACKEND = TorchBackend()
