"""Models cut over several ranks: FSDP2, DTensor tensor parallelism, and both together.

A site gives the whole value, on every rank; an edit gets the whole value, and its result goes back as the pieces that
came. Gradients with respect to sites are those of one process. Loads only where torch.distributed runs.

- Under tensor parallelism all ranks see the same inputs. Before a value is used, the ranks compare it: what is whole is
  the same on all of them. A value that differs is put together where the parameters around it say how the pieces
  fit, and refused where they do not: half of a value never passes for the whole.
- Under FSDP2 (`fully_shard`) each rank runs its own batch, so a recording is of the rank's own batch.
- transformers' own tensor parallelism (`tp_plan`) works as torch's does.
- Refused: pieces that are plain tensors where nothing around says how they fit (a residual stream under sequence
  parallelism), forward-mode products (`jvp`), `declare`, tensor parallelism over two mesh dimensions of one parameter,
  and edits of `resid_mid` where the stream itself is in pieces.
- Not covered: pipeline parallelism; a backward pass of one's own from a recorded value within a block of FSDP2, which
  torch refuses (`gradient` and `vjp` do it); models that are cut after their first run here (open them anew).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Partial, Shard

from darklantern.errors import SiteError
from darklantern.models.on_torch import hub
from darklantern.models.on_torch.meeting import Together, together
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.ports import attention
from darklantern.models.on_torch.ports.heads import OUT_PROJECTIONS, ResultTap
from darklantern.models.on_torch.program import After, Before, Program
from darklantern.models.on_torch.sharding import Pieces, Sharding, recut, sharding_of, whole_local
from darklantern.models.on_torch.structure import mapped, tensors, whole

if TYPE_CHECKING:
    from darklantern.models.on_torch.running import Grid, Run

_LOCAL_PORTS = ("in", "out", "pre", "post", "neurons", *attention.PORTS)
_PROJECTIONS = {
    "q_pre": ("q_proj", "wq", "query", "to_q"),
    "k_pre": ("k_proj", "wk", "key", "to_k"),
    "k": ("k_proj", "wk", "key", "to_k"),
}
_ELEMENTWISE = (nn.Dropout, nn.Identity)


@contextmanager
def entered(module: nn.Module, run: "Run") -> Iterator[None]:
    """`run` gets whole values, and all ranks make it together; nothing where `module` is not cut."""
    sharding = sharding_of(module)
    if sharding is None:
        yield
        return
    starts = f"\nstart at {run.start.path}" if run.start else ""
    options = f"\ngradients {torch.is_grad_enabled()}, local values {run.local}"
    wanted = "".join(f"\ngradient at {action.site}" for action in run.plan.actions if action.grad)
    ended = False
    try:
        with together(sharding.ranks, f"{run.plan}{starts}{wanted}{options}") as session:
            shards = Shards(sharding, session, run)
            run.shards, run.slots, run.program = shards, {}, shards.program(run.program)
            run.puts_off = False  # all ranks see each pattern at the same point of the run
            try:
                with _stations(sharding, shards):
                    yield
            finally:
                shards.session = None
        ended = not run.plan.stop and not wanted
    finally:
        if not ended:
            sharding.reshard()


def tell(module: nn.Module, error: BaseException) -> None:
    """The other ranks learn that this one refused the run, where `module` is cut."""
    sharding = sharding_of(module)
    if sharding is not None:
        Together(sharding.ranks).fail(error)


@contextmanager
def _stations(sharding: Sharding, shards: "Shards") -> Iterator[None]:
    """All ranks meet before each module whose call starts a collective, and before a cut one hands out its output."""

    def meet(*_: Any) -> None:
        run = hub.current()
        if run is not None and run.shards is shards:
            shards.in_step()

    handles = [each.register_forward_pre_hook(meet, prepend=True) for each in sharding.stations]
    handles += [each.register_forward_hook(meet, prepend=True) for each in sharding.cuts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Shards:
    """What one run does to see whole values."""

    def __init__(self, sharding: Sharding, session: Together, run: "Run") -> None:
        self.sharding = sharding
        self.session: Together | None = session
        """None once the run is over: a backward pass that comes later asks nobody"""
        self.local = run.local
        self._found: dict[tuple[Point, int], Pieces | None] = {}
        if self.local:
            _check_local(run)

    # DTensors, which say themselves how they are cut

    def program(self, program: Program) -> Program:
        """`program`, whose taps are given whole tensors where a module takes or returns DTensors."""
        made = program.joined()
        if not self.local:
            made.before = {
                m: [_before(h, self.sharding) if _of_tap(h) else h for h in each] for m, each in made.before.items()
            }
            made.after = {
                m: [_after(h, self.sharding) if _of_tap(h) else h for h in each] for m, each in made.after.items()
            }
            made.out = {m: [_after(h, None) if _of_tap(h) else h for h in each] for m, each in made.out.items()}
        return made

    def before_backward(self, run: "Run") -> None:
        """All ranks have their metric, and the weights from which the pass may set out are whole.

        FSDP gathers a module's weights when gradients come to its output. A metric of recorded values reaches others
        from within.
        """
        self.in_step()
        paths = [f"{point.path}." for _, point in run.plan.record]
        for path, module in self.sharding.modules.items():
            if isinstance(module, FSDPModule) and any(each.startswith(f"{path}." if path else "") for each in paths):
                module.unshard()

    def in_step(self) -> None:
        """Go on when all ranks came here. Raises SiteError when one failed."""
        if self.session is not None:
            self.session.meet()

    # values at points

    def visit(self, run: "Run", point: Point, value: Tensor, grid: "Grid | None") -> Tensor:
        """As `Run.visit`, with the whole of `value`."""
        if self.local:
            run.visit(point, whole_local(value), grid, whole=True)
            return value
        call = run.calls.get(point, 0)
        pieces = self._pieces(point, call, value)
        shown = value if pieces is None else pieces.gathered(value)
        new = run.visit(point, shown, grid, whole=True)
        actions = run.program.actions[point]
        if self.session is not None and (run.keeps or any(not action.simple for action in actions)):
            self._same_after(point, new, any(action.edit is not None for action in actions))
        if new is shown:
            return value
        return new if pieces is None else pieces.cut(new)

    def _pieces(self, point: Point, call: int, value: Tensor) -> Pieces | None:
        """How `value` is cut; None for a whole one."""
        if not self.sharding.same:
            return None
        if self.session is None:
            return self._found.get((point, call))
        name = f"{point.path}:{point.port}#{call}"
        told = self.session.exchange([name, _digest(value), list(value.shape)])
        elsewhere = {rank: each[0] for rank, each in told.items() if each[0] != name}
        if elsewhere:
            raise SiteError(
                f"rank {self.session.rank} is at {name}, "
                + ", ".join(f"rank {rank} at {each}" for rank, each in elsewhere.items()),
                hint="does the model's code branch by rank? It must run alike on all of them",
            )
        same = len({(each[1], *each[2]) for rank, each in told.items() if rank in self.sharding.same}) == 1
        found = self._found[point, call] = self._fit(point, value, same)
        return found

    def _fit(self, point: Point, value: Tensor, same: bool) -> Pieces | None:
        """How the plain tensor `value` is cut, by the parameters around; None if it is whole.

        What parameters say comes first: pieces can be the same on all ranks, as after an ablation.
        """
        port, width = point.port.partition(".")[0], value.shape[-1] if value.ndim else 0
        own = self.sharding.cuts.get(point.module)
        heads = port in ("q_pre", "k_pre")
        if heads:
            width *= value.shape[-2]
            beside = self.sharding.beside(point.path)
            own = own or next((beside[name] for name in _PROJECTIONS[port] if name in beside), None)
        if own is not None:
            whole_width = own.inputs if port in ("in", "neurons") else own.outputs
            if own.columns is (port not in ("in", "neurons")) and width * own.ranks == whole_width:
                return Pieces(own.mesh, Shard(value.ndim - (2 if heads else 1)))
            if not own.columns and port == "out" and width == whole_width and not same:
                return Pieces(own.mesh, Partial())
        elif port in ("in", "out", "pre", "post", "slope") and _is_elementwise(point.module):
            cuts = list(self.sharding.beside(point.path).values())
            for cut in cuts:
                if not cut.columns and width * cut.ranks == cut.inputs:
                    return Pieces(cut.mesh, Shard(value.ndim - 1))
        if same and not self._ambiguous(point, value, width):
            return None
        raise SiteError(
            f"{point.path}:{point.port}: each rank holds a piece of shape {tuple(value.shape)} as a plain tensor, and "
            "nothing around says how the pieces fit",
            hint="take a site that tensor parallelism knows, such as in and out of the linear maps around it; "
            "record(..., local=True) gives each rank its own piece",
        )

    def _ambiguous(self, point: Point, value: Tensor, width: int) -> bool:
        """Whether `value` could be pieces that happen to be the same, as zeros are."""
        if point.port in attention.PORTS or point.port == "result" or not value.numel():
            return False
        beside = self.sharding.beside(point.path).values()
        known = {size for cut in beside for size in (cut.inputs, cut.outputs)}
        could = any(width * cut.ranks in (cut.inputs, cut.outputs) for cut in beside)
        return could and width not in known and bool((value == value.flatten()[0]).all())

    def _same_after(self, point: Point, new: Tensor, edited: bool) -> None:
        assert self.session is not None
        told = self.session.exchange(_digest(new) if edited and self.sharding.same else 0)
        if edited and len({told[rank] for rank in self.sharding.same}) > 1:
            raise SiteError(
                f"the edits at {point.path}:{point.port} gave different values on ranks that hold one value",
                hint="an edit runs on every rank: give its randomness the same seed, and its tensors the same numbers",
            )

    # attention, whose kernel gets some of the heads as plain tensors

    def attend(self, run: "Run", own: attention.AttentionPoints, call: attention.Call) -> Tensor:
        """As `own.within`, with all heads."""
        found = None if self.local else self._heads(own, call)
        if found is None:
            return own.within(run, call)
        mesh, shared = found
        mine = call.q.shape[1]
        query, result = Pieces(mesh, Shard(1)), Pieces(mesh, Shard(2))

        def key(value: Tensor) -> Tensor:
            return query.cut(value) if shared else value

        def kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return result.gathered(call.kernel(query.cut(q), key(k), key(v)))

        def of_heads(value: Tensor | None) -> Tensor | None:
            return (
                query.gathered(value) if value is not None and value.ndim == 4 and value.shape[1] == mine > 1 else value
            )

        k, v = (query.gathered(each) if shared else each for each in (call.k, call.v))
        sinks = None if call.sinks is None else Pieces(mesh, Shard(0)).gathered(whole_local(call.sinks))
        all_heads = replace(
            call, q=query.gathered(call.q), k=k, v=v, kernel=kernel, sinks=sinks,
            mask=of_heads(call.mask), bias=of_heads(call.bias),
        )  # fmt: skip
        return result.cut(own.within(run, all_heads))

    def _heads(self, own: attention.AttentionPoints, call: attention.Call) -> tuple[DeviceMesh, bool] | None:
        """The mesh over which the heads are cut, and whether those of k and v are too; None for whole ones."""
        path = own.points["z"].path
        cuts = self.sharding.below(path) | {
            name: cut for name, cut in self.sharding.beside(path).items() if name in OUT_PROJECTIONS
        }
        if not cuts:
            return None
        queries, keys, dim = call.q.shape[1], call.k.shape[1], call.v.shape[-1]
        out = next((cuts[name] for name in OUT_PROJECTIONS if name in cuts), None)
        if out is not None and queries * dim == out.inputs:
            return None
        key = next((cuts[name] for name in _PROJECTIONS["k"] if name in cuts), None)
        if out is not None and not out.columns and queries * dim * out.ranks == out.inputs:
            if keys == queries or (key is not None and keys * call.k.shape[-1] * key.ranks == key.outputs):
                return out.mesh, True
            if key is not None and keys * call.k.shape[-1] == key.outputs:
                return out.mesh, False
        raise SiteError(
            f"{path} is cut over ranks, and its projections do not say how: here are {queries} query and {keys} "
            f"key-value heads of {dim}",
            hint="cut its q, k and v projections by ColwiseParallel and the output projection by RowwiseParallel; "
            "record(..., local=True) gives each rank its own heads",
        )


def _check_local(run: "Run") -> None:
    if run.plan.edits or any(action.grad for action in run.plan.actions):
        raise SiteError("local=True records only: edits and gradients act on whole values", hint="leave local out")
    for site, point in run.plan.record:
        if site.select or point.port.partition(".")[0] not in _LOCAL_PORTS:
            raise SiteError(
                f"{site}: local values are whole pieces, of the ports {', '.join(_LOCAL_PORTS)}",
                hint="select from the piece afterwards, or leave local=True out",
            )


def _is_elementwise(module: nn.Module) -> bool:
    return isinstance(module, _ELEMENTWISE) or type(module).__module__ in (
        "torch.nn.modules.activation",
        "transformers.activations",
    )


def _digest(value: Tensor) -> int:
    """A number that differs where the bits do, or stand elsewhere: their sum as integers, weighted by place."""
    held = value.detach().contiguous()
    held = torch.view_as_real(held) if held.is_complex() else held
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = held.view(kinds[held.element_size()]).flatten().to(torch.int64)
    # A linear congruential sequence of odd weights, modulo 2^64.
    weights = torch.arange(len(bits), device=bits.device).mul_(6364136223846793006).add_(1442695040888963407)
    return int((bits * weights).sum()) if len(bits) else 0


def _is_masked(value: DTensor) -> bool:
    return any(isinstance(each, Partial) and type(each) is not Partial for each in value.placements)


def _of_tap(handler: Callable[..., Any]) -> bool:
    """Whether a port's tap handles it, and not the machinery of partial runs, which keeps what it sees as it is."""
    return hasattr(getattr(handler, "__self__", None), "install")


def _cuts(value: Any) -> bool:
    return any(isinstance(each, DTensor) for each in tensors(value))


def _before(handler: Before, sharding: Sharding) -> Before:
    # `in` finds out itself how its value is cut; a head's result needs all of z to begin with.
    reads = isinstance(getattr(handler, "__self__", None), ResultTap)

    def before(run: "Run", module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not _cuts(args) and not _cuts(kwargs):
            given = sharding.given(module, args, kwargs) if reads else (args, kwargs)
            return handler(run, module, *given)
        shown = mapped((args, kwargs), whole)
        versions = [each._version for each in tensors(shown)]
        new = handler(run, module, *shown)
        if versions != [each._version for each in tensors(shown)]:
            raise SiteError(
                "an edit in place cannot reach a residual stream that is cut over ranks (sequence parallelism)",
                hint="edit the block's out, or the outputs of its parts, instead of resid_mid",
            )
        return None if new is None else _back(new, shown, (args, kwargs))

    return before


def _after(handler: After, arguments: Sharding | None) -> After:
    """With `arguments`, those are whole too; most taps never look at them."""

    def after(run: "Run", module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        if arguments is not None:
            if _cuts(args) or _cuts(kwargs):
                args, kwargs = mapped((args, kwargs), whole)
            args, kwargs = arguments.given(module, args, kwargs)
        if not _cuts(output):
            return handler(run, module, args, kwargs, output)
        shown = mapped(output, whole)
        return _back(handler(run, module, args, kwargs, shown), shown, output)

    return after


def _back(new: Any, shown: Any, original: Any) -> Any:
    """`new`, cut as `original` was of which `shown` is the whole."""
    if isinstance(original, DTensor) and isinstance(new, Tensor):
        if new is shown and not _is_masked(original):
            return original
        return recut(new, original.device_mesh, original.placements)
    if isinstance(new, dict) and isinstance(original, dict) and new.keys() == original.keys():
        held = {key: _back(new[key], shown[key], original[key]) for key in new}
        return held if type(new) is dict else type(new)(held)
    if isinstance(new, tuple | list) and isinstance(original, tuple | list) and len(new) == len(original):
        parts = [_back(*each) for each in zip(new, shown, original, strict=True)]
        return type(new)(*parts) if hasattr(new, "_fields") else type(new)(parts)
    return new
