"""Which recorded value a name means: under the name it is shown by, the model's own, or as a part of what is there."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from darklantern.errors import SiteError
from darklantern.models.paths import is_glob, nearest, unquoted
from darklantern.models.sites import Site, parse

if TYPE_CHECKING:
    from darklantern.models.recording import Value


class Names:
    """The names of some recorded values."""

    def __init__(self, values: "Mapping[Site, Value]") -> None:
        self._values = values
        natives = {site.native: site.path for site in values if site.native}
        self._natives = natives | {f"/{native}": path for native, path in natives.items()}
        """the model's own paths, with and without a slash → how they are shown"""

    def part(self, site: str | Site) -> "Value":
        """The value at `site`, or that part of one. Raises SiteError where it was not recorded."""
        asked = self._shown(site)
        if asked in self._values:
            return self._values[asked]
        if held := self._around(asked):
            pinned = dict(held.site.select)
            return held.at(**{axis: at for axis, at in asked.select if axis not in pinned})
        names = [str(known) for known in self._values]
        close = nearest(str(asked), names) or names
        hint = f"recorded: {', '.join(close) or 'nothing'}"
        if is_glob(asked.path):
            hint = f"one value at a time; recording.stack({str(asked)!r}) puts them together along an axis layer"
        raise SiteError(f"{str(asked)!r} was not recorded", hint=hint)

    def has(self, site: str | Site) -> bool:
        """Whether something was recorded of which `site` is a part, inside or not."""
        asked = self._shown(site)
        return asked in self._values or self._around(asked) is not None

    def _shown(self, site: str | Site) -> Site:
        asked = site if isinstance(site, Site) else parse(site)
        if asked in self._values or not self._natives:
            return asked
        return replace(asked, path=self._natives.get(unquoted(asked.path), asked.path))

    def _around(self, asked: Site) -> "Value | None":
        """A recorded value of which `asked` is a part: the whole, or one pinned less."""
        if not asked.select:
            return None
        if whole := self._values.get(asked.whole):
            return whole
        pins = set(asked.select)
        parts = (held for site, held in self._values.items() if site.whole == asked.whole)
        return next((held for held in parts if set(held.site.select) < pins), None)
