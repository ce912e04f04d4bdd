"""Generation: the same plan at each decoding step, positions counted through prompt and continuation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darklantern.errors import SiteError
from darklantern.models.keeping import Keeper
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.program import Action, Plan
from darklantern.models.on_torch.running import Run
from darklantern.models.passes import note
from darklantern.models.selecting import Selection, select
from darklantern.models.sites import Each, Pin, Several, Site, Span

_KEYS = {"k": 1, "v": 1, "scores": 3, "pattern": 3}
"""the axis of keys in what these ports show"""


class Steps(Run):
    """A run of many steps. A call of the whole model is a step; `step=` in a site says at which ones it acts.

    A position from 0 counts through all steps; a negative one counts within each step, so that -1 is the newest token.
    """

    def __init__(self, plan: Plan, root: nn.Module, keep: Keeper | None = None) -> None:
        program = plan.program.joined()
        program.before = {root: [self._next], **{m: h for m, h in program.before.items() if m is not root}}
        program.before[root] += plan.program.before.get(root, [])
        super().__init__(plan, program, keep=keep)
        self.puts_off = False
        self.step = -1
        self.offset = 0
        """positions that earlier steps have seen"""
        self._seen = 0
        self._fed: Tensor | None = None
        """what the last step was given"""
        self._steps: dict[Action, int] = {}
        self._ever: dict[Any, int] = {}
        self._own_keys: dict[Point, bool] = {}
        """points whose keys are those of the tokens so far"""
        for action in (a for each in program.actions.values() for a in each):
            _check(action.site)

    def _next(self, _: Any, __: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names = ("decoder_input_ids", "input_ids", "inputs_embeds")
        tokens = next((t for t in (*map(kwargs.get, names), *args) if t is not None), None)
        if not isinstance(tokens, Tensor) or tokens.ndim < 2:
            raise SiteError("a decoding step got no input_ids", hint="generate with a model that takes input_ids")
        self._refuse_recomputed(tokens)
        self._note()
        self.step += 1
        self.offset += self._seen
        self._refuse_cut_back(kwargs.get("past_key_values"))
        self._seen, self._fed = tokens.shape[1], tokens
        self.calls = {}
        note(sampled=tokens.shape[0])

    def _refuse_recomputed(self, tokens: Tensor) -> None:
        """Raises SiteError where a step goes over the positions of the last one again."""
        last = self._fed
        if last is None:
            return
        if last.shape[0] != tokens.shape[0]:
            raise SiteError(
                f"a decoding step has {tokens.shape[0]} rows, the one before it {last.shape[0]}, so a recording would "
                "join rows of different sequences",
                hint="generate without beams or candidates, or loop over model.record(...) yourself",
            )
        width = last.shape[1]
        grown = tokens.shape[1] > width and torch.equal(tokens[:, :width], last)
        moved = tokens.shape[1] == width > 1 and torch.equal(tokens[:, :-1], last[:, 1:])
        if grown or moved:
            raise SiteError(
                "this model computes all positions anew at each decoding step, so a step is not what is new in it",
                hint="generate with use_cache=True where the model has it, or loop over model.record(...) yourself",
            )

    def _refuse_cut_back(self, cache: Any) -> None:
        """Raises SiteError where the key-value cache does not hold what the steps so far have put in."""
        length = getattr(cache, "get_seq_length", None)
        held = int(length()) if callable(length) else self.offset
        if self.step == 0:
            self.offset = held  # a cache of the user's own, from an earlier prompt
        elif held != self.offset:
            raise SiteError(
                f"the key-value cache holds {held} positions and the decoding steps so far had {self.offset}, so a "
                "recording would not be of the sequence that comes out",
                hint="generate without an assistant model, prompt lookup or a cache that is cut back",
            )

    def _note(self) -> None:
        for point, count in self.calls.items():
            self._ever[point] = max(count, self._ever.get(point, 0))

    def visit(self, point: Point, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As a run's; refuses keys of which the cache has dropped some, whose positions nobody knows any more."""
        axis = _KEYS.get(point.port)
        if axis is not None and value.ndim == 4:
            held = value.shape[axis]
            own = self._own_keys.setdefault(point, held == self.offset + self._seen)  # not of an encoder's output
            if own and held not in (self._seen, self.offset + self._seen):
                raise SiteError(
                    f"{point.path}:{point.port} at step {self.step}: its keys are {held} of {self.offset + self._seen} "
                    "positions, as the key-value cache keeps a window of them only",
                    hint="record q or z, or a run on the sequence that came out",
                )
        return super().visit(point, value, *args, **kwargs)

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
        mixes = bool(action.edit and action.edit.mixes)
        made = select(replace(action.site, select=tuple(pins.items())), axes, shape, mixes=mixes)
        nothing = any(isinstance(at, slice) and not range(size)[at] for at, size in zip(made.index, shape, strict=True))
        return None if nothing else made

    def _unapplied(self, site: Site) -> SiteError:
        return SiteError(
            f"the edit at {site} was never applied: it matched none of the {self.step + 1} steps, nor of the "
            f"{self.offset + self._seen} positions",
            hint="steps count from 0, the prompt's; the last token drawn never goes in",
        )

    def finish(self) -> None:
        """All steps are done: what counts is whether a site ever fired."""
        self._note()
        self.calls = self._ever

    def joined(self, action: Action, point: Point, held: list[Tensor]) -> tuple[Tensor, Any]:
        """The steps' values as one, along `pos` if they have it, else stacked along `step`."""
        axes = self.axes.get(action) or point.axes(held[0])
        if len(held) == 1:
            return held[0], axes
        newest = isinstance(pin := dict(action.site.select).get("pos"), int) and pin < 0
        if action.site.port in ("k", "v") and not newest and not self.keeps:
            return held[-1], axes  # the cache's, which holds all steps
        if "key" in axes:
            # Later steps see more keys; what an earlier one could not see has weight 0.
            held = _padded(held, axes.index("key"), float("-inf") if action.site.port == "scores" else 0.0)
        along = axes.index("pos") if "pos" in axes else None
        if len({tuple(size for axis, size in enumerate(each.shape) if axis != along) for each in held}) > 1:
            raise SiteError(
                f"{action.site}: the steps' values have shapes {[tuple(each.shape) for each in held]}, and make no one",
                hint="name one step, as in [step=0], or reduce each to one shape",
            )
        return (torch.stack(held), ("step", *axes)) if along is None else (torch.cat(held, along), axes)


def _padded(held: list[Tensor], axis: int, empty: float) -> list[Tensor]:
    """The values with as many entries along `axis` as the longest."""
    most = max(each.shape[axis] for each in held)
    behind = held[0].ndim - 1 - axis
    return [F.pad(each, (*(0, 0) * behind, 0, most - each.shape[axis]), value=empty) for each in held]


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
    if isinstance(pin, Each):
        found = [_local(each, offset, size) for each in pin]
        if all(each is None for each in found):
            return None
        if None not in found:
            return Each(each for each in found if isinstance(each, int))
        raise SiteError(
            f"pos={pin}: in one decoding step some examples have their position and others do not",
            hint="positions within the prompt are all in the first step; or generate from one prompt at a time",
        )
    if isinstance(pin, Span):
        start, stop = (None if end is None or end < 0 else end - offset for end in pin)
        if (stop is not None and stop <= 0) or (start is not None and start >= size):
            return None
        return Span(pin.start if start is None else max(start, 0), pin.stop if stop is None else stop)
    return pin


def refuse_search(module: nn.Module, options: Mapping[str, Any]) -> None:
    """Raises SiteError where rows change places between steps, or a prompt goes in by several."""
    given = options.get("generation_config") or getattr(module, "generation_config", None)
    if options.get("prefill_chunk_size") or getattr(given, "prefill_chunk_size", None):
        raise SiteError(
            "prefill_chunk_size cuts the prompt into several steps, so step 0 would not be the prompt's",
            hint="generate without it",
        )
    beams = options.get("num_beams") or getattr(given, "num_beams", None) or 1
    if beams > 1:
        raise SiteError(
            f"a search with {beams} beams moves rows between sequences, so a recording would join different ones",
            hint="num_beams=1; or generate first, and record a run on the sequence that came out",
        )
