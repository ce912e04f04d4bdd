"""What the parts of a traced model are called, and which values a site's text means."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from darklantern.errors import SiteError
from darklantern.models.elsewhere import equivalent
from darklantern.models.on_jax.listing import canonical
from darklantern.models.on_jax.outline import NUMBER, Address, Path, plain
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
    def count(self) -> int | None:
        """How often it fires, if every branch is taken; None where a loop does not say."""
        counts = [visit.count for visit in self.visits]
        return None if any(count is None for count in counts) else sum(count or 0 for count in counts)

    def call(self, site: Site) -> tuple[Visit, ...]:
        """The visits that `site`'s call means. Raises SiteError where it says too little, or too much."""
        if site.call == "*":
            if self.count is None:
                raise SiteError(
                    f"{site}: a while loop does not say before how often it runs, so not all calls can be stacked",
                    hint=f"one of them: {replace(site, call=0)}",
                )
            return self.visits if self._together else self._calls
        if site.call is None:
            if self.count != 1:
                raise self._which(site)
            return self._calls
        number = int(site.call)
        if self.count is not None and number >= self.count:
            raise SiteError(
                f"{site} never fires: the part runs {self.count} times",
                hint=f"{replace(site, call=0)} is the first, {replace(site, call=self.count - 1)} the last",
            )
        return (self._calls[number] if self.count is not None else self._unbounded(site, number),)

    @cached_property
    def _calls(self) -> tuple[Visit, ...]:
        """Each call as one iteration of every loop, in the order in which a run comes by."""
        return _in_order(each for visit in self.visits for each in visit.each())

    @cached_property
    def _together(self) -> bool:
        """Whether all calls are all iterations of the same loops, and none may be left out."""
        return len({visit.again for visit in self.visits}) == 1 and not any(each.point.branch for each in self.visits)

    def _unbounded(self, site: Site, number: int) -> Visit:
        """Call `number` where a while loop comes last: what is before it can be counted, and its own iterations."""
        before = [visit for visit in self.visits if visit.count is not None]
        inside = [visit for visit in self.visits if visit.count is None]
        (loop, *nested), *others = {visit.again for visit in inside}
        first = min(visit.when(last=False) for visit in inside)
        if others or loop.length is not None or None in {each.length for each in nested} or any(
            visit.when(last=True) > first for visit in before
        ):  # fmt: skip
            raise SiteError(
                f"{site}: how often a while loop runs before that call is not known, so calls have no numbers",
                hint="choose a site outside of the loop",
            )
        calls = _in_order(each for visit in before for each in visit.each())
        if number < len(calls):
            return calls[number]
        # The calls within one iteration of it, and how many of them lie behind.
        within = _in_order(each for visit in inside for each in visit.each(turn=0))
        turn, which = divmod(number - len(calls), len(within))
        found = within[which]
        place = found.point.loops.index(loop)
        return Visit(found.point, (*found.at[:place], turn, *found.at[place + 1 :]))

    def _which(self, site: Site) -> SiteError:
        if self.point.branch and self.count == len(self.visits) and self._alternatives:
            return SiteError(
                f"{site} stands in {self.count} branches, of which a run takes one, so which?",
                hint=f"{replace(site, call=0)} is that of the first branch, and so on",
            )
        often = "as often as a while loop runs" if self.count is None else f"{self.count} times"
        last = "" if self.count is None else f", {replace(site, call=self.count - 1)} the last"
        return SiteError(
            f"{site} fires {often} in one run, so which one?",
            hint=f"{replace(site, call=0)} is the first{last}, {replace(site, call='*')} all",
        )

    @property
    def _alternatives(self) -> bool:
        """Whether its visits lie in different branches of one equation."""
        first, *rest = (visit.point.place.address for visit in self.visits)
        return all(_part_ways(first, other) for other in rest)


def _part_ways(one: Address, other: Address) -> bool:
    """Whether two ways part at the branches of one equation."""
    return next((a[0] == b[0] for a, b in zip(one, other, strict=False) if a != b), False)


def _in_order(visits: Iterable[Visit]) -> tuple[Visit, ...]:
    return tuple(sorted(visits, key=lambda visit: visit.when(last=False)))


class Naming(PartNames):
    """The parts of one traced model under canonical names and under its own."""

    def __init__(
        self,
        points: Sequence[Point],
        kind: str,
        kinds: Mapping[Path, str] | None = None,
        unreachable: Mapping[tuple[Path, str], str] | None = None,
    ) -> None:
        self._kind = kind
        self._unreachable = unreachable or {}
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
                if why := target and self._unreachable.get((plain(tuple(path.split("."))), port)):
                    if "**" in asked.path:
                        continue
                    raise SiteError(
                        f"{self.shown(path)}:{port} is also computed where it cannot be reached: {why}",
                        hint="choose another site, or another name for one of the two",
                    )
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
        if asked.port in _OF_KERNELS and self.found(asked.path) and meant in (None, "", str(asked.whole)):
            hint = (
                "its attention is none that JAX code computes whole: an opaque kernel (cudnn's, one of Pallas), "
                f"or one in pieces; {hint}"
            )
        for (path, port), why in self._unreachable.items():
            if port == asked.port:
                name = f"{'.'.join(path)}:{port}"
                return SiteError(f"no site {str(asked)!r} in this {self._kind}", hint=f"{name} is marked, but {why}")
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
