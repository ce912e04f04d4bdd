"""How values are laid out in a model, from what its modules say: what comes first, what is an image, what a token."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn

BATCH_FIRST, POS_FIRST, IMAGE, ATTENTION = "batch first", "pos first", "image", "attention"
_SPATIAL = (
    nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm2d,
    nn.InstanceNorm3d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip
_TURNING = {"transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis", "rearrange", "mT", "T", "t"}


class Layouts:
    """What each module of a model says about itself and all that lies around it, looked up once."""

    def __init__(self, modules: Mapping[str, nn.Module], is_attention: Callable[[str], bool]) -> None:
        self.modules, self._is_attention = modules, is_attention
        self._turned: dict[str, bool] = {}

    def batch_first(self, path: str) -> bool | None:
        """Whether examples come before positions there: what the nearest attention or recurrence says; else they do.

        Where positions come first and some code on the way turns tensors, or modules as near disagree, None.
        """
        around = self._nearest(path, BATCH_FIRST, POS_FIRST)
        if around is None or POS_FIRST not in self._marks[around]:
            return True
        if BATCH_FIRST in self._marks[around]:
            return None
        if self._turned_inside(around):
            return None
        # Nor may code around it have turned what it hands it.
        beside = {self.modules[each] for each in _way(around, path) if each not in (path, around)}
        return None if any(map(_turns, beside)) else False

    def _turned_inside(self, around: str) -> bool:
        """Whether code between `around` and the modules in it that say so turns tensors."""
        if around not in self._turned:
            told = [each for each in self.modules if _is_in(each, around) and POS_FIRST in _says(self.modules[each])]
            between = {part for each in told for part in _way(around, each)} - set(told)
            self._turned[around] = any(_turns(self.modules[each]) for each in between)
        return self._turned[around]

    def images(self, path: str) -> bool:
        """Whether values of four axes are images there: nearer to a convolution of images than to attention."""
        around = self._nearest(path, IMAGE, ATTENTION)
        if around is None:
            return False
        return IMAGE in self._marks[around] and (around == path or ATTENTION not in self._marks[around])

    def _nearest(self, path: str, *marks: str) -> str | None:
        """The module itself or the first around it that has one of `marks` in it."""
        while not self._marks.get(path, set()) & set(marks):
            if not path:
                return None
            path = path.rpartition(".")[0]
        return path

    @cached_property
    def _marks(self) -> dict[str, set[str]]:
        """Of each module, what is said in it."""
        found: dict[str, set[str]] = {}
        for path, module in self.modules.items():
            said = _says(module) | ({ATTENTION} if self._is_attention(path) else set())
            if said:
                for around in _way("", path):
                    found.setdefault(around, set()).update(said)
        return found


def _says(module: nn.Module) -> set[str]:
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return {BATCH_FIRST if module.batch_first else POS_FIRST}
    return {IMAGE} if isinstance(module, _SPATIAL) else set()


def _is_in(path: str, around: str) -> bool:
    return not around or path == around or path.startswith(f"{around}.")


def _way(around: str, path: str) -> list[str]:
    """The paths from `around` down to `path`, both included."""
    parts = path.split(".") if path else []
    every = [".".join(parts[:count]) for count in range(len(parts) + 1)]
    return every[every.index(around) :]


def _turns(module: nn.Module) -> bool:
    """Whether the code of its class turns tensors. torch's own containers do not."""
    kind: Any = type(module)
    return _code_turns(kind)


@lru_cache(maxsize=1024)
def _code_turns(kind: Any) -> bool:
    own = [each for each in kind.__mro__ if issubclass(each, nn.Module) and not each.__module__.startswith("torch.nn.")]
    functions = [inspect.unwrap(each) for cls in own for each in vars(cls).values() if isinstance(each, FunctionType)]
    return any(_TURNING & {*code.co_names} for function in functions for code in _codes(function.__code__))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)
