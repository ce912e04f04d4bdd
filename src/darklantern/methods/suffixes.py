"""Where a run with one site changed may begin: what comes before the change is the same in all of them."""

from collections.abc import Sequence
from typing import Any

from darklantern.errors import SiteError
from darklantern.models.on_torch.opened import Model
from darklantern.models.on_torch.starting import Start
from darklantern.models.recording import Recording
from darklantern.models.sites import Site


class Suffixes:
    """Starts into one model on one input, each made when first needed."""

    def __init__(self, model: Model, inputs: Any) -> None:
        self._model, self._inputs = model, inputs
        self._starts: dict[str, Start | None] = {}

    def sites(self, wanted: Sequence[Site]) -> list[Site]:
        """What to record besides: the entrance of the block after each block whose output is wanted."""
        return [after for site in wanted if (after := self._after(site.whole)) is not None]

    def start(self, site: Site, recording: Recording) -> tuple[Any, Site]:
        """What to run in place of the inputs, and the site that stands for `site` then.

        A block's output is the next one's input, where the recording says that both are the same.
        """
        after = self._after(site.whole)
        if after is not None and bool((recording[after].array == recording[site.whole].array).all()):
            found = self._start(after.path)
            if found is not None:
                return found, Site(after.path, after.port, site.select)
        block = self._model.block_of(site)
        found = None if block is None else self._start(block)
        return (self._inputs, site) if found is None else (found, site)

    def _start(self, block: str) -> Start | None:
        if block not in self._starts:
            try:
                self._starts[block] = self._model.start(self._inputs, block)
            except SiteError:
                self._starts[block] = None  # a model that cannot start there is run whole
        return self._starts[block]

    def _after(self, site: Site) -> Site | None:
        block = self._model.block_of(site)
        if block is None or block != site.path or site.port != "out":
            return None
        stack, _, number = block.rpartition(".")
        following = f"{stack}.{int(number) + 1}"
        return Site(following, "in") if self._model.has(following) else None
