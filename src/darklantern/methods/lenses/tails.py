"""What a model says of a value put in where its last norm begins: its own code does the rest, caps and scales too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.errors import MethodError, SiteError
from darklantern.methods.metrics import logits_of
from darklantern.methods.repeating import check_repeats
from darklantern.models.edits import put
from darklantern.models.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.shim import namespace, numbers
from darklantern.models.sites import Site

AXES = ("batch", "pos", "dim")


@dataclass(frozen=True)
class Place:
    """Which values are read, and where they are put in to be read."""

    sites: tuple[Site, ...]
    entrance: Site
    last: Site | None
    """of the sites the output of the last block, which must give what the model says"""


def placed(model: Model, sites: str | Site | Sequence[str | Site], entrance: str | Site | None) -> Place:
    """Names and globs resolved. Raises SiteError, and MethodError for a model whose logits begin nowhere known."""
    asked = [sites] if isinstance(sites, str | Site) else list(sites)
    found = tuple(dict.fromkeys(site for each in asked for site in model.plan(each).sites))
    if not found:
        raise MethodError("expected sites to read, got none", hint='"layers.*:out"')
    if pinned := next((site for site in found if site.select), None):
        raise MethodError(f"{pinned} is a part of a value, and a lens reads whole ones", hint=str(pinned.whole))
    return Place(found, _entrance(model, entrance), next((site for site in found if _is_last(model, site)), None))


def _entrance(model: Model, asked: str | Site | None) -> Site:
    known = next((f"{path}:in" for path in ("norm", "unembed") if model.has(path)), None)
    if asked is None and known is None:
        raise MethodError(
            "the model has neither a last norm nor an unembedding that go by those names",
            hint='entrance="path:in" names where what is read is to be put in; model.tree() shows the parts',
        )
    found = model.plan(asked or known or "").sites
    if len(found) != 1:
        raise MethodError(f"{asked} stands for {len(found)} sites", hint="the one that all that is said passes through")
    return found[0]


def _is_last(model: Model, site: Site) -> bool:
    block = model.block_of(site)
    if block is None or block != site.path or site.port != "out":
        return False
    stack, _, number = block.rpartition(".")
    return not model.has(f"{stack}.{int(number) + 1}")


Starts = dict[tuple[int, ...], Any]
"""where runs from the entrance on start, by the shape of what goes in there"""


class Tail:
    """One model on one input, from the entrance on.

    `starts` are those of other inputs: what follows from the entrance alone is the same from each of them, which is
    tried out before one of them serves, and spares the three runs of a start of its own.
    """

    def __init__(self, model: Model, inputs: Any, place: Place, starts: Starts | None = None) -> None:
        self.model, self.inputs, self.place = model, inputs, place
        self.recording = model.record(inputs, *place.sites, place.entrance)
        self.logits = _checked(self.recording, place)
        self.entered = self.recording[place.entrance].array
        self.allowed = _allowed(self.logits)
        held = {} if starts is None else starts
        shape = tuple(self.entered.shape)
        self.start = held.get(shape)
        if self.start is None or not self.off(self.entered) <= self.allowed:
            self.start = _start(model, inputs, place)
            if self.start is not inputs:
                held[shape] = self.start

    def off(self, value: Any) -> float:
        """By how much the logits that follow from `value` at the entrance differ from the model's, at most."""
        return difference(self.said(value), self.logits)

    def edits(self, value: Any) -> dict[str | Site, Any]:
        """What puts `value` in."""
        return {self.place.entrance: put(value)}

    def said(self, value: Any) -> Any:
        """The logits that follow from `value` at the entrance, (batch, pos, token)."""
        return logits_of(self.model.run(self.start, self.edits(value)))

    @property
    def own(self) -> Any:
        """(batch, pos), whether each position is an example's own and no padding; NumPy's."""
        lengths = self.recording.lengths
        batch, pos = self.logits.shape[:2]
        return np.arange(pos)[None] < np.asarray([pos] * batch if lengths is None else lengths)[:, None]


@dataclass(frozen=True)
class SelfTest:
    """What is put in at the entrance must give what the model says, and so must what the last layer returns."""

    largest: float
    """difference of logits"""
    allowed: float
    """half of the digits that the numbers have, of the largest logit"""


def tested(tail: Tail) -> SelfTest:
    """Raises MethodError, naming what differs, where a lens would not show what the model says."""
    place, allowed = tail.place, tail.allowed
    check_repeats(tail.model, tail.inputs, tail.recording.output)
    here = tail.off(tail.entered)
    if not here <= allowed:
        raise MethodError(
            f"what goes into {place.entrance}, put in there once more, gives other logits, by up to {here:.3g}",
            hint="what is said does not follow from it alone: name an entrance nearer to the logits",
        )
    if place.last is None:
        return SelfTest(here, allowed)
    last = tail.recording[place.last].array
    there = tail.off(last)
    if not there <= allowed:
        apart = difference(last, tail.entered)
        raise MethodError(
            f"{place.last}, put in at {place.entrance}, gives other logits than the model, by up to {there:.3g}: what "
            f"goes in there differs from it by up to {apart:.3g}",
            hint="something stands between: name as entrance what takes the last block's output, or read other sites",
        )
    return SelfTest(max(here, there), allowed)


def difference(one: Any, other: Any) -> float:
    """The largest between two arrays; equal infinities do not differ."""
    first, second = (np.asarray(numbers(each), dtype=np.float64) for each in (one, other))
    with np.errstate(invalid="ignore"):
        apart = np.where(first == second, 0.0, np.abs(first - second))
    return float(apart.max())


def _checked(recording: Recording, place: Place) -> Any:
    """The model's logits. Raises MethodError where values or logits do not have a place for each token."""
    entered = recording[place.entrance]
    for site in (place.entrance, *place.sites):
        value = recording[site]
        if value.axes != AXES or value.shape != entered.shape:
            raise MethodError(
                f"{site} has {' '.join(value.axes)} {value.shape}, and {place.entrance} {entered.shape}",
                hint="a lens reads values of the residual stream, batch pos dim, as wide as what the last norm takes",
            )
    logits = logits_of(recording.output)
    if logits.ndim != 3 or logits.shape[:2] != entered.shape[:2]:
        raise MethodError(
            f"the model returns logits of shape {tuple(logits.shape)} for values of shape {entered.shape}",
            hint="a lens reads models that say something at each position",
        )
    return logits


def _allowed(logits: Any) -> float:
    """Half of the digits that the numbers have, of the largest logit."""
    xp = namespace(logits)
    scale = float(xp.max(xp.abs(xp.where(xp.isfinite(logits), logits, xp.zeros_like(logits)))))
    return float(xp.finfo(logits.dtype).eps) ** 0.5 * scale


def _start(model: Model, inputs: Any, place: Place) -> Any:
    """What to run in place of the inputs: the entrance's own part, or the last block that something is read of."""
    blocks = [block for block in map(model.block_of, place.sites) if block is not None]
    for path in (place.entrance.path, *blocks[-1:]):
        start = model.starts(inputs, path)[0]
        if not isinstance(start, SiteError):
            return start
    return inputs
