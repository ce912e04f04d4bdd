"""The wiring of a model, told from two of its runs: every reader's input must differ by what was written before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darklantern.errors import MethodError, SiteError
from darklantern.methods.patching.wiring import Part, Wiring
from darklantern.methods.repeating import check_repeats
from darklantern.models.edits import zero
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import namespace, numbers
from darklantern.models.sites import Site

_BEFORE = {"attn": ("norm1",), "mlp": ("norm2", "norm1")}
"""in a block, whose input may be a part's; any other norm's may be too, or that of the part itself"""

_ATTENTION = ("attn", "cross_attn")


def wired(model: Model, clean: Any, corrupt: Any) -> Wiring:
    """How `model` is wired, told from a run on each of two inputs of one shape.

    A part's entrance is where the step from one run to the other is the sum of the steps that earlier parts wrote.
    Whether an MLP reads the attention beside it is told so too, by a run without that attention where both would fit.
    Costs two runs, and one partial run for each key-value head that several heads share. Raises MethodError where no
    place fits, as in blocks that norm the sum or what a part returns.
    """
    blocks = _blocks(model)
    places = [site for parts in blocks for path in parts for site in _looked_at(model, path)]
    ends = _there(model, [Site(path, "in") for path in ("norm", *_norms(model, ""), "unembed")]) or [Site("", "out")]
    writing = [Site(path, _port(path)) for parts in blocks for path in parts]
    runs = [model.record(inputs, *dict.fromkeys([*places, *ends, *writing])) for inputs in (clean, corrupt)]
    seen = _Seen(model, clean, runs[0], runs[1])
    check_repeats(model, clean, runs[0].output)
    parts: list[Part] = []
    for paths in blocks:
        parts += _block(seen, parts, paths)
    written = [part.writes for part in parts]
    start = parts[0].entrance
    end = next((site for site in ends if seen.reads(site, start, written)), None)
    if end is None:
        raise _unfit("what goes into the logits", ends)
    return Wiring(tuple(parts), end)


@dataclass(frozen=True)
class _Seen:
    """Two runs, and the steps from one to the other."""

    model: Model
    inputs: Any
    clean: Recording
    corrupt: Recording

    def step(self, site: Site) -> Value:
        there, here = self.clean[site], self.corrupt[site]
        if there.shape != here.shape:
            raise MethodError(
                f"{site} has shape {there.shape} in one run and {here.shape} in the other",
                hint="clean and corrupt inputs go together position by position: as many examples, as many tokens",
            )
        made = there - here
        return made.sum("head") if site.port == "result" else made

    def feeds(self, entrance: Site, path: str) -> bool:
        """Whether what a norm made of `entrance` goes into the part; entrances without a norm do."""
        made, given = Site(entrance.path, "out"), Site(path, "in")
        if entrance.path in (path, _block_of(path)) or not {made, given} <= set(self.clean.sites):
            return True
        out, taken = (numbers(self.clean[site].array).astype(float).ravel() for site in (made, given))
        if out.size != taken.size:
            return False
        near = rounding(self.clean[given].array)
        return float(np.linalg.norm(out - taken)) <= near * max(float(np.linalg.norm(taken)), 1e-6)

    def reads(self, site: Site, start: Site, written: Sequence[Site]) -> bool:
        """Whether the step at `site` is that at `start` and what `written` added to it, up to rounding."""
        found = self.step(site)
        if not np.isfinite(numbers(found.array).astype(float)).all():
            raise MethodError(
                f"{site} holds numbers that are not finite", hint="NaN or ∞ in a run: look at the model first"
            )
        summed = self.step(start)
        if found.shape != summed.shape:
            return False
        for each in written:
            summed = summed + self.step(each)
        off, size = (float(np.linalg.norm(numbers(each.array).astype(float))) for each in (found - summed, summed))
        return off <= rounding(found.array) * max(size, 1e-6)


def _block(seen: _Seen, earlier: Sequence[Part], paths: Sequence[str]) -> list[Part]:
    """The parts of one block, attention before MLP."""
    made: list[Part] = []
    for path in paths:
        entrances = [entrance for entrance in _entrances(seen.model, path) if seen.feeds(entrance, path)]
        found = (_placed(seen, earlier, made, path, entrance) for entrance in entrances)
        part = next((part for part in found if part is not None), None)
        if part is None:
            raise _unfit(path, _entrances(seen.model, path))
        made.append(part)
    return made


def _placed(seen: _Seen, earlier: Sequence[Part], beside: Sequence[Part], path: str, entrance: Site) -> Part | None:
    """The part, if what comes in at `entrance` is what was written before it: in its own block too, or not."""
    start = earlier[0].entrance if earlier else beside[0].entrance if beside else entrance
    fits = [
        before
        for before in ([*earlier, *beside], [*earlier])[: 1 + bool(beside)]
        if seen.reads(entrance, start, [part.writes for part in before])
    ]
    if not fits:
        return None
    # What the block's other parts wrote may not differ between the two runs; then both fit.
    before = fits[-1] if len(fits) > 1 and not _read(seen, beside, entrance) else fits[0]
    heads = _heads(seen, path)
    return Part(path, entrance, len(before), len(heads), heads)


def _read(seen: _Seen, beside: Sequence[Part], entrance: Site) -> bool:
    """Whether what comes in at `entrance` changes without what `beside` wrote."""
    held: dict[str | Site, Any] = {replace(part.writes, port="z"): zero() for part in beside}
    without = seen.model.record(seen.inputs, entrance, edits=held)[entrance]
    return not np.array_equal(numbers(without.array), numbers(seen.clean[entrance].array))


def _heads(seen: _Seen, path: str) -> tuple[int, ...]:
    """For each query head the key-value head that it reads: the one without which its z changes."""
    if _port(path) == "out":
        return ()
    z, v = Site(path, "z"), Site(path, "v")
    result = seen.clean[Site(path, "result")]
    count = result.shape[result.axes.index("head")]
    plain = seen.model.record(seen.inputs, z, v, stop=True)
    groups = plain[v].shape[plain[v].axes.index("head")]
    if groups == count:
        return tuple(range(count))
    shared = [0] * count
    for group in range(groups):
        without = seen.model.record(seen.inputs, z, edits={v.at(head=group): zero()}, stop=True)[z]
        for head in range(count):
            mine, ours = (numbers(each.at(head=head).array) for each in (without, plain[z]))
            if not np.array_equal(mine, ours):
                shared[head] = group
    return tuple(shared)


def _blocks(model: Model) -> list[list[str]]:
    """Attentions and MLPs by block, in the order of the layers, attention first."""
    sites = model.sites("**:*")
    heads = dict.fromkeys(site.path for site in sites if site.port == "result")
    mlps = dict.fromkeys(site.path for site in sites if site.port == "out" and site.path.endswith(".mlp"))
    blocks: dict[str, list[str]] = {}
    opaque = next((site.path for site in sites if _name(site) in _ATTENTION and site.path not in heads), None)
    if opaque is not None:
        raise MethodError(
            f"{opaque} does not show what each of its heads adds to the stream",
            hint=f"model.sites({opaque + ':*'!r}) lists what it has; darklantern.sweep patches whole sites",
        )
    for path in (*heads, *mlps):
        blocks.setdefault(_block_of(path), []).append(path)
    if not blocks:
        raise MethodError(
            "this model has no attention whose heads are told apart, and no MLP",
            hint="circuits are of blocks that add to a stream; model.tree() shows what there is",
        )
    return [blocks[block] for block in sorted(blocks, key=_number)]


def _name(site: Site) -> str:
    return site.path.rpartition(".")[2]


def _number(block: str) -> tuple[str, int]:
    stack, _, number = block.rpartition(".")
    return (stack, int(number)) if number.isdigit() else (block, 0)


def _entrances(model: Model, path: str) -> list[Site]:
    block = _block_of(path)
    kind = "mlp" if _port(path) == "out" else "attn"
    places = [*(f"{block}.{norm}" for norm in _BEFORE[kind]), *_norms(model, block), path]
    if kind == "attn":
        places.append(block)
    return _there(model, [Site(place, "in") for place in dict.fromkeys(places)])


def _looked_at(model: Model, path: str) -> list[Site]:
    """The entrances of a part, what the norms there return, and what the part is given."""
    entrances = _entrances(model, path)
    made = [Site(each.path, "out") for each in entrances if each.path not in (path, _block_of(path))]
    return [*entrances, *_there(model, [*made, Site(path, "in")])]


def _norms(model: Model, parent: str) -> list[str]:
    """The norms right below `parent`, whatever they are called."""
    try:
        return [site.path for site in model.sites(f"{parent}.*:scale" if parent else "*:scale")]
    except SiteError:  # none there shows one
        return []


def _block_of(path: str) -> str:
    return path.rpartition(".")[0]


def _port(path: str) -> str:
    return "out" if path.endswith(".mlp") else "result"


def _there(model: Model, sites: Sequence[Site]) -> list[Site]:
    return [site for site in sites if is_there(model, site)]


def rounding(array: Any) -> float:
    """Up to which share sums in this array's dtype may be off."""
    return float(namespace(array).finfo(array.dtype).eps) ** 0.5


def is_there(model: Model, site: Site) -> bool:
    """Whether the model has that site."""
    if not model.has(site.path):
        return False
    try:
        return bool(model.sites(site))
    except SiteError:
        return False


def _unfit(reader: str, tried: Sequence[Site]) -> MethodError:
    shown = ", ".join(map(str, tried)) or "no input at all"
    return MethodError(
        f"{reader} does not read the sum of what was written before it; tried {shown}",
        hint="edges are of blocks that add to a stream which nothing norms or scales in between; "
        "darklantern.sweep patches whole sites of any model",
    )
