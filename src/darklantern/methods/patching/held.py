"""Runs on one input in which a reader is given an input of its own, and nothing else is changed by that.

First what a part makes of that input is recorded, up to queries, keys and values or to the MLP's output; then it is put
into a run in which all other readers see the stream as it is. So a part's input may be changed where the engine lets
nothing but a whole site be: for one head's keys alone, or where attention and MLP share a norm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from darklantern.errors import SiteError
from darklantern.methods.patching.wiring import Part, Sender, Wiring
from darklantern.models.edits import put
from darklantern.models.gradients import Gradients
from darklantern.models.opened import Edits, Model
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site


@dataclass(frozen=True)
class Held:
    """A model on one input, each run of it from the block on in which it is first changed, where that can be."""

    model: Model
    inputs: Any
    wiring: Wiring
    plain: Recording
    """what is written and read there, unchanged"""
    starts: Mapping[str, Any]

    def wrote(self, sender: Sender) -> Value:
        """What `sender` adds to the stream, unchanged."""
        return wrote(self.plain, self.wiring, sender)

    def made(self, part: Part, entering: Value, pos: int | None = None) -> Recording:
        """What `part` makes of its input, which is `entering`, or that at position `pos` alone."""
        return self.model.record(
            self._from(part), *part.inner, edits={_at(part.entrance, pos): put(entering)}, stop=True
        )

    def written(self, part: Part, edits: Edits) -> Recording:
        """What `part` adds to the stream, with `edits` in what it makes of its input."""
        return self.model.record(self._from(part), part.writes, edits=edits, stop=True)

    def output(self, part: Part, edits: Edits) -> Any:
        """What the model returns with `edits` in `part`."""
        return self.model.run(self._from(part), edits)

    def ending(self, entering: Value, pos: int | None = None) -> Any:
        """What the model returns where `entering` goes into the logits, or that at position `pos` alone."""
        return self.model.run(self._from(self.wiring.parts[-1]), {_at(self.wiring.end, pos): put(entering)})

    def gradient(self, part: Part, metric: Any, *sites: Site, edits: Edits) -> Gradients:
        """The gradients of `metric` at `sites`, none of them before `part`'s block, with `edits` there."""
        return self.model.gradient(self._from(part), metric, *sites, edits=edits)

    def _from(self, part: Part) -> Any:
        return self.starts.get(part.path.rpartition(".")[0], self.inputs)


def held(model: Model, inputs: Any, wiring: Wiring, runs: int) -> Held:
    """`model` on `inputs`, for about so many `runs`.

    Costs a run, and for more runs than there are blocks the starts: two runs and one from each block that has one.
    """
    plain = model.record(inputs, *seen(wiring))
    blocks = dict.fromkeys(part.path.rpartition(".")[0] for part in wiring.parts)
    named = [block for block in blocks if model.has(block) and _is_block(model, block)]
    found = dict(zip(named, model.starts(inputs, *named), strict=True)) if named and runs > len(named) + 2 else {}
    starts = {block: each for block, each in found.items() if not isinstance(each, SiteError)}
    return Held(model, inputs, wiring, plain, starts)


def seen(wiring: Wiring) -> list[Site]:
    """All sites where something is written or read."""
    return list(dict.fromkeys([site for part in wiring.parts for site in (part.entrance, part.writes)] + [wiring.end]))


def wrote(run: Recording, wiring: Wiring, sender: Sender) -> Value:
    """What `sender` added to the stream in `run`, which holds what `seen` lists."""
    if sender.part < 0:
        return run[wiring.start]
    site = wiring.parts[sender.part].writes
    return run[site] if sender.head is None else run[site.at(head=sender.head)]


def _is_block(model: Model, path: str) -> bool:
    try:
        return model.block_of(Site(path, "out")) == path
    except SiteError:  # in a plain function it is a name around its parts alone
        return False


def _at(site: Site, pos: int | None) -> Site:
    return site if pos is None else site.at(pos=pos)
