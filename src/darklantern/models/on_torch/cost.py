"""How much of a model a run executes: which share of its parameters is read, and of its operations computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from darklantern.models.calling import call
from darklantern.models.executed import Executed
from darklantern.models.on_torch.program import Plan
from darklantern.models.on_torch.restoring import restored
from darklantern.models.on_torch.starting import Start

if TYPE_CHECKING:
    from darklantern.models.on_torch.executing import Executor


def measured(executor: "Executor", plan: Plan, inputs: Any) -> Executed:
    """What a run of `plan` executes, beside a full one. Runs three times; the model is left as it was."""
    part, full = Meter(executor.module), Meter(executor.module)
    with restored(executor.module):
        executor.execute(plan, inputs)  # what is tried out only once does not count
        with part.on(), torch.no_grad():
            executor.execute(plan, inputs)
        with full.on(), torch.no_grad():
            call(executor.module, inputs.inputs if isinstance(inputs, Start) else inputs)
    return Executed(part.parameters_read, part.parameters, part.flops, full.flops)


class Meter:
    """Counts while it is on."""

    def __init__(self, module: nn.Module) -> None:
        self._read: dict[int, Tensor] = {}
        self._parameters: dict[int, Tensor] = {}
        for parameter in module.parameters():
            self._parameters.setdefault(parameter.untyped_storage().data_ptr(), parameter)
        self.parameters = sum(p.numel() for p in dict.fromkeys(self._parameters.values()))
        self.flops = 0

    @property
    def parameters_read(self) -> int:
        return sum(int(mask.sum()) for mask in self._read.values())

    @contextmanager
    def on(self) -> Iterator[None]:
        """What runs here is counted. Costs a multiple of the run's time and a byte for each parameter read."""
        with FlopCounterMode(display=False) as flops, _Reads(self):
            yield
        self.flops += flops.get_total_flops()

    def note(self, value: Tensor, rows: Tensor | None) -> None:
        """A parameter, or a part of one, goes into an operation."""
        key = value.untyped_storage().data_ptr()
        if key not in self._parameters:
            return
        if key not in self._read:
            size = value.untyped_storage().nbytes() // value.element_size()
            self._read[key] = torch.zeros(size, dtype=torch.bool, device=value.device)
        seen = self._read[key].as_strided(value.size(), value.stride(), value.storage_offset())
        if rows is None:
            seen.fill_(True)
        else:
            seen[rows.flatten()] = True


class _Reads(TorchDispatchMode):
    def __init__(self, meter: Meter) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.meter = meter

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # A view reads nothing; what computes with it does.
        if not func.is_view:
            for value in _tensors((args, kwargs)):
                self.meter.note(value, _rows(func, args) if value is args[0] else None)
        return func(*args, **kwargs)


def _rows(func: Any, args: Any) -> Tensor | None:
    """The rows of its first argument that an operation reads, where it does not read all of it."""
    return args[1] if func is torch.ops.aten.embedding.default else None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
