"""`q k v scores pattern z` around an attention kernel that stays as it is.

The kernel computes what it always computes. Scores and pattern are computed beside it, for the heads, rows
and examples that a plan asks for, and are compared with what the kernel returned. An edit of them replaces z only
in the cells that it touches; all others keep the kernel's own bits.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.points import Point, fixed
from darklantern.models.on_torch.verifying import agree
from darklantern.models.selecting import Selection

if TYPE_CHECKING:
    from darklantern.models.on_torch.program import Action
    from darklantern.models.on_torch.running import Run

PORTS = ("q", "k", "v", "scores", "pattern", "z")


@dataclass(frozen=True)
class Call:
    """One call of an attention kernel, in one layout whatever library makes it."""

    q: Tensor
    """(batch, head, pos, dim)"""
    k: Tensor
    """(batch, key-value head, key, dim)"""
    v: Tensor
    kernel: Callable[[Tensor, Tensor, Tensor], Tensor]
    """q, k, v → z as (batch, pos, head, dim)"""
    scale: float
    mask: Tensor | None = None
    """added to the scores, or, if boolean, True where attention is allowed; broadcasts to (batch, head, pos, key)"""
    causal: bool = False
    """each row sees keys up to its own number, counted from the first"""
    bias: Tensor | None = None
    """added to the scores"""
    softcap: float | None = None
    sinks: Tensor | None = None
    """(head,): a logit beside the keys that takes its share and gives nothing"""
    dropout: float = 0.0


@dataclass(eq=False)
class AttentionPoints:
    """The points of one attention module."""

    module: nn.Module
    points: dict[str, Point] = field(default_factory=dict)
    heads: int = 0
    """query heads, once the kernel was called"""
    verified: set[tuple[object, ...]] = field(default_factory=set)
    """kinds of call for which the pattern was found to reproduce the kernel's z"""

    def attend(self, run: "Run", call: Call) -> Tensor:
        """The kernel's z, (batch, pos, head, dim), with `run`'s recordings made and its edits applied."""
        return self.within(run, call) if run.shards is None else run.shards.attend(run, self, call)

    def within(self, run: "Run", call: Call) -> Tensor:
        """As `attend`, where `call` has all heads."""
        self.heads = call.q.shape[1]
        call = replace(
            call,
            q=self._swapped(run, "q", call.q),
            k=self._swapped(run, "k", call.k),
            v=self._swapped(run, "v", call.v),
        )
        z = self._beside(run, call) if run.program.wants(self._inner) else call.kernel(call.q, call.k, call.v)
        return run.visit(self.points["z"], z)

    @property
    def _inner(self) -> tuple[Point, Point]:
        return self.points["scores"], self.points["pattern"]

    def _swapped(self, run: "Run", port: str, value: Tensor) -> Tensor:
        point = self.points[port]
        if point not in run.program.actions:
            return value
        shown = value.transpose(1, 2)
        new = run.visit(point, shown)
        return value if new is shown else new.transpose(1, 2)

    def _beside(self, run: "Run", call: Call) -> Tensor:
        """Scores and pattern for the cells that the plan asks for; z with the cells that it edits replaced."""
        scores, pattern = self._inner
        asked = [*run.program.actions.get(scores, ()), *run.program.actions.get(pattern, ())]
        shape = (call.q.shape[0], call.q.shape[1], call.q.shape[2], call.k.shape[2])
        chosen = {action: run.chosen(action, _AXES, shape) for action in asked}
        cells = Cells.spanning(chosen.values(), shape)
        edits = [action for action in asked if action.changes]
        if edits and call.dropout:
            raise SiteError(
                f"{self.points['pattern'].path} drops out attention weights ({call.dropout:g}), inside its kernel",
                hint="call model.eval() before editing scores or pattern, or set that dropout to 0",
            )
        kind = (type(call.mask), call.mask is not None and call.mask.dtype, call.causal, call.q.shape[2] == 1)
        z = None
        made = cells.scores(call)
        if kind not in self.verified and not call.dropout:
            z = call.kernel(call.q, call.k, call.v)
            self._verify(cells, call, made, z)
            self.verified.add(kind)
        made = run.visit(scores, made, cells)
        weights = run.visit(pattern, softmax(made, call, cells), cells)
        z = call.kernel(call.q, call.k, call.v) if z is None else z
        if not edits:
            return z
        return cells.replaced(z, weights, call, [(action, chosen[action]) for action in edits])

    def _verify(self, cells: "Cells", call: Call, made: Tensor, z: Tensor) -> None:
        with torch.no_grad():
            mine, found = cells.z(softmax(made, call, cells), call), cells.of_z(z)
        if not agree(mine.to(found.dtype), found):
            raise SiteError(
                f"the attention kernel of {self.points['pattern'].path} does something that its arguments do not tell: "
                f"pattern times v is up to {float((mine - found).abs().max()):.2g} from its z",
                hint="scores and pattern cannot be had here; q, k, v and z can",
            )


@dataclass(frozen=True)
class Cells:
    """A grid of (example, head, row) that covers all that a plan asks for."""

    shape: tuple[int, int, int, int]
    """of the whole: (batch, head, pos, key)"""
    batch: Tensor | None
    """the examples; None for all, as in the other two"""
    heads: Tensor | None
    rows: Tensor | None

    @classmethod
    def spanning(cls, chosen: Iterable[Selection | None], shape: tuple[int, int, int, int]) -> "Cells":
        asked = [each for each in chosen if each is not None]
        if any(each.whole for each in asked):
            return cls(shape, None, None, None)
        found = [
            {n for each in asked for n in each.numbers(axis, size)} for axis, size in zip(_AXES, shape, strict=True)
        ]
        spans = zip(found[:3], shape[:3], strict=True)
        return cls(shape, *(None if len(each) == size else torch.tensor(sorted(each)) for each, size in spans))

    def scores(self, call: Call) -> Tensor:
        """(example, head, row, key), in the dtype that the model computes in."""
        q = self.pick(call.q, (self.batch, self.heads, self.rows))
        k = self._shared(call.k, call)
        made = torch.matmul(q, k.transpose(-1, -2)).mul_(call.scale)
        if call.softcap is not None:
            made = torch.tanh(made / call.softcap) * call.softcap
        for extra in (call.bias, call.mask):
            if extra is not None:
                made = self._masked(made, extra)
        if call.causal:
            future = torch.ones(call.q.shape[2], call.k.shape[2], dtype=torch.bool, device=made.device).triu_(1)
            made.masked_fill_(self.pick(future, (self.rows,)), -math.inf)
        return made

    def z(self, weights: Tensor, call: Call) -> Tensor:
        """(example, head, row, dim)"""
        return torch.matmul(weights, self._shared(call.v, call))

    def of_z(self, z: Tensor) -> Tensor:
        return self.pick(z.transpose(1, 2), (self.batch, self.heads, self.rows))

    def local(self, chosen: Selection) -> Selection:
        """A selection of the whole as one of this grid."""
        index = list(chosen.index)
        columns = chosen.columns
        for axis, (at, here) in enumerate(zip(chosen.index, (*self._axes, None), strict=True)):
            if here is None:
                continue
            places = {number: place for place, number in enumerate(here.tolist())}
            if axis == 2 and columns is not None:
                columns = tuple(places[each] for each in columns)
            elif isinstance(at, int):
                index[axis] = places[at]
            else:
                index[axis] = [places[each] for each in chosen.numbers(_AXES[axis], self.shape[axis])]
        return Selection(_AXES, tuple(index), columns)

    def replaced(
        self, z: Tensor, weights: Tensor, call: Call, edits: "list[tuple[Action, Selection | None]]"
    ) -> Tensor:
        """The kernel's z, with the cells that `edits` touch computed from `weights`."""
        shape = self.shape
        touched = torch.zeros(shape[:3], dtype=torch.bool)
        for _, chosen in edits:
            if chosen is not None:
                chosen = replace(chosen, axes=_AXES[:3], index=chosen.index[:3])
                chosen.write(touched, torch.ones_like(chosen.part(touched)))
        mine = self.z(weights, call).to(z.dtype)
        if all(action.keeps_value for action, _ in edits):
            # The kernel's own bits, with the gradient of the formula: what is added is exactly zero.
            mine = self.of_z(z).detach() + (mine - mine.detach())
        full = mine.new_zeros((shape[0], shape[1], shape[2], mine.shape[-1]))
        grid = [torch.arange(size) if each is None else each for each, size in zip(self._axes, shape[:3], strict=True)]
        full = full.index_put(torch.meshgrid(*(each.to(z.device) for each in grid), indexing="ij"), mine)
        return torch.where(touched.to(z.device)[..., None], full, z.transpose(1, 2)).transpose(1, 2)

    @property
    def _axes(self) -> tuple[Tensor | None, ...]:
        return self.batch, self.heads, self.rows

    @staticmethod
    def pick(value: Tensor, chosen: tuple[Tensor | None, ...]) -> Tensor:
        for axis, each in enumerate(chosen):
            if each is not None:
                value = value.index_select(axis, each.to(value.device))
        return value

    def _shared(self, value: Tensor, call: Call) -> Tensor:
        """k or v for the query heads here: several share one key-value head."""
        group = call.q.shape[1] // value.shape[1]
        heads = self.heads
        if group > 1:
            heads = (torch.arange(call.q.shape[1]) if heads is None else heads) // group
        batch = None if value.shape[0] == 1 else self.batch
        return self.pick(value, (batch, heads))

    def _masked(self, made: Tensor, extra: Tensor) -> Tensor:
        extra = extra[(None,) * (4 - extra.ndim)][..., : made.shape[-1]]
        chosen = tuple(None if extra.shape[axis] == 1 else each for axis, each in enumerate(self._axes))
        extra = self.pick(extra, chosen)
        if extra.dtype == torch.bool:
            return made.masked_fill(~extra, -math.inf)
        return made + extra.to(made.dtype)


_AXES = ("batch", "head", "pos", "key")


def softmax(scores: Tensor, call: Call, cells: Cells) -> Tensor:
    """The pattern, softmax in float32 at least; a row that may attend nowhere gets zeros, as the kernels do."""
    wide = scores if scores.dtype == torch.float64 else scores.float()
    if call.sinks is not None:
        sink = call.sinks.to(wide.dtype)
        sink = sink if cells.heads is None else sink.index_select(0, cells.heads.to(sink.device))
        wide = torch.cat([wide, sink.view(1, -1, 1, 1).expand(*wide.shape[:3], 1)], -1)
    weights = wide.softmax(-1)
    if call.mask is not None:
        # A causal kernel's rows see themselves at least; under a mask a row may see nothing, and softmax says NaN.
        weights = weights.masked_fill(wide.amax(-1, keepdim=True).isneginf(), 0.0)
    return (weights if call.sinks is None else weights[..., :-1]).to(call.v.dtype)


def points(module: nn.Module, path: str, tap: Any, how: str) -> AttentionPoints:
    """The points of `module`, all reached by `tap`."""
    made = AttentionPoints(module)
    for port in PORTS:
        beside = ", computed beside it" if port in ("scores", "pattern") else ""
        made.points[port] = Point(tap, port, module, path, how + beside, fixed(port))
    return made
