"""One attention head alone: of the projections only its rows are computed, of the attention only its own.

The module's own code runs in between, so that rotary embedding and norms are its own. Which rows of a projection make
a head is read off a real run, where they are found in the kernel's q, k and v; then the head's result is compared
with what the full run says it adds.
"""

from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.program import Program
from darklantern.models.on_torch.starting import Start
from darklantern.models.on_torch.verifying import agree
from darklantern.models.recording import Recording
from darklantern.models.sites import Site

if TYPE_CHECKING:
    from darklantern.models.on_torch.opened import Model


@dataclass(frozen=True, eq=False)
class Alone(Start):
    """A start at a block in which one attention module computes one head; the others' z is zero.

    Take `result[head=…]` (or q, k, v, pattern, z of that head) with `stop=True`: what comes after is not the model's.
    """

    attention: nn.Module = field(kw_only=True, repr=False)
    head: int = field(kw_only=True)
    rows: dict[nn.Module, list[slice]] = field(kw_only=True, repr=False)
    """which outputs of each projection the head needs"""

    def joined(self, program: Program) -> Program:
        made = super().joined(program)
        made.only = {self.attention: self.head}
        for projection in self.rows:
            made.around[projection] = [partial(self._sliced, projection), *program.around.get(projection, ())]
        return made

    def _sliced(self, projection: nn.Module, _: Any, __: Any, x: Tensor) -> Tensor:
        weight, bias = _weight(projection), getattr(projection, "bias", None)
        out = x.new_zeros((*x.shape[:-1], weight.shape[0]))
        for rows in self.rows[projection]:
            out[..., rows] = F.linear(x, weight[rows], None if bias is None else bias[rows])
        return out


def rows_of(
    head: int, group: int, recording: Recording, path: str, projections: dict[str, nn.Module]
) -> dict[nn.Module, list[slice]]:
    """The rows of `projections` (by site of their output) that make query head `head` and its key-value head.

    Found by value: a row's output is a component of q, k or v (before rotary embedding, where there is one), to the
    bit. Raises SiteError where a component is not found, as when something else stands between.
    """
    found: dict[nn.Module, list[int]] = {}
    for port, number in (("q", head), ("k", head // group), ("v", head // group)):
        before = f"{path}:{port}_pre"
        held = recording[before if before in recording else f"{path}:{port}"]
        wanted = held.array[:, :, number].flatten(0, 1)  # (example and position, component)
        for projection, place in _places(wanted, recording, projections):
            found.setdefault(projection, []).append(place)
    return {projection: _runs(sorted(set(places))) for projection, places in found.items()}


def _runs(numbers: list[int]) -> list[slice]:
    """Numbers as stretches without gaps: a slice of a weight reads no more than itself."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n + 1 for n in numbers if n + 1 not in numbers]
    return [slice(*ends_of) for ends_of in zip(starts, ends, strict=True)]


def _places(wanted: Tensor, recording: Recording, projections: dict[str, nn.Module]) -> list[tuple[nn.Module, int]]:
    for site, projection in projections.items():
        out = recording[site].array.flatten(0, -2)
        if out.shape[0] != wanted.shape[0]:
            continue
        same = (out[:, :, None] == wanted[:, None, :]).all(0)  # (row, component)
        if bool(same.any(0).all()):
            return [(projection, int(same[:, component].nonzero()[0])) for component in range(same.shape[1])]
    raise SiteError(
        "a head cannot run alone here: its q, k or v are not plain outputs of a linear map",
        hint="start at its block and record the head's result; the other heads run too",
    )


def linear_maps(attention: nn.Module, path: str) -> dict[str, nn.Module]:
    """The linear maps in an attention module, by the site of their output."""
    return {f"/{path}.{name}:out": child for name, child in attention.named_modules() if _is_linear(child)}


def _is_linear(module: nn.Module) -> bool:
    return type(module) is nn.Linear or (type(module).__name__ == "Conv1D" and hasattr(module, "nf"))


def _weight(module: nn.Module) -> Tensor:
    """(out, in)"""
    weight = torch.as_tensor(module.weight)
    return weight if type(module) is nn.Linear else weight.T


def alone(model: "Model", inputs: Any, attention: str, head: int) -> Alone:
    """See `Model.alone`."""
    site = Site(attention, "result").at(head=head)
    path, block = model.native(Site(attention, "z")), model.block_of(site)
    if block is None:
        raise SiteError(f"{attention} lies in no list of blocks", hint="record its result; the other heads run too")
    start = inputs if isinstance(inputs, Start) and inputs.path == model.native(Site(block, "out")) else None
    start = start or model.start(inputs.inputs if isinstance(inputs, Start) else inputs, block)
    module = model.module.get_submodule(path)
    maps = linear_maps(module, path)
    ports = [each for each in model.sites(f"{attention}:*") if each.port in ("q", "k", "v", "q_pre", "k_pre")]
    seen = model.record(start, *ports, *maps, site)
    names = {str(model.sites(each)[0]): projection for each, projection in maps.items()}
    q, k = (next(seen[each] for each in ports if each.port == port).shape[2] for port in ("q", "k"))
    rows = rows_of(head, q // k, seen, str(ports[0]).rpartition(":")[0], names)
    held = {field.name: getattr(start, field.name) for field in fields(start)}
    made = Alone(**held, attention=module, head=head, rows=rows)
    if not agree(model.record(made, site, stop=True)[site].array, seen[site].array):
        raise SiteError(
            f"head {head} of {attention} alone does not give what it adds in a full run",
            hint="its parts depend on other heads; record its result, the other heads run too",
        )
    return made
