"""Attention of transformers models, against the same weights run with the library's eager attention.

Eager attention spells out its products and its softmax, so that they can be watched; and the modules return the
pattern. The configuration is switched on a second tree of modules over the same tensors, so that the model that is
checked never sees it.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from darklantern.errors import DarkLanternError
from darklantern.models.on_torch.checking.certificate import Outcome
from darklantern.models.on_torch.checking.comparing import compared, difference, measured, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Place, Subject, told
from darklantern.models.on_torch.ports.interface import InterfaceTap
from darklantern.models.on_torch.structure import tensors

ORACLE = "eager attention"
PORTS = ("q", "k", "v", "scores", "pattern", "z")
_SOFTMAX = 2e-4
"""libraries take the softmax in float32 in any model"""
_PRODUCTS = {"matmul", "__matmul__", "bmm", "baddbmm", "einsum"}


@dataclass
class Watched:
    """What one call of an attention module computed, in order: (kind, arguments, outcome)."""

    steps: list[tuple[str, tuple[Tensor, ...], Tensor]] = field(default_factory=list)
    returned: Any = None


def findings(subject: Subject) -> Iterator[Outcome]:
    """Compare with the products, the softmax and the returned weights of an eager run."""
    places = [place for place in subject.ports(*PORTS) if isinstance(place.point.tap, InterfaceTap)]
    if not places:
        return
    try:
        watched, apart = _eagerly(subject)
    except (DarkLanternError, ImportError, NotImplementedError, *BROKEN) as error:
        yield from (uncovered(place, ORACLE, f"it cannot run eagerly: {told(error)}") for place in places)
        return
    for place in places:
        calls = watched.get(place.point.path, [])
        if place.call >= len(calls):
            yield uncovered(place, ORACLE, "the eager run called it less often")
            continue
        try:
            yield _finding(subject, place, calls[place.call], apart)
        except BROKEN as error:
            yield uncovered(place, ORACLE, told(error))


def _eagerly(subject: Subject) -> tuple[dict[str, list[Watched]], float]:
    """Each attention's calls in an eager run, and how far that run's output is from the bare one's."""
    second = twin(subject.module)
    roots = [each for each in second.modules() if hasattr(each, "set_attn_implementation")]
    if not roots:
        raise ValueError("it has no set_attn_implementation")
    for root in roots:
        choose: Any = root.set_attn_implementation
        choose("eager")
    paths = {place.point.path for place in subject.ports(*PORTS) if isinstance(place.point.tap, InterfaceTap)}
    watched: dict[str, list[Watched]] = {}
    mode = _Watching()
    for path in paths:
        module = second.get_submodule(path)
        module.register_forward_pre_hook(partial(_begin, mode))
        module.register_forward_hook(partial(_end, mode, watched.setdefault(path, [])))
    with mode:
        output = subject.bare(second)
    pairs = zip(tensors(subject.output), tensors(output), strict=False)
    return watched, max((difference(*pair) for pair in pairs if pair[0].is_floating_point()), default=math.inf)


def twin(module: nn.Module) -> nn.Module:
    """A second tree of modules over the same parameters and buffers."""
    held = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in held})


class _Watching(TorchFunctionMode):
    """Sees each product and softmax that an attention module asks torch for."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[Watched] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if self.under_way and isinstance(out, Tensor) and (name in _PRODUCTS or name == "softmax"):
            # Copies: a mask may be added in place.
            given = tuple(each.clone() for each in tensors(args))
            kind = "softmax" if name == "softmax" else "product"
            self.under_way[-1].steps.append((kind, given, out.clone()))
        return out


def _begin(mode: _Watching, _: nn.Module, __: Any) -> None:
    mode.under_way.append(Watched())


def _end(mode: _Watching, calls: list[Watched], _: nn.Module, __: Any, output: Any) -> None:
    watched = mode.under_way.pop()
    watched.returned = output
    calls.append(watched)


def _finding(subject: Subject, place: Place, watched: Watched, apart: float) -> Outcome:
    truth = _truth(subject, place, watched)
    if isinstance(truth, str):
        return uncovered(place, ORACLE, truth)
    found = subject.values[place]
    allowed = max(tolerance(found, across=True), _SOFTMAX)
    if apart > allowed:
        return uncovered(place, ORACLE, "eager attention gives this model another output, so it is no oracle here")
    if place.port == "scores":
        return measured(place, ORACLE, _apart(found, truth, watched), allowed)
    if place.port == "pattern":
        # A row that may attend nowhere has no pattern: kernels give zeros there, eager attention spreads it evenly.
        somewhere = found.sum(-1, keepdim=True) != 0
        return compared(place, ORACLE, found, truth.where(somewhere, 0.0), allowed)
    return compared(place, ORACLE, found, truth, allowed)


def _truth(subject: Subject, place: Place, watched: Watched) -> Tensor | str:
    """The eager run's value at `place`, or why there is none."""
    found = subject.values[place]
    pattern = subject.value(place.path, "pattern", place.call)
    if pattern is None:
        return "its pattern was not recorded, by which the eager products are told apart"
    soft = next((i for i, step in enumerate(watched.steps) if _is_softmax(step, pattern)), None)
    if soft is None:
        return "its eager code does not ask torch for a softmax of that shape"
    _, (scores, *_), weights = watched.steps[soft]
    keys = pattern.shape[-1]
    scores, weights = (_headed(each, pattern)[..., :keys] for each in (scores, weights))
    if place.port == "scores":
        return scores
    if place.port == "pattern":
        alike = [each for each in tensors(watched.returned) if each.shape == pattern.shape and bool((each >= 0).all())]
        # In training mode what it returns has gone through dropout.
        return alike[-1] if alike and not place.point.module.training else weights
    before = [step for step in watched.steps[:soft] if step[0] == "product" and step[2].shape[-1] == keys]
    after = [step for step in watched.steps[soft + 1 :] if step[0] == "product"]
    if place.port in ("q", "k"):
        if not before or len(before[-1][1]) < 2:
            return "its eager code does not multiply q and k in one product"
        q, k = before[-1][1][-2:]
        return _scaled(_by_pos(q, pattern), found) if place.port == "q" else _shared(_by_pos(k.mT, pattern), found)
    if not after or len(after[0][1]) < 2:
        return "its eager code does not multiply pattern and v in one product"
    if place.port == "v":
        return _shared(_by_pos(after[0][1][-1], pattern), found)
    return _by_pos(after[0][2], pattern)


def _is_softmax(step: tuple[str, tuple[Tensor, ...], Tensor], pattern: Tensor) -> bool:
    kind, _, out = step
    columns = (pattern.shape[-1], pattern.shape[-1] + 1)  # one more where sinks take a share
    return kind == "softmax" and out.shape[-1] in columns and out.numel() // out.shape[-1] == pattern[..., 0].numel()


def _headed(value: Tensor, pattern: Tensor) -> Tensor:
    """(batch × head, …) as (batch, head, …)."""
    return value.unflatten(0, (pattern.shape[0], -1)) if value.ndim == 3 else value


def _by_pos(value: Tensor, pattern: Tensor) -> Tensor:
    return _headed(value, pattern).transpose(1, 2)


def _shared(repeated: Tensor, found: Tensor) -> Tensor:
    """Eager code repeats a key-value head for each query head that shares it; all its copies must be alike."""
    groups = repeated.shape[2] // max(found.shape[2], 1)
    if repeated.shape[2] != groups * found.shape[2] or groups <= 1:
        return repeated
    split = repeated.unflatten(2, (-1, groups))
    return split[..., 0, :] if bool((split == split[..., :1, :]).all()) else repeated


def _scaled(q: Tensor, found: Tensor) -> Tensor:
    """q with the scale taken off, where eager code puts it on q."""
    if q.shape != found.shape or difference(found, q) < tolerance(found, across=True):
        return q
    factor = (found.double() * q.double()).sum() / q.double().square().sum()
    known = (found.shape[-1] ** 0.5, found.shape[-1] ** 0.25)
    fitting = [each for each in known if abs(float(factor) - each) < 1e-3 * each]
    return q * fitting[0] if fitting else q


def _apart(found: Tensor, truth: Tensor, watched: Watched) -> float:
    """Scores compared: −inf is where the mask forbids, for which eager code may write a number far below all others."""
    sinks = any(kind == "softmax" and out.shape[-1] == found.shape[-1] + 1 for kind, _, out in watched.steps)
    if found.shape != truth.shape:
        return math.inf
    forbidden = truth <= torch.finfo(truth.dtype).min / 4
    masked = found <= torch.finfo(found.dtype).min / 4
    nowhere = masked.all(-1, keepdim=True) | forbidden.all(-1, keepdim=True)
    if not bool(((forbidden == masked) | nowhere).all()):
        return math.inf
    hidden = forbidden | masked
    found, truth = found.masked_fill(hidden, -math.inf), truth.masked_fill(hidden, -math.inf)
    if sinks or bool((truth.amax(-1) == 0).all()):
        # Some take the row's largest off before the softmax, which changes nothing behind it.
        found, truth = found - found.amax(-1, keepdim=True), truth - truth.amax(-1, keepdim=True)
    return difference(found.masked_fill(hidden, 0.0), truth.masked_fill(hidden, 0.0))
