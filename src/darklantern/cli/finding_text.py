"""A finding as lines for a terminal. What a peer wrote is marked, so that it is shown further in and as data."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darklantern.library import OpenedFinding
    from darklantern.records.findings import Evidence


def finding_lines(opened: "OpenedFinding") -> Iterator[tuple[bool, str]]:
    """(whether it is a peer's text, the line or lines)."""
    finding, judged = opened.finding, opened.assessment
    waits = ", not in its log yet" if opened.pending else ""
    yield False, f"finding: {finding.title} by {opened.author}, {opened.time[:10]}{waits}"
    yield False, f"level {opened.level}; {'; '.join(judged.binding) or 'no rule binds it'}"
    for word, values in (("markings", opened.markings), ("tags", opened.relations.tags)):
        if values:
            yield False, f"{word}: {', '.join(values)}"
    yield True, finding.claim
    for evidence in finding.evidence:
        yield from _evidence(evidence)
    yield False, f"item {opened.id}"


def _evidence(evidence: "Evidence") -> Iterator[tuple[bool, str]]:
    again = ", can be run again: `darklantern rerun`" if evidence.recipe else ""
    yield False, f"evidence by {evidence.method}, seed {evidence.provenance.seed}{again}"
    yield True, evidence.summary
    for figure in evidence.figures:
        yield True, f"{figure.name}: {figure.value:g} {figure.unit}".rstrip()
    for artifact in evidence.artifacts:
        yield True, f"artifact {artifact.name}, {artifact.size:,} bytes, {artifact.sha256}"
