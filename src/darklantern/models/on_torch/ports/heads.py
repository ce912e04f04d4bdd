"""`result`, `q_pre` and `k_pre`: what stands on the projections around an attention kernel."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.building import Building
from darklantern.models.on_torch.offloaded import at_hand
from darklantern.models.on_torch.points import Point, fixed
from darklantern.models.on_torch.ports.modules import argument, first_argument, replaced
from darklantern.models.on_torch.quietly import quietly
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.structure import whole
from darklantern.models.on_torch.verifying import agree, grafted, unchanged
from darklantern.models.selecting import Selection

OUT_PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense", "wo", "proj", "out", "o", "to_out.0", "output.dense")
"""what families call an attention's output projection"""


_AXES = ("batch", "pos", "head", "dim")


class ResultTap:
    """What each head adds to the attention's output: the projection applied to its z alone, bias left out."""

    def __init__(self, projection: nn.Module, path: str, attention: Any) -> None:
        self.module, self.attention = projection, attention
        self.point = Point(self, "result", projection, path, "from the output projection's input", fixed("result"))

    def install(self, building: Building) -> None:
        self.attention.install(building)  # whose kernel tells how many heads there are
        if self._is_linear and not any(action.changes for action in building.actions[self.point]):
            building.do_before(self.module, self._before, late=True)
        else:
            building.do_after(self.module, self._after)

    @property
    def _is_linear(self) -> bool:
        return type(self.module) is nn.Linear or _is_transposed(self.module)

    def _before(self, run: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        per_head = self._per_head(first_argument(module, self.point.path, args, kwargs))
        actions = run.program.actions[self.point]
        # The last axis is not known before it is computed; which heads does not depend on it.
        chosen = [run.chosen(action, _AXES, (*per_head.shape[:3], 1 << 62)) for action in actions]
        heads = sorted({n for each in chosen if each is not None for n in each.numbers("head", per_head.shape[2])})
        with at_hand(module):
            result = self._apart(module, per_head, heads)
        run.visit(self.point, result, Heads((*per_head.shape[:3], result.shape[3]), heads), fresh=True)

    def _after(self, run: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        key, given = argument(module, "", args, kwargs)
        with at_hand(module):
            if self._is_linear:
                result = self._apart(module, self._per_head(given))
                constant = getattr(module, "bias", None)
            else:
                result, constant = self._through(module, key, args, kwargs, output)
            new = run.visit(self.point, result, fresh=True)
            if not any(action.changes for action in run.program.actions[self.point]):
                return output
            total = new.sum(2) if constant is None else new.sum(2) + constant
        # The heads' sum rounds otherwise than the projection: only where a head was changed does it count.
        return grafted(total, output, unchanged(new, result).all(2))

    def _per_head(self, flat: Tensor) -> Tensor:
        flat = flat.flatten(2) if flat.ndim == 4 else flat
        if flat.ndim != 3:
            raise SiteError(
                f"{self.point.path} is given a value of shape {tuple(flat.shape)}, not (batch, pos, all heads)",
                hint="z has what each head gives; its weight tells what that adds",
            )
        return flat.unflatten(-1, (int(self.attention.own.heads), -1))

    @staticmethod
    def _apart(module: nn.Module, per_head: Tensor, heads: list[int] | None = None) -> Tensor:
        """(batch, pos, head, dim) of all heads, or of `heads`, of a linear map."""
        count = per_head.shape[2]
        if type(module) is nn.Linear:
            weight = whole(module.weight).unflatten(1, (count, -1)).permute(1, 2, 0)
        else:
            weight = whole(torch.as_tensor(module.weight)).unflatten(0, (count, -1))
        if heads is not None and len(heads) < count:
            # One by one, as views: a gathered weight would count as read whole.
            parts = [torch.einsum("bpd,do->bpo", per_head[:, :, head], weight[head]) for head in heads]
            return torch.stack(parts, 2)
        return torch.einsum("bphd,hdo->bpho", per_head, weight)

    def _through(
        self, module: nn.Module, key: int | str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> tuple[Tensor, Tensor]:
        """Adapters, quantised weights: any affine map shows its parts, and its constant, when each head goes in alone.

        Raises SiteError where the parts do not add up to the output.
        """
        given = first_argument(module, self.point.path, args, kwargs)
        per_head = self._per_head(given)

        def of(z: Tensor) -> Tensor:
            args_now, kwargs_now = replaced(key, z.reshape(-1, *given.shape[1:]), args, kwargs)
            made: Tensor = bare(*args_now, **kwargs_now)
            return made

        count = per_head.shape[2]
        alone = torch.eye(count, dtype=given.dtype, device=given.device)[:, None, None, :, None] * per_head
        with quietly(module, given.device, self.point.path) as bare:
            constant = of(torch.zeros_like(per_head))
            # Together, because a map quantised on the fly takes its scale from all that it is given; one by one where
            # other arguments fix the size of the batch.
            together = len(args) + len(kwargs) == 1
            made = of(alone).unflatten(0, (count, -1)) if together else torch.stack([of(each) for each in alone])
            result = (made - constant).movedim(0, 2)
        if not agree(result.detach().sum(2) + constant.detach(), output):
            raise SiteError(
                f"{self.point.path}, a {type(module).__name__}, is no affine map: what the heads make one by one does "
                "not add up to what they make together",
                hint=f"z is what it was given, {self.point.path}:out what it returned",
            )
        return result, constant


class Heads:
    """Some heads of a value (batch, pos, head, dim): what a recording asks for."""

    def __init__(self, shape: tuple[int, int, int, int], heads: list[int]) -> None:
        self.shape, self.heads = shape, heads

    def local(self, chosen: Selection) -> Selection:
        index = list(chosen.index)
        at = index[2]
        places = {number: place for place, number in enumerate(self.heads)}
        numbers = chosen.numbers("head", self.shape[2])
        index[2] = places[at] if isinstance(at, int) else [places[each] for each in numbers]
        return replace(chosen, index=tuple(index))


class BeforeRotaryTap:
    """q or k before rotary embedding: the projection's output, or that of q's and k's own norm behind it, by heads."""

    def __init__(
        self, source: nn.Module, path: str, port: str, head_dim: int, projection: nn.Module | None = None
    ) -> None:
        self.module, self.head_dim = source, head_dim
        self.projection = projection if projection is not source else None
        self.point = Point(self, port, source, path, "before rotary embedding", fixed(port))

    def install(self, building: Building) -> None:
        building.view_returned(self.module, self.point, self._after, as_is=False)
        if self.projection is not None:
            building.do_last(self.projection, self._projected)

    def _projected(self, run: Run, _: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        if isinstance(output, Tensor) and output.ndim == 3 and not output.shape[-1] % self.head_dim:
            run.notes[self] = output.detach().unflatten(-1, (-1, self.head_dim))
        return output

    def _after(self, run: Run, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        if not isinstance(output, Tensor) or output.ndim not in (3, 4) or output.shape[-1] % self.head_dim:
            raise SiteError(
                f"{self.point.path} returns {getattr(output, 'shape', type(output).__name__)}, "
                f"not heads of {self.head_dim}",
                hint=f"record {self.point.path}:out",
            )
        shown = output.unflatten(-1, (-1, self.head_dim)) if output.ndim == 3 else output
        _, given = argument(module, "", args, kwargs)
        heads_first = output.ndim == 4 and self._heads_first(run.noted(self), given, output)
        shown = shown.transpose(1, 2) if heads_first else shown
        new = run.visit(self.point, shown)
        if new is shown:
            return output
        return new.transpose(1, 2) if heads_first else new.reshape(output.shape)

    @staticmethod
    def _heads_first(projected: Tensor | None, given: Any, output: Tensor) -> bool:
        """Whether q's or k's norm was given (batch, head, pos, dim), as in Gemma 3, and not (batch, pos, head, dim)."""
        if projected is None:
            return False
        turned = projected.transpose(1, 2)
        if projected.shape != turned.shape:
            return output.shape == turned.shape
        return isinstance(given, Tensor) and torch.equal(given.detach(), turned)  # as many heads as positions


def _is_transposed(module: nn.Module) -> bool:
    """transformers' Conv1D: an affine map that keeps its weight as (in, out)."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")
