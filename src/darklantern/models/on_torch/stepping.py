"""Generation: the same plan at each decoding step, positions counted through prompt and continuation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.program import Action, Plan
from darklantern.models.on_torch.running import Run
from darklantern.models.selecting import Selection, select
from darklantern.models.sites import Pin, Several, Site, Span


class Steps(Run):
    """A run of many steps. A call of the whole model is a step; `step=` in a site says at which ones it acts.

    A position from 0 counts through all steps; a negative one counts within each step, so that -1 is the newest token.
    """

    def __init__(self, plan: Plan, root: nn.Module) -> None:
        program = plan.program.joined()
        program.before = {root: [self._next], **{m: h for m, h in program.before.items() if m is not root}}
        program.before[root] += plan.program.before.get(root, [])
        super().__init__(plan, program)
        self.puts_off = False
        self.step = -1
        self.offset = 0
        """positions that earlier steps have seen"""
        self._seen = 0
        self._steps: dict[Action, int] = {}
        self._ever: dict[Any, int] = {}
        for action in (a for each in program.actions.values() for a in each):
            _check(action.site)

    def _next(self, _: Any, __: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tokens = next((t for t in (*args, kwargs.get("input_ids"), kwargs.get("inputs_embeds")) if t is not None), None)
        if not isinstance(tokens, Tensor):
            raise SiteError("a decoding step got no input_ids", hint="generate with a model that takes input_ids")
        self._note()
        self.step += 1
        self.offset += self._seen
        self._seen = tokens.shape[1]
        self.calls = {}

    def _note(self) -> None:
        for point, count in self.calls.items():
            self._ever[point] = max(count, self._ever.get(point, 0))

    def chosen(self, action: Action, axes: tuple[str, ...], shape: Sequence[int]) -> Selection | None:
        """What `action` selects at this step; None for nothing."""
        pins = dict(action.site.select)
        if not _matches(pins.pop("step", "*"), self.step):
            return None
        if "pos" in pins and "pos" in axes:
            size = shape[axes.index("pos")]
            # Keys and values come from the cache: theirs are all positions so far.
            local = _local(pins["pos"], 0 if size > self._seen else self.offset, size)
            if local is None:
                return None
            pins["pos"] = local
        return select(replace(action.site, select=tuple(pins.items())), axes, shape)

    def finish(self) -> None:
        """All steps are done: what counts is whether a site ever fired."""
        self._note()
        self.calls = self._ever

    def joined(self, action: Action, point: Point, held: list[Tensor]) -> tuple[Tensor, Any]:
        """The steps' values as one, along `pos` if they have it, else stacked along `step`."""
        axes = self.axes.get(action) or point.axes(held[0])
        if len(held) == 1:
            return held[0], axes
        if action.site.port in ("k", "v"):
            return held[-1], axes  # the cache's, which holds all steps
        if "pos" not in axes:
            return torch.stack(held), ("step", *axes)
        if "key" in axes:
            # Later steps see more keys; what an earlier one could not see has weight 0.
            most = max(each.shape[-1] for each in held)
            empty = float("-inf") if action.site.port == "scores" else 0.0
            held = [torch.nn.functional.pad(each, (0, most - each.shape[-1]), value=empty) for each in held]
        return torch.cat(held, axes.index("pos")), axes


def _check(site: Site) -> None:
    if site.call == "*":
        raise SiteError(f"{site}: in generation #* is not taken", hint="name one call, as in #0")
    step = dict(site.select).get("step", 0)
    if any(each < 0 for each in (step if isinstance(step, Several) else (step,)) if isinstance(each, int)):
        raise SiteError(f"{site}: which step is the last is not known yet", hint="count steps from 0, the prompt's")


def _matches(pin: Pin, step: int) -> bool:
    if pin == "*":
        return True
    if isinstance(pin, Span):
        return (pin.start or 0) <= step and (pin.stop is None or step < pin.stop)
    return step in pin if isinstance(pin, Several) else step == pin


def _local(pin: Pin, offset: int, size: int) -> Pin | None:
    """A pin that counts through all steps as one within this step."""
    if isinstance(pin, int):
        return pin if pin < 0 else pin - offset if 0 <= pin - offset < size else None
    if isinstance(pin, Several):
        inside = Several(each - offset for each in pin if 0 <= each - offset < size)
        return inside or None
    if isinstance(pin, Span):
        start, stop = (None if end is None or end < 0 else end - offset for end in pin)
        if (stop is not None and stop <= 0) or (start is not None and start >= size):
            return None
        return Span(pin.start if start is None else max(start, 0), pin.stop if stop is None else stop)
    return pin
