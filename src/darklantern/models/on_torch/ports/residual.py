"""`resid_mid` of a block: the residual stream between attention and MLP."""

from typing import Any

from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.points import Point, plain
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.verifying import agree


class ResidMidTap:
    """The input of the block's second norm, which is the residual stream itself and is edited in place.

    In place, because the block adds that same tensor again behind its MLP. That it does is checked at each run:
    the block's output must be the stream plus what its last part returned.
    """

    def __init__(self, block: nn.Module, norm: nn.Module, path: str, batch_first: bool) -> None:
        self.block, self.norm = block, norm
        self.point = Point(self, "resid_mid", block, path, "the second norm's input", plain(norm, batch_first))

    def install(self, building: Building) -> None:
        building.do_before(self.norm, self._before)
        for child in self.block.children():
            if child is not self.norm:
                building.view_returned(child, self.point, self._part, as_is=False)
        building.do_after(self.block, self._after)

    def _before(self, run: Run, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        stream = args[0] if args else next(iter(kwargs.values()))
        new = run.visit(self.point, stream)
        if new is not stream:
            stream.copy_(new)
        run.notes[self] = (stream, None)

    def _part(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) and output else output
        if self in run.notes and isinstance(first, Tensor):
            run.notes[self] = (run.notes[self][0], first)
        return output

    def _after(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        stream, last = run.notes.pop(self, (None, None))
        out = output[0] if isinstance(output, tuple) else output
        if stream is None:
            return output
        if last is not None and last.numel() == stream.numel():
            last = last.reshape(stream.shape)  # a mixture may return its tokens in one row
        if last is None or last.shape != stream.shape or not agree(stream + last, out):
            raise SiteError(
                f"{self.point.path} is not a block that adds attention and MLP to one residual stream, one after "
                "the other, so it has no resid_mid",
                hint=f"record the inputs and outputs of its parts: {self.point.path}.*:out",
            )
        return output
