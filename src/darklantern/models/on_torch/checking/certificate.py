"""What a check found: one row for each part and oracle. Values only; no framework here."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

OK, DIFFERS, NOT_COVERED = "ok", "differs", "not covered"
BACK = "zeroed and put back: the bare output"
OTHER = "another value there: another output"


@dataclass(frozen=True)
class Outcome:
    """What one oracle says about one site."""

    path: str
    """canonical"""
    port: str
    oracle: str
    verdict: str
    difference: float | None = None
    """the largest one, relative to the largest number there; None where nothing was compared"""
    tolerance: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """What one oracle says about one port of a part, in all layers."""

    part: str
    """`layers.*.attn:pattern`"""
    sites: int
    oracle: str
    verdict: str
    """`ok`, `differs` or `not covered`"""
    difference: float | None = None
    tolerance: float | None = None
    reason: str = ""

    def cells(self) -> tuple[str, ...]:
        sites = f"{self.sites} site{'s' * (self.sites != 1)}"
        shown = "" if self.difference is None else f"{self.difference:.1e}" if self.difference else "bitwise"
        allowed = "" if self.tolerance is None else f"≤ {self.tolerance:.0e}" if self.tolerance else "exact"
        verdict = f"{self.verdict}: {self.reason}" if self.reason else self.verdict
        return self.part, sites, self.oracle, shown, allowed, verdict


HEAD = ("part", "sites", "oracle", "difference", "allowed", "verdict")


@dataclass(frozen=True, repr=False)
class Certificate:
    """What was checked on one checkpoint with one set of inputs, by which oracle, and what was not.

    Differences are relative to the largest number at the site. Prints as a table; falsy unless `ok`.
    """

    model: str
    inputs: str
    """what the model was given, with the seed if it was drawn"""
    versions: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())
    """about the checkpoint: what is tied, quantised, placed elsewhere, adapted"""

    @property
    def ok(self) -> bool:
        """Nothing differs, and something was compared. What is not covered is in `uncovered`."""
        return not self.differing and any(row.verdict == OK for row in self.rows)

    @property
    def differing(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.verdict == DIFFERS)

    @property
    def uncovered(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.verdict == NOT_COVERED)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def summary(self) -> str:
        held = sum(row.verdict == OK for row in self.rows)
        said = "ok" if self.ok else "not ok"
        return f"{said}: {held} rows hold, {len(self.differing)} differ, {len(self.uncovered)} are not covered"

    def table(self) -> list[tuple[str, ...]]:
        """What is printed: `rows`, those that say the same of many parts taken together."""
        return [row.cells() for row in condensed(self.rows)]

    def __str__(self) -> str:
        table = [HEAD, *self.table()]
        widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        told = [f"{self.model} on {self.inputs}; {self.versions}", *(f"note: {note}" for note in self.notes)]
        return "\n".join([*told, *(line.rstrip() for line in lines), self.summary])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in HEAD)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>" for cells in self.table()
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        told = html.escape(f"{self.model} on {self.inputs}; {self.versions}")
        return (
            f"<p>{told}</p><ul>{notes}</ul><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{html.escape(self.summary)}</p>"
        )


def grouped(findings: Iterable[Outcome]) -> tuple[Row, ...]:
    """Findings as rows: the same part of all layers together, in the order in which they first came."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for each in findings:
        uncovered = each.reason if each.verdict == NOT_COVERED else ""
        groups.setdefault((part(each.path, each.port), each.oracle, _numberless(uncovered)), []).append(each)
    return tuple(_row(name, held) for (name, _, _), held in groups.items())


def condensed(rows: Iterable[Row]) -> list[Row]:
    """Three rows or more that agree in port, oracle and verdict as one, and those about edits whatever the port.

    What differs stays by itself.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for number, row in enumerate(rows):
        port = row.part.rpartition(":")[2]
        alone = str(number) if row.verdict == DIFFERS else ""
        told = "" if row.oracle in (BACK, OTHER) else port
        key = (row.reason,) if row.verdict == NOT_COVERED else (told, str(row.tolerance), alone)
        groups.setdefault((row.verdict, row.oracle, *key), []).append(row)
    return [each for held in groups.values() for each in ([_joined(held)] if len(held) > 2 else held)]


def _joined(held: list[Row]) -> Row:
    ports = list(dict.fromkeys(row.part.rpartition(":")[2] for row in held))
    parts = list(dict.fromkeys(row.part.rpartition(":")[0] for row in held))
    port = (
        ports[0] if len(ports) == 1 else "{" + ",".join(ports) + "}" if len(ports) <= 8 else f"{{{len(ports)} ports}}"
    )
    if len(parts) == 1:
        shown = parts[0]
    else:
        shown = "{" + ",".join(parts) + "}" if len(parts) <= 3 else f"{{{parts[0]},{parts[1]}, … {len(parts)} parts}}"
    return Row(
        f"{shown}:{port}",
        sum(row.sites for row in held),
        held[0].oracle,
        held[0].verdict,
        max((row.difference for row in held if row.difference is not None), default=None),
        max((row.tolerance for row in held if row.tolerance is not None), default=None),
        held[0].reason,
    )


def _row(name: str, held: list[Outcome]) -> Row:
    differing = [each for each in held if each.verdict == DIFFERS]
    compared = [each.difference for each in held if each.difference is not None]
    allowed = [each.tolerance for each in held if each.tolerance is not None]
    reason = next((each.reason for each in differing or held if each.reason), "")
    if len(differing) == 1 and len(held) > 1:
        reason = f"at {differing[0].path}. {reason}".strip(" .")
    return Row(
        name,
        len({(each.path, each.port) for each in held}),
        held[0].oracle,
        DIFFERS if differing else held[0].verdict,
        max(compared, default=None),
        max(allowed, default=None),
        reason,
    )


def part(path: str, port: str) -> str:
    """A site's part with its layer left open: `layers.*.attn:pattern`."""
    return f"{re.sub(r'(?<![^.])[0-9]+(?![^.])', '*', path)}:{port}"


def _numberless(reason: str) -> str:
    return re.sub(r"\d+", "", reason)
