"""Sites: named places where a value flows in a model. Text in, values out; no framework here.

    path ["#" call] ":" port ["." member] ["[" axis "=" select "," … "]"]       layers.1.attn:z[head=2,pos=7]

docs/sites.md has the grammar in full and says what each port holds.
"""

import difflib
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from darklantern.errors import SiteError

_ATTENTION = {
    **dict.fromkeys(("q", "k", "v", "q_pre", "k_pre", "z"), ("batch", "pos", "head", "dim")),
    **dict.fromkeys(("scores", "pattern"), ("batch", "head", "pos", "key")),
    "result": ("batch", "pos", "head", "dim"),
}
AXES: dict[str, tuple[str, ...]] = {
    **_ATTENTION,
    **dict.fromkeys(("pre", "slope", "post", "neurons"), ("batch", "pos", "neuron")),
    "router": ("batch", "pos", "expert"),
    **dict.fromkeys(("scale", "resid_mid"), ("batch", "pos", "dim")),
}
"""The names of a port's axes, in order, where the port alone decides them."""

_PLAIN = {"batch", "pos", "dim", "channel", "height", "width", "depth", "token", "key", "call", "step"}
"""what `in` and `out` may have, depending on the module"""
_EVERY = "*"
_SITE = re.compile(
    r"(?P<path>[^:#\[\]]*)(?:\#(?P<call>\d+|\*))?:(?P<port>\*|\w+|\{[\w,\s]*\})"
    r"(?:\.(?P<member>[\w.]+))?(?:\[(?P<select>.*)\])?"
)
_PATH = re.compile(r"/?[\w.*?{},-]*")


class Span(NamedTuple):
    """A slice of an axis: `2:5`, `:5`, `-3:`."""

    start: int | None
    stop: int | None

    def __str__(self) -> str:
        return ":".join("" if end is None else str(end) for end in self)


class Several(tuple[int, ...]):
    """Several indices of an axis: `{1,4}`."""

    def __str__(self) -> str:
        return "{" + ",".join(map(str, self)) + "}"


Pin = int | Span | Several | str
"""What is selected of one axis; `"*"` is all of it, one after the other where a method sweeps over it."""


@dataclass(frozen=True)
class Site:
    """One site. `select` pins axes: `(("head", 2), ("pos", -1))`."""

    path: str
    port: str
    select: tuple[tuple[str, Pin], ...] = ()
    call: int | str | None = None
    """which of the module's calls in a run; `"*"` for all, None where there is but one"""
    member: str = ""
    """which part of a tuple, a dict or the keyword arguments"""

    def __str__(self) -> str:
        call = "" if self.call is None else f"#{self.call}"
        member = f".{self.member}" if self.member else ""
        pins = ",".join(f"{axis}={index}" for axis, index in self.select)
        return f"{self.path}{call}:{self.port}{member}" + (f"[{pins}]" if pins else "")

    @property
    def whole(self) -> "Site":
        """The same site without a selection."""
        return replace(self, select=())

    def at(self, **pins: Pin) -> "Site":
        """This site pinned further: `site.at(head=2, pos=5)`."""
        made = replace(self, select=(*self.select, *sorted(pins.items())))
        _check(made)
        return made


def parse(text: str) -> Site:
    """The one site written in `text`, its path possibly still a glob. Raises SiteError."""
    sites = expand(text)
    if len(sites) != 1:
        raise SiteError(
            f"expected one site, got {len(sites)} in {text!r}", hint="leave out the braces in path and port"
        )
    return sites[0]


def expand(text: str) -> list[Site]:
    """The sites written in `text`, braces in path and port spelt out, globs left as they are. Raises SiteError."""
    match = _SITE.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match or not _PATH.fullmatch(match["path"]):
        raise SiteError(
            f"expected path:port[axis=index], got {text!r}", hint='for example "layers.1.attn:z[head=2,pos=-1]"'
        )
    call = match["call"] if match["call"] in (None, _EVERY) else int(match["call"])
    pins = tuple(_pin(item, text) for item in _split(match["select"] or ""))
    made = [
        Site(path, port, pins, call, match["member"] or "")
        for path, port in itertools.product(_braces(match["path"]), _braces(match["port"]))
    ]
    for site in made:
        _check(site)
    return made


def select_paths(glob: str, paths: Iterable[str]) -> list[str]:
    """The module paths that `glob` names, in model order. `*` matches within one path part, `**` across parts."""
    pieces = re.split(r"(\*\*|\*|\?)", glob)
    wild = {"**": ".+", "*": r"[^.]+", "?": r"[^.]"}
    pattern = re.compile("".join(wild.get(piece, re.escape(piece)) for piece in pieces))
    return [path for path in paths if pattern.fullmatch(path)]


def nearest(text: str, known: Iterable[str]) -> list[str]:
    """Up to three known names close to `text`, for the hint of an error."""
    return difflib.get_close_matches(text, list(known), n=3, cutoff=0.4)


def _braces(text: str) -> list[str]:
    """`a.{b,c}` as `a.b` and `a.c`."""
    parts = re.split(r"\{([^{}]*)\}", text)
    options = [[part] if i % 2 == 0 else [each.strip() for each in part.split(",")] for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*options)]


def _split(select: str) -> list[str]:
    """At commas outside braces."""
    return [item for item in re.split(r",(?![^{]*\})", select) if item.strip()]


def _pin(item: str, text: str) -> tuple[str, Pin]:
    axis, _, index = (part.strip() for part in item.partition("="))
    if index == _EVERY:
        return axis, _EVERY
    if re.fullmatch(r"-?\d+", index):
        return axis, int(index)
    if span := re.fullmatch(r"(-?\d+)?:(-?\d+)?", index):
        return axis, Span(*(None if end is None else int(end) for end in span.groups()))
    if re.fullmatch(r"\{\s*-?\d+\s*(,\s*-?\d+\s*)*\}", index):
        return axis, Several(int(each) for each in index[1:-1].split(","))
    raise SiteError(
        f"expected axis=index, got {item!r} in {text!r}", hint="an index 3 or -1, a slice 2:5, a set {1,4} or *"
    )


def _check(site: Site) -> None:
    axes = {*AXES[site.port], "call", "step"} if site.port in _ATTENTION else _PLAIN
    if site.port not in _ATTENTION and site.port not in ("in", "out"):
        axes = axes | {axis for known in AXES.values() for axis in known}
    for axis, _ in site.select:
        if axis not in axes:
            known = " ".join(AXES.get(site.port, ("batch", "pos", "dim")))
            raise SiteError(f"port {site.port!r} has axes {known}, got {axis!r}", hint="pin one of those axes")
    if len({axis for axis, _ in site.select}) != len(site.select):
        raise SiteError(f"an axis is pinned twice in {site}", hint="pin each axis once")
