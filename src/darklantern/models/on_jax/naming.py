"""What the parts of a traced model are called, and which values a site's text means."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from darklantern.errors import SiteError
from darklantern.models.elsewhere import equivalent
from darklantern.models.on_jax.listing import canonical
from darklantern.models.on_jax.outline import NUMBER, Loop, Path
from darklantern.models.on_jax.points import Point
from darklantern.models.on_jax.program import Visit
from darklantern.models.part_names import PartNames
from darklantern.models.paths import is_glob, nearest, quoted
from darklantern.models.sites import Site, expand

_FIRST = ("", "logits", "last_hidden_state")
"""which member of several a port without one means; else the first"""


@dataclass(frozen=True, eq=False)
class Target:
    """What a site means: the visits at which its value passes, in order."""

    visits: tuple[Visit, ...]
    """each of one iteration of layers; of the loops that call a part again and again, of all iterations"""

    @property
    def point(self) -> Point:
        return self.visits[0].point

    @cached_property
    def again(self) -> tuple[Loop, ...]:
        """The loops that call it again and again."""
        return tuple(loop for loop in self.point.loops if not loop.layers)

    @property
    def count(self) -> int | None:
        """How often it fires; None where a loop does not say."""
        total = len(self.visits)
        for loop in self.again:
            if loop.length is None:
                return None
            total *= loop.length
        return total

    def call(self, site: Site) -> tuple[Visit, ...]:
        """The visits that `site`'s call means. Raises SiteError where it says too little, or too much."""
        if site.call == "*":
            if self.count is None:
                raise SiteError(
                    f"{site}: a while loop does not say before how often it runs, so not all calls can be stacked",
                    hint=f"one of them: {replace(site, call=0)}",
                )
            return self.visits if self._alike else tuple(self._visit(number) for number in range(self.count))
        if site.call is None:
            if self.count != 1:
                often = "as often as a while loop runs" if self.count is None else f"{self.count} times"
                last = "" if self.count is None else f", {replace(site, call=self.count - 1)} the last"
                raise SiteError(
                    f"{site} fires {often} in one run, so which one?",
                    hint=f"{replace(site, call=0)} is the first{last}, {replace(site, call='*')} all",
                )
            return (self._visit(0),)
        number = int(site.call)
        if self.count is not None and number >= self.count:
            raise SiteError(
                f"{site} never fires: the part runs {self.count} times",
                hint=f"{replace(site, call=0)} is the first, {replace(site, call=self.count - 1)} the last",
            )
        return (self._visit(number),)

    @property
    def _alike(self) -> bool:
        """Whether all iterations of all loops are meant, or none is there."""
        return all(len({number is None for number in visit.at}) <= 1 for visit in self.visits)

    def _visit(self, number: int) -> Visit:
        """Call `number` as one iteration of every loop."""
        turn, which = divmod(number, len(self.visits))
        visit = self.visits[which]
        lengths = [loop.length for loop in self.again]
        turns: list[int] = []
        for length in reversed(lengths[1:]):
            assert length is not None
            turn, inner = divmod(turn, length)
            turns.insert(0, inner)
        own = iter([turn, *turns] if lengths else [])
        at = tuple(next(own) if number is None else number for number in visit.at)
        return Visit(visit.point, at)


class Naming(PartNames):
    """The parts of one traced model under canonical names and under its own."""

    def __init__(self, points: Sequence[Point], kind: str, kinds: Mapping[Path, str] | None = None) -> None:
        self._kind = kind
        self.kinds: dict[str, str] = {}
        """own path → the class's name, where that is known"""
        own: dict[Path, dict[str, dict[str, list[Visit]]]] = {(): {}}
        for point in points:
            for path, visit in _visits(point):
                for depth in range(len(path)):
                    own.setdefault(path[:depth], {})
                own.setdefault(path, {}).setdefault(point.port, {}).setdefault(point.member, []).append(visit)
        names, wrappers = canonical(own)
        super().__init__({".".join(path): names[path] for path in own})
        self._wrappers = {".".join(path) for path in wrappers}
        templates = {path: tuple(NUMBER if part.isdigit() else part for part in path) for path in own}
        for path, template in templates.items():
            found = next((each[way] for each in (kinds or {},) for way in (path, template) if way in each), "")
            self.kinds[".".join(path)] = found
        self.ports = {".".join(path): {port: _targets(of) for port, of in ports.items()} for path, ports in own.items()}
        """own path → port → member → what it means"""
        self._resolved: dict[str | Site, tuple[tuple[Site, Target], ...]] = {}

    def resolve(self, name: str | Site) -> Sequence[tuple[Site, Target]]:
        """The sites that a text means, each with what it is. Raises SiteError naming the nearest matches."""
        found = self._resolved.get(name)
        if found is None:
            asked = [name] if isinstance(name, Site) else expand(name)
            found = tuple(pair for each in asked for pair in self._resolve_one(each))
            if len(self._resolved) >= _MOST:
                self._resolved.clear()
            self._resolved[name] = found
        return found

    def block_of(self, path: str) -> str | None:
        """The canonical path of the outermost numbered block around an own path; None outside of all."""
        parts = path.split(".")
        for depth in range(1, len(parts) + 1):
            above = ".".join(parts[:depth])
            named = above in self.names and above not in self._wrappers
            if named and self.names[above].rpartition(".")[2].isdigit():
                return quoted(self.names[above])
        return None

    def blocks(self) -> list[str]:
        """The canonical paths of all numbered blocks that are in no other."""
        return list(dict.fromkeys(found for path in self.names if (found := self.block_of(path))))

    def _resolve_one(self, asked: Site) -> list[tuple[Site, Target]]:
        paths = self.found(asked.path)
        single = len(paths) == 1 and not is_glob(asked.path)
        found = []
        for path in paths:
            ports = self.ports[path]
            for port in ports if asked.port == "*" else [asked.port]:
                target = _member(ports.get(port, {}), asked.member)
                if target is None and single and asked.port != "*":
                    raise self._unknown(asked)
                if target is not None:
                    shown = self.shown(path)
                    native = "" if shown in (path, f"/{path}") else path
                    found.append((Site(shown, port, asked.select, asked.call, asked.member, native), target))
        if not found:
            raise self._unknown(asked)
        return found

    def _unknown(self, asked: Site) -> SiteError:
        paths = self.found(asked.path) or list(self.names)
        known = [
            str(Site(self.shown(path), port, member=member if member not in _FIRST else ""))
            for path in paths
            for port, members in self.ports[path].items()
            for member in members
        ]
        meant = equivalent(str(asked.whole))
        close = [meant] if meant and meant != str(asked.whole) else nearest(str(asked.whole), known)
        hint = f"did you mean {' or '.join(close)}?" if close else 'model.sites("**:*") lists them all'
        if asked.port in _OF_KERNELS and self.found(asked.path) and not meant:
            hint = (
                "its attention is none that JAX code computes whole: an opaque kernel (cudnn's, one of Pallas), "
                f"or one in pieces; {hint}"
            )
        return SiteError(f"no site {str(asked)!r} in this {self._kind}", hint=self.numbered(asked.path) or hint)


_MOST = 4096
"""names that are remembered: a sweep asks for each of its cells once"""
_OF_KERNELS = frozenset({"q", "k", "v", "scores", "pattern", "z"})


def _visits(point: Point) -> Iterable[tuple[Path, Visit]]:
    """Each layer's path, and its visit."""
    layers = [loop for loop in point.loops if loop.layers]
    for numbers in itertools.product(*(range(loop.length or 0) for loop in layers)):
        rest, at = iter(numbers), iter(numbers)
        path = tuple(str(next(rest)) if part == NUMBER else part for part in point.path)
        yield path, Visit(point, tuple(next(at) if loop.layers else None for loop in point.loops))


def _targets(members: Mapping[str, list[Visit]]) -> dict[str, Target]:
    return {member: Target(tuple(visits)) for member, visits in members.items()}


def _member(members: Mapping[str, Target], asked: str) -> Target | None:
    if asked:
        return members.get(asked)
    return next((members[name] for name in _FIRST if name in members), next(iter(members.values()), None))
