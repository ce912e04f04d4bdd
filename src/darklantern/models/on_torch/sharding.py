"""How a model is cut over ranks by FSDP2 and tensor parallelism, read off its parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from darklantern.errors import SiteError


@dataclass(frozen=True)
class Cut:
    """How a module's weight is cut by tensor parallelism."""

    mesh: DeviceMesh
    """of one dimension"""
    inputs: int
    """features of the whole weight"""
    outputs: int
    columns: bool
    """each rank computes some of the outputs, from all inputs; else from some of the inputs a part of all outputs"""

    @property
    def ranks(self) -> int:
        return self.mesh.size()


@dataclass(frozen=True)
class Pieces:
    """A value of which each rank holds a piece as a plain tensor."""

    mesh: DeviceMesh
    placement: Placement

    def gathered(self, piece: Tensor) -> Tensor:
        return DTensor.from_local(piece.contiguous(), self.mesh, [self.placement], run_check=False).full_tensor()

    def cut(self, value: Tensor) -> Tensor:
        """This rank's piece of `value`."""
        return recut(value, self.mesh, (self.placement,)).to_local()


class Sharding:
    """How a model is cut over which ranks, which it does not keep alive. Raises SiteError for what is not covered."""

    def __init__(self, module: nn.Module) -> None:
        self.modules = WeakValueDictionary(module.named_modules())
        for each in self.data_parallel:
            each.reshard()  # the root stays gathered after a forward, and would then look as if nothing cut it
        inside = {id(below) for each in self.data_parallel for below in each.modules()}  # type: ignore[attr-defined]  # FSDPModule is mixed into modules
        self.cuts: WeakKeyDictionary[nn.Module, Cut] = WeakKeyDictionary()
        self.same: set[int] = set()
        """the ranks that work on the same values as this one"""
        ranks: set[int] = set()
        stations: dict[nn.Module, None] = dict.fromkeys(self.data_parallel)  # type: ignore[arg-type]  # they are modules
        for path, each in self.modules.items():
            for name, parameter in each.named_parameters(recurse=False):
                if isinstance(parameter, DTensor):
                    ranks.update(parameter.device_mesh.mesh.flatten().tolist())
                    if id(each) not in inside or parameter.device_mesh.ndim > 1:
                        stations[each] = None
                    self._note(f"{path}.{name}", each, name, parameter, id(each) in inside)
        self.ranks = tuple(sorted(ranks))
        self._stations = [ref(each) for each in stations]

    @property
    def data_parallel(self) -> list[FSDPModule]:
        """The modules that FSDP cuts."""
        return [each for each in self.modules.values() if isinstance(each, FSDPModule)]

    @property
    def stations(self) -> list[nn.Module]:
        """The modules whose calls may start collectives."""
        return [each for held in self._stations if (each := held()) is not None]

    def _note(self, path: str, module: nn.Module, name: str, parameter: DTensor, data_parallel: bool) -> None:
        """What tensor parallelism did to one parameter; FSDP's mesh dimensions come first, and replication before."""
        mesh, placements = parameter.device_mesh, parameter.placements
        first = 0 if not data_parallel else 1 if not isinstance(placements[0], Replicate) else 2
        cut = [dim for dim in range(first, mesh.ndim) if not isinstance(placements[dim], Replicate)]
        for dim in range(first, mesh.ndim):
            self.same |= set(dist.get_process_group_ranks(mesh.get_group(dim)))
        if len(cut) > 1:
            raise SiteError(
                f"{path} is cut along {len(cut)} mesh dimensions by tensor parallelism", hint="one is supported"
            )
        if cut and name == "weight" and parameter.ndim == 2:
            flat = DeviceMesh.from_group(mesh.get_group(cut[0]), mesh.device_type)
            # (out, in) in a linear map; (in, out) in an embedding and in transformers' Conv1D
            turned = isinstance(module, nn.Embedding) or type(module).__name__ == "Conv1D"
            out = 1 if turned else 0
            columns = placements[cut[0]].dim == out  # type: ignore[attr-defined]  # a Shard, as it is not replicated
            self.cuts[module] = Cut(flat, parameter.shape[1 - out], parameter.shape[out], columns)

    def beside(self, path: str) -> dict[str, Cut]:
        """The cuts of the modules that stand next to the one at `path`, by name."""
        parent = path.rpartition(".")[0]
        return self.below(parent) if path else {}

    def below(self, path: str) -> dict[str, Cut]:
        children = self.modules[path].named_children() if path in self.modules else ()
        return {name: self.cuts[child] for name, child in children if child in self.cuts}

    def given(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """A linear map's arguments, the first put together where a plain tensor is this rank's part of it."""
        cut = self.cuts.get(module)
        if cut is None or cut.columns or not args or args[0].shape[-1] * cut.ranks != cut.inputs:
            return args, kwargs
        return (Pieces(cut.mesh, Shard(args[0].ndim - 1)).gathered(args[0]), *args[1:]), kwargs

    def reshard(self) -> None:
        """Put FSDP back to where it is between two forwards, after one that did not end."""
        for module in self.data_parallel:
            state: Any = getattr(module, "_get_fsdp_state", lambda: None)()
            # An interrupted forward leaves states behind by which the next would think that it is still under way.
            for each in (state, *getattr(state, "_fsdp_param_groups", ())):
                if hasattr(each, "_training_state"):
                    each._training_state = type(each._training_state).IDLE
            if hasattr(state, "_state_ctx"):
                state._state_ctx.iter_forward_root = None
            module.reshard()


_KNOWN: "WeakKeyDictionary[nn.Module, Sharding]" = WeakKeyDictionary()
"""by model, as long as it lives: no Sharding holds its model, which would then never be freed"""


def sharding_of(module: nn.Module) -> Sharding | None:
    """How `module` is cut; None where no parameter is. Looked up once, for a module that is."""
    found = _KNOWN.get(module)
    if found is None and any(isinstance(each, DTensor | FSDPModule) for each in _things(module)):
        found = _KNOWN[module] = Sharding(module)
    return found


def _things(module: nn.Module) -> Iterator[Any]:
    yield from module.modules()
    yield from module.parameters()


def refuse(module: nn.Module, what: str, hint: str) -> None:
    """Raises SiteError where `module` is cut over ranks."""
    if sharding_of(module) is not None:
        raise SiteError(f"{what} is not written for models that are cut over several ranks", hint=hint)


def whole_local(value: Tensor) -> Tensor:
    """What this rank holds of `value`."""
    return value.to_local() if isinstance(value, DTensor) else value


class _AsPartial(torch.autograd.Function):
    """`value` as a summand of itself: on one rank it stands, the others add nothing. The gradient of each is whole."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, stands: bool) -> Tensor:
        return value.clone() if stands else torch.zeros_like(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def recut(value: Tensor, mesh: DeviceMesh, placements: tuple[Placement, ...]) -> DTensor:
    """The whole `value` as a DTensor of these placements."""
    sums = [isinstance(each, Partial) for each in placements]
    unsummed = [Replicate() if added else each for each, added in zip(placements, sums, strict=True)]
    held = DTensor.from_local(value, mesh, [Replicate()] * mesh.ndim, run_check=False).redistribute(placements=unsummed)
    # What takes a sum takes the whole too. Only a plain sum is made again: the mask of a vocabulary-parallel
    # embedding, say, is gone once its parts were added up.
    if not any(sums) or not all(_is_sum(each) for each, added in zip(placements, sums, strict=True) if added):
        return held
    place = mesh.get_coordinate()
    stands = place is None or all(at == 0 for at, added in zip(place, sums, strict=True) if added)
    local = _AsPartial.apply(held.to_local(), stands)  # type: ignore[no-untyped-call]  # torch's
    return DTensor.from_local(local, mesh, placements, run_check=False, shape=held.shape, stride=held.stride())


def _is_sum(placement: Placement) -> bool:
    return type(placement) is Partial and placement.reduce_op == "sum"
