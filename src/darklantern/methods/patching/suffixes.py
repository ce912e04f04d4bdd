"""Where a run with one site changed may begin: what comes before the change is the same in all of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from darklantern.errors import SiteError
from darklantern.models.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.sites import Site


class Suffixes:
    """Starts into one model on one input, for sites where something will be changed."""

    def __init__(self, model: Model, inputs: Any, wanted: Sequence[Site]) -> None:
        self._model, self._inputs = model, inputs
        self._after = {site.whole: after for site in wanted if (after := _following(model, site)) is not None}
        blocks = {model.block_of(site) for site in wanted} | {after.path for after in self._after.values()}
        named = sorted(block for block in blocks if block is not None)
        found = dict(zip(named, model.starts(inputs, *named), strict=True)) if named else {}
        self._starts = {block: each for block, each in found.items() if not isinstance(each, SiteError)}
        self._shortcuts: dict[Site, Site] | None = None

    @property
    def besides(self) -> list[Site]:
        """What to record besides: the entrance of the block after each block whose output is wanted."""
        return list(self._after.values())

    def start(self, site: Site, recording: Recording) -> tuple[Any, Site]:
        """What to run in place of the inputs, and the site that stands for `site` then.

        A block's output is the next one's input, where nothing else reads it. A model that cannot start at a block is
        run whole.
        """
        if self._shortcuts is None:
            pairs = {site: after for site, after in self._after.items() if after.path in self._starts}
            self._shortcuts = self._model.handed_on(self._inputs, recording, pairs) if pairs else {}
        after = self._shortcuts.get(site.whole)
        if after is not None:
            return self._starts[after.path], replace(after, select=site.select)
        return self._starts.get(self._model.block_of(site) or "", self._inputs), site


def _following(model: Model, site: Site) -> Site | None:
    """The entrance of the next block, for a block's output."""
    block = model.block_of(site)
    # Another member, or one of several calls, is not what the next block is given.
    if block is None or block != site.path or site.port != "out" or site.member or site.call is not None:
        return None
    stack, _, number = block.rpartition(".")
    entrance = Site(f"{stack}.{int(number) + 1}", "in")
    # A block of a plain function has an entrance only where its code names one.
    return entrance if model.has(entrance.path) and _is_there(model, entrance) else None


def _is_there(model: Model, site: Site) -> bool:
    try:
        return bool(model.sites(site))
    except SiteError:
        return False
