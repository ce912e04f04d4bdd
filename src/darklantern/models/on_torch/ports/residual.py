"""`resid_mid` of a block: the residual stream between attention and MLP."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.lasting import Graph
from darklantern.models.on_torch.points import Axes, Point
from darklantern.models.on_torch.ports.modules import argument, first_argument, replaced, with_member
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.structure import mapped, tensors
from darklantern.models.on_torch.verifying import grafted, rounding, unchanged, within


@dataclass(slots=True)
class _Passing:
    """One call of the block."""

    given: list[tuple[int, int | None]]
    """memory and version of each tensor that the block was given"""
    graded: bool
    """whether gradients were on as the block began"""
    stream: Tensor | None = None
    new: Tensor | None = None
    """the stream after edits"""
    last: Tensor | None = None
    """what the block's latest part returned"""


class ResidMidTap:
    """The input of the block's second norm, which is the residual stream itself.

    That the block adds that stream to what its last part returns, and nothing else, is checked at each run. So an edit
    writes nowhere: the block's parts are given the new stream, and its output becomes that plus what the last returns.
    """

    def __init__(self, block: nn.Module, norm: nn.Module, path: str, axes: Axes) -> None:
        self.block, self.norm = block, norm
        self.point = Point(self, "resid_mid", block, path, "the second norm's input", axes)
        self._reentrant: WeakSet[Graph] = WeakSet()
        """graphs whose backward pass computes the block's parts again, by themselves"""

    def install(self, building: Building) -> None:
        building.do_before(self.block, self._begin)
        building.do_before(self.norm, self._before)
        for part in _parts(self.block):
            if part is not self.norm:
                building.do_before(part, self._given)
                building.do_last(part, self._part)
        building.do_after(self.block, self._after)

    def _begin(self, run: Run, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [(_memory(each), _version(each)) for each in tensors((args, kwargs))]
        run.notes[self] = _Passing(given, torch.is_grad_enabled())

    def _before(self, run: Run, norm: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key, _ = argument(norm, "", args, kwargs)
        stream = first_argument(norm, self.point.path, args, kwargs)
        passing: _Passing | None = run.notes.get(self)  # None where checkpointing computes the parts again
        if passing is not None and _memory(stream) and (_memory(stream), _version(stream)) in passing.given:
            raise self._refused()  # a parallel block: nothing was added to its input yet
        new = run.visit(self.point, stream)
        if self._inside(run, passing):
            if run.graph is not None:
                self._reentrant.add(run.graph)
            if new is not stream:
                self._write(stream, new)
                new = stream
        if passing is not None:
            passing.stream, passing.new = stream, new
        return None if new is stream else replaced(key, new, args, kwargs)

    def _inside(self, run: Run, passing: _Passing | None) -> bool:
        """Whether reentrant checkpointing stands between the block's hooks and its parts, and an edit has to follow it.

        It computes the parts again, with gradients, when those hooks do not fire and no output can be replaced.
        """
        if not any(action.changes for action in run.program.actions[self.point]):
            return False
        if passing is None:
            return run.graph in self._reentrant
        return passing.graded and not torch.is_grad_enabled()

    def _write(self, stream: Tensor, new: Tensor) -> None:
        """The one edit in place: of a tensor that was made within the checkpointed region and does not leave it."""
        if stream.requires_grad and not torch.is_grad_enabled():
            raise SiteError(
                f"{self.point.path} is checkpointed from its second norm on: the residual stream is handed to a region "
                "that runs twice, and an edit of it would count twice",
                hint="checkpoint the whole block, or use non-reentrant checkpointing (use_reentrant=False)",
            )
        stream.copy_(new)

    def _given(self, run: Run, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Other parts that the block hands the stream, as it may a router, get the new one too."""
        passing: _Passing | None = run.notes.get(self)
        if passing is None or passing.stream is None or passing.new is None or passing.new is passing.stream:
            return None
        old, new = passing.stream, passing.new
        if not any(self._is_of(each, old) for each in tensors((args, kwargs))):
            return None
        return mapped((args, kwargs), lambda each: new.reshape(each.shape) if self._is_of(each, old) else each)

    def _is_of(self, value: Tensor, stream: Tensor) -> bool:
        """Whether it is the stream, in whatever shape."""
        if value is stream:
            return True
        if not _overlap(value, stream):
            return False
        shaped = value.data_ptr() == stream.data_ptr() and value.numel() == stream.numel()
        if not (shaped and value.is_contiguous() and stream.is_contiguous()):
            raise SiteError(
                f"{self.point.path} hands a part of its residual stream, of shape {tuple(value.shape)}, to something "
                "beside its norm, where an edit of the stream does not reach",
                hint=f"edit the outputs of its parts instead: {self.point.path}.*:out",
            )
        return True

    def _part(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) and output else output
        passing: _Passing | None = run.notes.get(self)
        if passing is not None and passing.stream is not None and isinstance(first, Tensor):
            passing.last = first
        return output

    def _after(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        passing: _Passing = run.notes.pop(self)
        stream, new, last = passing.stream, passing.new, passing.last
        if stream is None or new is None:
            return output
        out = output[0] if isinstance(output, tuple) else output
        if last is not None and last.numel() == stream.numel():
            last = last.reshape(stream.shape)  # a mixture may return its tokens in one row
        if last is None or last.shape != stream.shape or not _adds(stream, last, out):
            raise self._refused()
        if new is stream:
            return output
        made = grafted(new + last, out, unchanged(new, stream))
        return made if out is output else with_member(output, "0", made)

    def _refused(self) -> SiteError:
        return SiteError(
            f"{self.point.path} is not a block that adds attention and MLP to one residual stream, one after "
            "the other, so it has no resid_mid",
            hint=f"record the inputs and outputs of its parts: {self.point.path}.*:out",
        )


def _parts(block: nn.Module) -> Iterator[nn.Module]:
    """What the block calls itself: its children, and those in its lists of them."""
    for child in block.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _parts(child)
        else:
            yield child


@torch.no_grad()
def _adds(stream: Tensor, last: Tensor, out: Any) -> bool:
    """Whether `out` is the sum of both, number by number: beside one large number any missing part would be lost."""
    if not isinstance(out, Tensor):
        return False
    made = stream + last
    if torch.equal(made, out):
        return True
    size = rounding(stream.dtype, last.dtype, out.dtype)
    return within(made, out, 2 * size * (stream.abs() + last.abs()))


def _memory(value: Tensor) -> int:
    """Where it lies; 0 for what lies nowhere."""
    return value.untyped_storage().data_ptr() if value.layout is torch.strided else 0


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether numbers of both lie in the same place, and not only beside each other in one piece of memory."""
    if not _memory(one) or _memory(one) != _memory(other) or not one.numel() or not other.numel():
        return False
    (first, end), (start, last) = _span(one), _span(other)
    return first < last and start < end


def _span(value: Tensor) -> tuple[int, int]:
    steps = sum((size - 1) * stride for size, stride in zip(value.shape, value.stride(), strict=True))
    return value.data_ptr(), value.data_ptr() + (steps + 1) * value.element_size()


def _version(value: Tensor) -> int | None:
    """How often it was written to. In inference mode nobody counts: a block that adds in place counts as none there."""
    return None if value.is_inference() else value._version
