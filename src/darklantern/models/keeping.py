"""Where captured values go: left where they lie, to another device, to disk, or reduced first."""

import difflib
import re
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from darklantern.errors import SiteError
from darklantern.models.at_rest import Folder
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import backend, backend_of, framework_of, is_array
from darklantern.models.sites import Site

Reduce = Callable[[Value], Any]
"""a captured value → what is kept of it: a Value, or a tensor"""
Tokens = Sequence[Sequence[str]] | None


class Keeper:
    """What a run does with each value as it is captured, and with its recording when it is whole."""

    def __init__(self, to: str | PathLike[str] | None, reduce: Reduce | None, framework: str = "torch") -> None:
        here = is_device(to, framework)
        self._device = backend(framework).usable(str(to)) if to is not None and here else None
        self._folder = None if to is None or here else Folder(Path(to))
        self._reduce = reduce

    def keep(self, site: Site, value: Any, axes: tuple[str, ...], tokens: Tokens) -> tuple[Any, tuple[str, ...]]:
        """What is kept of a captured value, and its axes; JAX's in a folder as NumPy's array, which maps files."""
        if self._reduce is not None:
            value, axes = _reduced(self._reduce(_value(site, value, axes, tokens)), site, value, axes)
        if self._folder is not None:
            return self._folder.write(value), axes
        return (value if self._device is None else backend_of(value).placed(value, self._device)), axes

    def finished(self, recording: Recording) -> Recording:
        """The recording, now that it is whole."""
        return recording if self._folder is None else self._folder.finished(recording)

    def dropped(self) -> None:
        """The run failed, and there will be no recording."""
        if self._folder is not None:
            self._folder.dropped()


def keeper(to: str | PathLike[str] | None, reduce: Reduce | None, framework: str = "torch") -> Keeper | None:
    """What `record` does with each value as it is captured; None for nothing special."""
    return None if to is None and reduce is None else Keeper(to, reduce, framework)


def is_device(to: str | PathLike[str] | None, framework: str = "torch") -> bool:
    """Whether `to` names a device, such as cpu or cuda:1; a folder of that name is written ./cpu.

    Raises SiteError for a bare word that is nearly a device's name: it would become a folder, on disk.
    """
    if to is None or backend(framework).is_device(str(to)):
        return True
    if isinstance(to, str) and (meant := _nearly(to, backend(framework).devices)):
        raise SiteError(f"to={to!r} is no device", hint=f"did you mean {meant}? For a folder of that name, ./{to}")
    return False


def _nearly(word: str, devices: Sequence[str]) -> str | None:
    """The device that a word without a slash is nearly the name of."""
    found = re.fullmatch(r"([a-z]+)[:_ -]?\d*", word.lower())
    if not found:
        return None
    name = found[1]
    if name in ("gpu", "nvidia"):
        return "cuda"
    swapped = (device for device in devices if sorted(device) == sorted(name))
    return next(swapped, None) or next(iter(difflib.get_close_matches(name, ["cuda"], cutoff=0.75)), None)


def numbered(to: str | PathLike[str] | None, number: int) -> Path | None:
    return None if to is None else Path(to) / f"{number:06}"


def _value(site: Site, array: Any, axes: tuple[str, ...], tokens: Tokens) -> Value:
    """A captured value, as its recording would hold it."""
    return next(iter(Recording([(site, array, axes)], None, tokens).values()))


def _reduced(made: Any, site: Site, value: Any, axes: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    if isinstance(made, Value):
        if made.site.select != site.select:
            raise SiteError(
                f"reduce took a part, {made.site}, which would go by the name of all of {site}",
                hint=f"record {made.site} itself",
            )
        return _own(made.array, site, value), made.axes
    kept = _own(made, site, value)
    return kept, axes if kept.ndim == value.ndim else tuple(f"axis{i}" for i in range(kept.ndim))


def _own(made: Any, site: Site, value: Any) -> Any:
    """What reduce made, and nothing else with it in memory. Raises SiteError for what is no array such as `value`."""
    framework = framework_of(value)
    if not is_array(made) or framework_of(made) != framework:
        came = f"an array of {framework_of(made)}" if is_array(made) else type(made).__name__
        raise SiteError(
            f"reduce must return a Value or a tensor at {site}, got {came}",
            hint='value.mean("pos"), say; recording.to("numpy") comes afterwards',
        )
    # A part of torch's tensors is a view of the whole; JAX's arrays are their own.
    return made.clone() if framework == "torch" else made
