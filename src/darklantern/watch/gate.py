"""Edits that a model has only at times: while a batch is trained on, and not while a watch looks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from darklantern.errors import WatchError
from darklantern.models.edits import Edit, edit


@dataclass
class Gate:
    """Where preventative edits are in place: while it is open."""

    is_open: bool = False

    def edits(self, asked: Mapping[str, Any]) -> dict[str, Edit]:
        """`asked`, in place only while this gate is open. Compiled code is not compiled anew when it opens."""
        return {site: self._edit(each) for site, each in asked.items()}

    def _edit(self, asked: Any) -> Edit:
        if not isinstance(asked, Edit):  # a function of the user's own, which becomes an edit at its site
            return Edit(str(asked), _unbound, bind=lambda site: self._edit(edit(asked, site)))
        if asked.bind is not None:
            bind = asked.bind
            return replace(asked, bind=lambda site: self._edit(bind(site)))

        def gated(value: Any, axes: tuple[str, ...], *operands: Any) -> Any:
            return asked.function(value, axes, *operands) if self.is_open else value

        return replace(asked, function=gated, key=gated)


def _unbound(value: Any, axes: tuple[str, ...]) -> Any:
    raise WatchError("an edit was not made for its site", hint="hand it to declare, run or record, which do that")
