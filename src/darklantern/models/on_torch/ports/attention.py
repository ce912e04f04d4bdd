"""`q k v scores pattern z` around an attention kernel that stays as it is.

The kernel computes what it always computes. Scores and pattern are computed beside it, for the heads, rows
and examples that a plan asks for, and are compared with what the kernel returned. An edit of them replaces z only
in the cells that it touches; all others keep the kernel's own bits.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch import formula, later
from darklantern.models.on_torch.points import Point, fixed
from darklantern.models.on_torch.ports.certified import Certificates, apart
from darklantern.models.on_torch.verifying import grafted
from darklantern.models.selecting import Selection

if TYPE_CHECKING:
    from darklantern.models.on_torch.program import Action
    from darklantern.models.on_torch.running import Run

PORTS = ("q", "k", "v", "scores", "pattern", "z")


@dataclass(slots=True)
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
    window: int | None = None
    """each row sees only so many keys up to its own, counted from the last; to both sides where nothing is causal"""
    by: object = None
    """which kernel it is"""
    told: bool = True
    """the kernel is known to do what its arguments say; any other's pattern is compared at every call"""
    untold: str = ""
    """why nothing can be said about its scores, if so"""
    returned: list[Any] = field(default_factory=lambda: [None])
    """one place for the pattern that the kernel returned beside z, if it did, (batch, head, pos, key)"""


@dataclass(eq=False)
class AttentionPoints:
    """The points of one attention module."""

    module: nn.Module
    points: dict[str, Point] = field(default_factory=dict)
    heads: int = 0
    """query heads, once the kernel was called"""
    certificates: Certificates = field(default_factory=Certificates)
    at_once: bool = False
    """its operands are overwritten later in a run, so that its pattern cannot wait"""

    def attend(self, run: "Run", call: Call) -> Tensor:
        """The kernel's z, (batch, pos, head, dim), with `run`'s recordings made and its edits applied."""
        return self.within(run, call) if run.shards is None else run.shards.attend(run, self, call)

    def within(self, run: "Run", call: Call) -> Tensor:
        """As `attend`, where `call` has all heads."""
        if call.q.ndim != 4:
            raise SiteError(
                f"the attention kernel of {self.points['z'].path} is given queries of shape {tuple(call.q.shape)}, not "
                "(batch, head, pos, dim)",
                hint="its in and out can be had, and any value that its own code names by an nn.Identity",
            )
        self.heads = call.q.shape[1]
        if self.module in run.program.only:
            self._refuse_untold(call)
            call.kernel = partial(_one_head, call, run.program.only[self.module])
        points, actions = self.points, run.program.actions
        if points["q"] in actions:
            call.q = self._swapped(run, "q", call.q)
        if points["k"] in actions:
            call.k = self._swapped(run, "k", call.k)
        if points["v"] in actions:
            call.v = self._swapped(run, "v", call.v)
        if points["scores"] in actions or points["pattern"] in actions:
            z = self._beside(run, call)
        else:
            z = call.kernel(call.q, call.k, call.v)
        return run.visit(points["z"], z) if points["z"] in actions else z

    def _swapped(self, run: "Run", port: str, value: Tensor) -> Tensor:
        shown = value.transpose(1, 2)
        new = run.visit(self.points[port], shown)
        return value if new is shown else new.transpose(1, 2)

    def _beside(self, run: "Run", call: Call) -> Tensor:
        """Scores and pattern for the cells that the plan asks for; z with the cells that it edits replaced."""
        scores, pattern = self.points["scores"], self.points["pattern"]
        asked = (*run.program.actions.get(scores, ()), *run.program.actions.get(pattern, ()))
        simple = all(action.simple for action in asked)
        if call.untold or call.dropout:
            self._refuse_untold(call)
        shape = (call.q.shape[0], call.q.shape[1], call.q.shape[2], call.k.shape[2])
        chosen = {} if simple else {action: run.chosen(action, _AXES, shape) for action in asked}
        if not simple and all(each is None for each in chosen.values()):
            for port in (scores, pattern):
                run.calls[port] = run.calls.get(port, 0) + (port in run.program.actions)
            return call.kernel(call.q, call.k, call.v)  # a decoding step of which nothing is asked
        cells = Cells(shape, None, None, None) if simple else Cells.spanning(chosen.values(), shape)
        certain = self.certificates.cover(call, cells)
        if simple and run.puts_off and not self.at_once and certain and later.Later.can(call):
            run.later.append(later.Later(self, call))
            return call.kernel(call.q, call.k, call.v)
        if any(each.own is self for each in run.later):
            later.finish(run)  # or this call would come before an earlier one
        edits = [action for action in asked if action.changes]
        if edits and call.dropout:
            raise SiteError(
                f"{self.points['pattern'].path} drops out attention weights ({call.dropout:g}), inside its kernel",
                hint="call model.eval() before editing scores or pattern, or set that dropout to 0",
            )
        # The kernel first, always in the same order: recomputation under checkpointing must repeat it. Only a run that
        # ends at the pattern may do without.
        early = run.plan.stop and not edits and certain
        z = None if early else call.kernel(call.q, call.k, call.v)
        made = cells.scores(call)
        if z is not None and not certain and not call.dropout and not run.program.only:
            self._verify(cells, call, made, z)
            self.certificates.add(call, cells)
        made = run.visit(scores, made, cells, fresh=True)
        weights = run.visit(pattern, cells.pattern(made, call), cells, fresh=True)
        z = call.kernel(call.q, call.k, call.v) if z is None else z
        if not edits:
            return z
        touching = [(action, chosen[action]) for action in edits]
        if isinstance(call.returned[0], Tensor) and call.returned[0].shape == shape:
            call.returned[0] = cells.written(call.returned[0], weights, touching)
        return cells.written(z.transpose(1, 2), cells.z(weights, call), touching).transpose(1, 2)

    def _verify(self, cells: "Cells", call: Call, made: Tensor, z: Tensor) -> None:
        off = apart(cells, call, made, z)
        if off is not None:
            raise SiteError(
                f"the attention kernel of {self.points['pattern'].path} does something that its arguments do not tell: "
                f"pattern times v is up to {off:.2g} from its z",
                hint="scores and pattern cannot be had here; q, k, v and z can",
            )

    def _refuse_untold(self, call: Call) -> None:
        untold = call.untold
        if not untold and call.dropout and not call.told:
            untold = f"it drops out attention weights ({call.dropout:g}), so its z cannot be compared with any pattern"
        if untold:
            raise SiteError(
                f"what the attention kernel of {self.points['pattern'].path} does is not known: {untold}",
                hint='q, k, v and z can be had; or load the model with attn_implementation="sdpa" or "eager"'
                + (", and call model.eval()" if call.dropout else ""),
            )


@dataclass(slots=True)
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

    @property
    def all(self) -> bool:
        return self.batch is None and self.heads is None and self.rows is None

    def scores(self, call: Call) -> Tensor:
        """(example, head, row, key), in the dtype that the model computes in."""
        if self.all and call.k.shape[0] == call.q.shape[0]:
            # The query heads that share a key-value head as one longer one: the keys need no copies.
            shared = call.q.reshape(call.k.shape[0], call.k.shape[1], -1, call.q.shape[3])
            products = torch.matmul(shared, call.k.transpose(-1, -2)).view(self.shape)
        else:
            q = self.pick(call.q, self._axes)
            products = torch.matmul(q, self._shared(call.k, call).transpose(-1, -2))
        added = tuple(None if extra is None else self.part(extra) for extra in (call.bias, call.mask))
        future = formula.forbidden(*self.shape[2:], call.causal, call.window, products.device)
        future = None if future is None else self.pick(future, (self.rows,))
        return formula.scores(products, call.scale, call.softcap, added, future)

    def pattern(self, scores: Tensor, call: Call) -> Tensor:
        """(example, head, row, key)"""
        sinks = call.sinks
        if sinks is not None:
            sinks = (sinks if self.heads is None else sinks[self.heads.to(sinks.device)]).view(1, -1, 1, 1)
        masked = call.mask is not None or call.window is not None
        return formula.pattern(scores, call.v.dtype, masked, sinks)

    def z(self, weights: Tensor, call: Call) -> Tensor:
        """(example, head, row, dim)"""
        return torch.matmul(weights, self._shared(call.v, call))

    def operands(self, call: Call) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v of this grid, each (example, head, row or key, dim)."""
        return self.pick(call.q, self._axes), self._shared(call.k, call), self._shared(call.v, call)

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

    def written(self, whole: Tensor, mine: Tensor, edits: "list[tuple[Action, Selection | None]]") -> Tensor:
        """`whole`, (batch, head, row, …) of the kernel, with `mine`, of this grid, in the cells that `edits` touch."""
        same = ~self.pick(self._touched(edits, keeping=False), self._axes)[..., None]
        mine = grafted(mine, self.pick(whole, self._axes), same)
        shape = self.shape
        full = mine.new_zeros((shape[0], shape[1], shape[2], mine.shape[-1]))
        grid = [torch.arange(size) if each is None else each for each, size in zip(self._axes, shape[:3], strict=True)]
        full = full.index_put(torch.meshgrid(*(each.to(whole.device) for each in grid), indexing="ij"), mine)
        touched = self._touched(edits, keeping=True).to(whole.device)[..., None]
        return torch.where(touched, full, whole)

    def _touched(self, edits: "list[tuple[Action, Selection | None]]", keeping: bool) -> Tensor:
        """The cells that edits touch, (batch, head, pos); with or without edits that keep the value as it is."""
        cells = torch.zeros(self.shape[:3], dtype=torch.bool)
        for action, chosen in edits:
            if chosen is not None and (keeping or not action.keeps_value):
                here = replace(chosen, axes=_AXES[:3], index=chosen.index[:3])
                here.write(cells, torch.ones_like(here.part(cells)))
        return cells

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

    def part(self, extra: Tensor) -> Tensor:
        """The part of a mask or bias that this grid needs."""
        extra = extra[(None,) * (4 - extra.ndim)][..., : self.shape[3]]
        return self.pick(extra, tuple(None if extra.shape[i] == 1 else each for i, each in enumerate(self._axes)))


_AXES = ("batch", "head", "pos", "key")


def _one_head(call: Call, head: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """z of one head by the plain formula, zero for the others."""
    call = replace(call, q=q, k=k, v=v)
    cells = Cells((q.shape[0], q.shape[1], q.shape[2], k.shape[2]), None, torch.tensor([head]), None)
    z = q.new_zeros((q.shape[0], q.shape[2], q.shape[1], v.shape[3]))
    z[:, :, head] = cells.z(cells.pattern(cells.scores(call), call), call)[:, 0]
    return z


def points(module: nn.Module, path: str, tap: Any, how: str) -> AttentionPoints:
    """The points of `module`, all reached by `tap`."""
    made = AttentionPoints(module)
    for port in PORTS:
        beside = ", computed beside it" if port in ("scores", "pattern") else ""
        made.points[port] = Point(tap, port, module, path, how + beside, fixed(port))
    return made
