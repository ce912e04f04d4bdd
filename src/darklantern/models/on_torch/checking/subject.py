"""The model under examination: what its modules were seen to do, and what the engine recorded of them."""

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from darklantern.errors import DarkLanternError
from darklantern.models.calling import call
from darklantern.models.on_torch import compiled
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.structure import mapped, tensors
from darklantern.models.sites import Site

if TYPE_CHECKING:
    from darklantern.models.on_torch.opened import Model

BROKEN = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""what a model's code, or ours, raises when it is asked for what it cannot do"""


@dataclass(frozen=True, eq=False)
class Seen:
    """One call of a module, seen through torch's own hooks, with copies of all tensors."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    strided: bool = False
    """a tensor among them was a view, laid out otherwise in memory than its copy"""

    @property
    def argument(self) -> Any:
        """The first argument that its forward was given."""
        bound = inspect.signature(type(self.module).forward).bind(self.module, *self.args, **self.kwargs)
        for name, value in list(bound.arguments.items())[1:]:
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                return value[0]
            return next(iter(value.values())) if kind is inspect.Parameter.VAR_KEYWORD else value
        return None

    @property
    def result(self) -> Any:
        """What it returned: of several, the first, or what models call their main result."""
        if isinstance(self.output, Mapping) or is_dataclass(self.output):
            named = ("logits", "last_hidden_state", "hidden_states")
            got = (
                self.output.get(name) if isinstance(self.output, Mapping) else getattr(self.output, name, None)
                for name in named
            )
            return next((each for each in got if isinstance(each, Tensor)), None)
        if isinstance(self.output, tuple | list):
            return self.output[0] if self.output else None
        return self.output

    def again(self, module: nn.Module, value: Tensor) -> Any:
        """What `module` returns when it is called as here, with `value` as its first argument."""
        if self.args:
            return module(value, *_copied(self.args[1:]), **_copied(self.kwargs))
        first = next(name for name, held in self.kwargs.items() if held is self.argument)
        return module(**{**_copied(self.kwargs), first: value})


@dataclass(frozen=True)
class Place:
    """One site at one call of its module."""

    site: Site
    point: Point = field(repr=False)
    call: int = 0

    @property
    def path(self) -> str:
        return self.site.path

    @property
    def port(self) -> str:
        return self.site.port


class Subject:
    """A model, inputs for it, and two records of what happens in it: by torch's hooks, and by the engine."""

    def __init__(self, model: "Model", inputs: Any) -> None:
        self.model, self.module, self.inputs = model, model.module, inputs
        self._random = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, _devices(self.module))]
        once: dict[tuple[Point, str], Site] = {}
        for site, point in model.plan("**:*").record:
            once.setdefault((point, site.port), site)
        self.sites = [(site, point) for (point, _), site in once.items()]
        self.unwatched = self.bare()
        self.seen, self.output = self.witness()
        self.fused = not same(self.unwatched, self.output)
        """torch takes another path through this model when no hook at all is set, anybody's; its bits differ"""
        self.places = [
            Place(site, point, number)
            for site, point in self.sites
            for number in range(len(self.seen.get(point.module, ())))
        ]
        self.values: dict[Place, Tensor] = {}
        self.axes: dict[Place, tuple[str, ...]] = {}
        self.refused: dict[Place, str] = {}
        self.crashed: dict[Place, str] = {}
        self._record([place for place in self.places if self._carries(place)])
        self._found = {(place.path, place.port, place.call): place for place in self.places}

    # runs

    def fresh(self) -> Any:
        """The inputs, once more: a model may write to what it is given."""
        return copy.deepcopy(self.inputs)

    def bare(self, module: nn.Module | None = None) -> Any:
        """What the module, or another, returns without the engine."""
        with self.unchanged():
            return call(module or self.module, self.fresh())

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Random numbers start where they did, and buffers that a run in training mode moves on go back."""
        training = any(each.training for each in self.module.modules())
        held = [(buffer, buffer.clone()) for buffer in self.module.buffers()] if training else []
        devices = _devices(self.module)
        with ExitStack() as around, torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.set_rng_state(self._random[0])
            for device, state in zip(devices, self._random[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            if self.model.eager:
                around.enter_context(compiled.eagerly())
            yield
            for buffer, before in held:
                buffer.copy_(before)

    def record(self, *sites: Site, edits: Any = None) -> Any:
        """The engine's recording."""
        with self.unchanged():
            return self.model.record(self.fresh(), *sites, edits=edits)

    def witness(self) -> tuple[dict[nn.Module, list[Seen]], Any]:
        """What every module was given and returned, seen through torch's public hooks, and the model's output."""
        seen: dict[nn.Module, list[Seen]] = {}
        open_calls: list[tuple[nn.Module, Any, Any]] = []

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            open_calls.append((module, _copied(args), _copied(kwargs)))

        def after(module: nn.Module, given: Any, named: Any, output: Any) -> None:
            while open_calls[-1][0] is not module:  # a call that raised, and was caught
                open_calls.pop()
            _, args, kwargs = open_calls.pop()
            strided = not all(each.is_contiguous() for each in tensors((given, named, output)))
            seen.setdefault(module, []).append(Seen(module, args, kwargs, _copied(output), strided))

        handles = []
        try:
            for module in dict.fromkeys(self.module.modules()):
                handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
                handles.append(module.register_forward_hook(after, with_kwargs=True, prepend=True))
            return seen, self.bare()
        finally:
            for handle in handles:
                handle.remove()

    # values

    def ports(self, *names: str) -> list[Place]:
        """The places of these ports that the engine recorded."""
        return [place for place in self.values if place.port in names]

    def place(self, path: str, port: str, call: int = 0) -> Place | None:
        found = self._found.get((path, port, call))
        return found if found in self.values else None

    def value(self, path: str, port: str, call: int = 0) -> Tensor | None:
        found = self.place(path, port, call)
        return None if found is None else self.values[found]

    def seen_at(self, place: Place) -> Seen:
        return self.seen[place.point.module][place.call]

    def named(self, path: str) -> nn.Module | None:
        """The module with a canonical path."""
        try:
            return self.module.get_submodule(self.model.native(f"{path}:out"))
        except DarkLanternError:
            return None

    def _carries(self, place: Place) -> bool:
        """Whether there is a tensor for the engine to record; if not, says so."""
        seen = self.seen_at(place)
        if place.port not in ("in", "out"):
            return True
        value = seen.argument if place.port == "in" else seen.result
        if isinstance(value, Tensor):
            return True
        self.refused[place] = f"it carries {type(value).__name__}, no tensor"
        return False

    def _record(self, places: list[Place]) -> None:
        """All in one run; where the engine refuses, those that it does not refuse."""
        if not places:
            return
        sites = [self.numbered(place) for place in places]
        try:
            recording = self.record(*sites)
            for place, site in zip(places, sites, strict=True):
                self.values[place], self.axes[place] = recording[site].array, recording[site].axes
        except (DarkLanternError, *BROKEN) as error:
            if len(places) > 1:
                middle = len(places) // 2
                self._record(places[:middle])
                self._record(places[middle:])
                return
            # Its module ran, as torch's hooks saw, so these values passed; kernels may be gone round.
            missed = places[0].port in ("in", "out") and "never reached" in str(error)
            refusal = isinstance(error, DarkLanternError) and not missed
            (self.refused if refusal else self.crashed)[places[0]] = told(error)

    def numbered(self, place: Place) -> Site:
        """The place's site, with the number of its call where there are several."""
        several = len(self.seen.get(place.point.module, ())) > 1
        return replace(place.site, call=place.call) if several else place.site


def told(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else "no message"
    return said if isinstance(error, DarkLanternError) else f"{type(error).__name__}: {said}"


def same(one: Any, other: Any) -> bool:
    """Whether two outputs hold the same tensors, bit for bit."""
    left, right = list(tensors(one)), list(tensors(other))
    return len(left) == len(right) and all(map(_identical, left, right))


def outputs(output: Any) -> Iterable[Tensor]:
    """An output's tensors of floating-point numbers."""
    return (each for each in tensors(output) if each.is_floating_point())


def _identical(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())


def _copied(value: Any) -> Any:
    return mapped(value, lambda tensor: tensor.detach().clone())


def _devices(module: nn.Module) -> list[int]:
    return sorted({each.device.index or 0 for each in module.parameters() if each.device.type == "cuda"})
