"""Sites: named places where a value flows in a model. Text in, values out; no framework here.

    path ["#" call] ":" port ["." member] ["[" axis "=" select "," … "]"]       layers.1.attn:z[head=2,pos=7]

docs/sites.md has the grammar in full and says what each port holds.
"""

import itertools
import operator
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from darklantern.errors import SiteError
from darklantern.models.elsewhere import equivalent
from darklantern.models.paths import QUOTED, braces, nearest

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

_PLAIN = {"batch", "pos", "head", "dim", "channel", "height", "width", "depth", "token", "key"}
"""what `in` and `out` may have, depending on the module"""
_MADE = {"call", "step", "layer", "device"}
"""axes along which several values are put together"""
_OTHERWISE = {
    **dict.fromkeys(("seq", "sequence", "seq_len", "position", "positions", "token", "tokens", "time", "query"), "pos"),
    **dict.fromkeys(("hidden", "hidden_size", "d_model", "d_head", "feature", "features", "embed", "model"), "dim"),
    **dict.fromkeys(("example", "examples", "sample", "samples", "prompt", "prompts"), "batch"),
    **dict.fromkeys(("d_mlp", "intermediate"), "neuron"),
    "source": "key",
}
"""what axes are called elsewhere → here"""
_EVERY = "*"
_SITE = re.compile(
    rf"(?P<path>(?:{QUOTED}|[^:#\[\]'])*)(?:\#(?P<call>\d+|\*))?:(?P<port>\*|\w+|\{{[\w,\s]*\}})"
    r"(?:\.(?P<member>[\w.]+))?(?:\[(?P<select>.*)\])?",
    re.DOTALL,
)
_PATH = re.compile(rf"/?(?:{QUOTED}|[\w.*?{{}},-])*", re.DOTALL)
_NUMBERS = r"\s*-?\d+\s*(,\s*-?\d+\s*)*"


class Span(NamedTuple):
    """A slice of an axis: `2:5`, `:5`, `-3:`."""

    start: int | None
    stop: int | None

    def __str__(self) -> str:
        return ":".join("" if end is None else str(end) for end in self)

    # By kind too, here and below: the slice 1:2, the set {1,2} and (1,2) are not the same pin.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span) and tuple.__eq__(self, other)

    def __hash__(self) -> int:
        return tuple.__hash__(self)


class _Numbers(tuple[int, ...]):
    def __eq__(self, other: object) -> bool:
        return type(other) in (type(self), tuple) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return tuple.__hash__(self)


class Several(_Numbers):
    """Several indices of an axis: `{1,4}`."""

    def __str__(self) -> str:
        return "{" + ",".join(map(str, self)) + "}"


class Each(_Numbers):
    """One index for each example: `(3,1)`. What `batch.find` returns is one."""

    def __str__(self) -> str:
        return "(" + ",".join(map(str, self)) + ")"


Pin = int | Span | Several | Each | str
"""What is selected of one axis; `"*"` is all of it, one after the other where a method sweeps over it."""


@dataclass(frozen=True, repr=False)
class Site:
    """One site. `select` pins axes, in the order of their names: `(("head", 2), ("pos", -1))`."""

    path: str
    port: str
    select: tuple[tuple[str, Pin], ...] = ()
    call: int | str | None = None
    """which of the module's calls in a run; `"*"` for all, None where there is but one"""
    member: str = ""
    """which part of a tuple, a dict or the keyword arguments"""
    native: str = field(default="", compare=False)
    """the model's own path, where it is known and another"""

    def __post_init__(self) -> None:
        if len(self.select) > 1:
            object.__setattr__(self, "select", tuple(sorted(self.select, key=lambda pin: pin[0])))

    def __str__(self) -> str:
        call = "" if self.call is None else f"#{self.call}"
        member = f".{self.member}" if self.member else ""
        pins = ",".join(f"{axis}={index}" for axis, index in self.select)
        return f"{self.path}{call}:{self.port}{member}" + (f"[{pins}]" if pins else "")

    __repr__ = __str__

    @property
    def whole(self) -> "Site":
        """The same site without a selection."""
        return replace(self, select=())

    def at(self, **pins: Any) -> "Site":
        """This site pinned further: `site.at(head=2, pos=5)`; also by a slice, a list, or `pos=batch.find(" Mary")`."""
        made = replace(self, select=(*self.select, *((axis, pin(axis, given)) for axis, given in pins.items())))
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
        raise _no_site(text)
    call = match["call"] if match["call"] in (None, _EVERY) else int(match["call"])
    pins = tuple(_written(item, text) for item in _split(match["select"] or ""))
    made = [
        Site(path, port, pins, call, match["member"] or "")
        for path, port in itertools.product(braces(match["path"]), braces(match["port"]))
    ]
    for site in made:
        _check(site)
    return made


def pin(axis: str, given: Any) -> Pin:
    """What Python says of an axis as a pin: a number, a slice, a list or set for several, a tuple for one each."""
    if isinstance(given, Span) or (isinstance(given, Several | Each) and given):
        return given
    if isinstance(given, str) and given == _EVERY:
        return given
    try:
        if isinstance(given, slice) and given.step in (None, 1):
            return Span(*(None if end is None else operator.index(end) for end in (given.start, given.stop)))
        if isinstance(given, list | tuple | set | frozenset | range) and len(given):
            numbers = sorted(given) if isinstance(given, set | frozenset) else given
            return (Each if isinstance(given, tuple) else Several)(map(operator.index, numbers))
        if not isinstance(given, bool):
            return operator.index(given)
    except TypeError:
        pass
    raise SiteError(
        f"expected what to take of axis {axis}, got {given!r}",
        hint='an index, a slice, a list of indices, "*", or a tuple with one position for each example',
    )


def meant_axis(asked: str, axes: Collection[str], otherwise: str) -> str:
    """The hint for an axis that is not among `axes`: the one that was probably meant, or `otherwise`."""
    here = _OTHERWISE.get(asked)
    close = [here] if here in axes else nearest(asked, axes)[:1]
    return f"did you mean {close[0]}?" if close else otherwise


def _no_site(text: Any) -> SiteError:
    """The error for what is no site, with the site that was probably meant."""
    if not isinstance(text, str):
        more = "; sites are arguments of their own: *sites" if isinstance(text, list | tuple | set) else ""
        return SiteError(
            f"expected a site, got {type(text).__name__} {text!r}"[:200], hint=f'such as "layers.1:out"{more}'
        )
    if meant := equivalent(text):
        hint = f"that is {meant} here"
    elif meant := _with_port(text):
        hint = f"did you mean {meant}? a path names a part, and :out what it returns"
    elif "*" in text.rpartition(":")[2].partition("[")[0]:
        hint = "a port is one name, {several,names}, or * for all of them"
    else:
        hint = 'for example "layers.1.attn:z[head=2,pos=-1]"'
    return SiteError(f"expected path:port[axis=index], got {text!r}", hint=hint)


def _with_port(text: str) -> str | None:
    """Of a path alone, its output: of `layers.3[pos=-1]`, `layers.3:out[pos=-1]`."""
    path, bracket, pins = text.strip().partition("[")
    alone = path and "hook_" not in path and _PATH.fullmatch(path)
    return f"{path}:out{bracket}{pins}" if alone else None


def _split(select: str) -> list[str]:
    """At commas outside braces and parentheses."""
    return [item for item in re.split(r",(?![^{]*\})(?![^(]*\))", select) if item.strip()]


def _written(item: str, text: str) -> tuple[str, Pin]:
    axis, _, index = (part.strip() for part in item.partition("="))
    if index == _EVERY:
        return axis, _EVERY
    if re.fullmatch(r"-?\d+", index):
        return axis, int(index)
    if span := re.fullmatch(r"(-?\d+)?:(-?\d+)?", index):
        return axis, Span(*(None if end is None else int(end) for end in span.groups()))
    for open_, close, kind in (("{", "}", Several), ("(", ")", Each)):
        if re.fullmatch(rf"\{open_}{_NUMBERS}\{close}", index):
            return axis, kind(int(each) for each in index[1:-1].split(","))
    raise SiteError(
        f"expected axis=index, got {item!r} in {text!r}",
        hint="an index 3 or -1, a slice 2:5, a set {1,4}, one position for each example (3,1), or *",
    )


def _check(site: Site) -> None:
    axes = _MADE | (set(AXES[site.port]) if site.port in _ATTENTION else _PLAIN)
    if site.port not in _ATTENTION and site.port not in ("in", "out"):
        axes = axes | {axis for known in AXES.values() for axis in known}
    for axis, _ in site.select:
        if axis not in axes:
            known = " ".join(AXES[site.port]) if site.port in AXES else "batch pos dim, of images channel height width"
            raise SiteError(
                f"port {site.port!r} has axes {known}, got {axis!r}",
                hint=meant_axis(axis, axes, "pin one of those axes"),
            )
    if len({axis for axis, _ in site.select}) != len(site.select):
        raise SiteError(f"an axis is pinned twice in {site}", hint="pin each axis once")
