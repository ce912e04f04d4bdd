"""Sites: named places where a value flows in a model. Text in, values out; no framework here.

    path ":" port ["[" axis "=" select "," … "]"]        layers.1.attn:z[head=2,pos=7]

`path` is the module path and may hold globs (`layers.*`, and `**` across parts). Ports `in` and `out` exist for each
module. Any other port is a child module of that name, which is how a model's own code declares
one: an `nn.Identity` called `z` inside `attn` is `layers.1.attn:z`.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from darklantern.errors import SiteError

AXES: dict[str, tuple[str, ...]] = {
    "in": ("batch", "pos", "dim"),
    "out": ("batch", "pos", "dim"),
    "z": ("batch", "pos", "head", "dim"),
    "pattern": ("batch", "head", "pos", "key"),
}
"""The names of a port's axes, in order."""

_SITE = re.compile(r"^(?P<path>[\w.*?]*):(?P<port>\w+)(?:\[(?P<select>[^\]]*)\])?$")


@dataclass(frozen=True)
class Site:
    """One resolved site. `select` pins axes to an index: `(("head", 2), ("pos", -1))`."""

    path: str
    port: str
    select: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        pins = ",".join(f"{axis}={index}" for axis, index in self.select)
        return f"{self.path}:{self.port}" + (f"[{pins}]" if pins else "")

    @property
    def whole(self) -> "Site":
        """The same site without a selection."""
        return Site(self.path, self.port)

    def at(self, **pins: int) -> "Site":
        """This site pinned further: `site.at(head=2, pos=5)`."""
        return _checked(self.path, self.port, (*self.select, *sorted(pins.items())))

    def index(self) -> tuple[int | slice, ...]:
        """The selection as an index into the port's value."""
        pinned = dict(self.select)
        return tuple(pinned.get(axis, slice(None)) for axis in AXES.get(self.port, AXES["out"]))


def parse(text: str) -> Site:
    """The site written in `text`, its path possibly still a glob. Raises SiteError."""
    match = _SITE.match(text)
    if not match:
        raise SiteError(
            f"expected path:port[axis=index], got {text!r}", hint='for example "layers.1.attn:z[head=2,pos=-1]"'
        )
    pins = []
    for item in filter(None, (match["select"] or "").split(",")):
        axis, _, index = (part.strip() for part in item.partition("="))
        if not re.fullmatch(r"-?\d+", index):
            raise SiteError(f"expected axis=integer, got {item!r} in {text!r}", hint="one index for each axis")
        pins.append((axis, int(index)))
    return _checked(match["path"], match["port"], tuple(pins))


def _checked(path: str, port: str, pins: tuple[tuple[str, int], ...]) -> Site:
    axes = AXES.get(port, AXES["out"])
    for axis, _ in pins:
        if axis not in axes:
            raise SiteError(f"port {port!r} has axes {' '.join(axes)}, got {axis!r}", hint="pin one of those axes")
    if len({axis for axis, _ in pins}) != len(pins):
        raise SiteError(f"an axis is pinned twice: {pins}", hint="pin each axis once")
    return Site(path, port, pins)


def select_paths(glob: str, paths: Iterable[str]) -> list[str]:
    """The module paths that `glob` names, in model order. `*` matches within one path part, `**` across parts."""
    pieces = re.split(r"(\*\*|\*|\?)", glob)
    wild = {"**": ".+", "*": r"[^.]+", "?": r"[^.]"}
    pattern = re.compile("".join(wild.get(piece, re.escape(piece)) for piece in pieces))
    return [path for path in paths if pattern.fullmatch(path)]


def nearest(text: str, known: Iterable[str]) -> list[str]:
    """Up to three known names close to `text`, for the hint of an error."""
    return difflib.get_close_matches(text, list(known), n=3, cutoff=0.4)
