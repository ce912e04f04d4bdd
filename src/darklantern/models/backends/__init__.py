"""What the array API lacks, once for each framework: gradients, batching, compiling, and a few functions.

In: arrays of one framework, and trees of them (dicts, lists and tuples). Out: the same. A backend never changes what it
is given. `torch_backend` and `jax_backend` are loaded by `models.shim` when first needed, and by nobody else.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

Array = Any
Tree = Any
"""an array, or dicts, lists and tuples of trees"""


class Backend(Protocol):
    """One framework, by the same names as the other. Axes count from 0, or from the end as -1."""

    @property
    def name(self) -> str:
        """torch or jax."""
        ...

    @property
    def xp(self) -> Any:
        """Its namespace of the array API."""
        ...

    # functions of functions

    def value_and_grad(self, metric: Callable[[Tree], Array]) -> Callable[[Tree], tuple[Array, Tree]]:
        """`metric`, one number of a tree of arrays, as a function that returns it and its gradient, a tree alike.

        Raises SiteError for what is not one number, and for whole numbers in the tree, which have no gradient.
        """
        ...

    def vmap(self, function: Callable[..., Tree], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Tree]:
        """`function` of one example as one of a batch; `in_axes` says where each argument has it, None for nowhere."""
        ...

    def jit(self, function: Callable[..., Tree]) -> Callable[..., Tree]:
        """`function` compiled, where the framework compiles functions: JAX does, torch runs it as it is."""
        ...

    # functions of arrays

    def softmax(self, array: Array, axis: int = -1) -> Array: ...

    def logsumexp(self, array: Array, axis: int = -1, keepdims: bool = False) -> Array: ...

    def relu(self, array: Array) -> Array:
        """The gradient at 0 is 0."""
        ...

    def gelu(self, array: Array, tanh: bool = False) -> Array:
        """By the error function, or with `tanh` by GPT-2's approximation of it."""
        ...

    def erf(self, array: Array) -> Array: ...

    def top_k(self, array: Array, count: int) -> tuple[Array, Array]:
        """The `count` largest along the last axis, largest first, and their indices. Which of equals comes is open."""
        ...

    def einsum(self, spec: str, *arrays: Array) -> Array: ...

    def quantile(self, array: Array, q: float, axis: int | None = None, keepdims: bool = False) -> Array:
        """The number below which a share `q` lies, linear between two; NaN where there is one."""
        ...

    def normal(self, shape: Sequence[int], seed: int, like: Array | None = None) -> Array:
        """Standard normal numbers, the same for the same seed, of the dtype and device of `like`.

        Another framework draws others from the same seed: not equal in any bit.
        """
        ...

    def index_set(self, array: Array, index: Any, new: Any) -> Array:
        """A copy of `array` with `new` at `index`, which no number of stands twice."""
        ...

    def stop_gradient(self, array: Array) -> Array:
        """The same numbers, as a constant."""
        ...

    # Adam (Kingma and Ba, 2015, algorithm 1), by one formula in both

    def adam_start(self, params: Tree) -> Tree:
        """The state before the first step: both moments 0."""
        ...

    def adam_step(
        self,
        state: Tree,
        params: Tree,
        grads: Tree,
        rate: float = 1e-3,
        decay: tuple[float, float] = (0.9, 0.999),
        tiny: float = 1e-8,
    ) -> tuple[Tree, Tree]:
        """The parameters after one step, and the state after it."""
        ...

    # devices

    @property
    def devices(self) -> tuple[str, ...]:
        """The kinds of them that have names."""
        ...

    def is_device(self, word: str) -> bool:
        """Whether `word` is what a device is called, be it there or not."""
        ...

    def usable(self, device: str) -> Any:
        """The device of that name, to be handed to `placed`. Raises SiteError where it is not there."""
        ...

    def placed(self, array: Array, device: Any) -> Array:
        """`array`, on `device`."""
        ...

    # arrays from and to elsewhere

    def like(self, array: Array, old: Array) -> Array:
        """An array of this framework where `old` lies, of its dtype."""
        ...

    def factor(self, number: Array, old: Array) -> Array:
        """An array of no axes, to multiply `old` by without changing its dtype; as exact as a Python number can be."""
        ...

    def is_traced(self, array: Array) -> bool:
        """Whether it stands for numbers that are not there yet, in a function that is being compiled or derived."""
        ...

    def is_on_host(self, array: Array) -> bool:
        """Whether its numbers lie where NumPy can read them."""
        ...

    def copied(self, array: Array) -> Array: ...

    def to_numpy(self, array: Array, copy: bool) -> Any:
        """Its numbers as NumPy has them, without gradients. Raises SiteError where NumPy has no such numbers."""
        ...

    def from_numpy(self, array: Any, copy: bool) -> Array:
        """What `to_numpy` undoes, of a plain array. Raises SiteError for numbers that the framework does not have."""
        ...

    def from_device(self, array: Array, copy: bool) -> Array | None:
        """An array of another framework's on an accelerator, left there; None where that cannot be."""
        ...
