"""A finding as lines for a terminal. What a peer wrote is marked, so that it is shown further in and as data."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darklantern.library import OpenedFinding
    from darklantern.records.assessments import Answer
    from darklantern.records.findings import Evidence


def finding_lines(opened: "OpenedFinding") -> Iterator[tuple[bool, str]]:
    """(whether it is a peer's text, the line or lines)."""
    finding, judged = opened.finding, opened.assessment
    waits = ", not in its log yet" if opened.pending else ""
    yield False, f"finding: {finding.title} by {opened.author}, {opened.time[:10]}{waits}"
    yield False, f"level {opened.level}; {'; '.join(judged.binding) or 'no rule binds it'}"
    if opened.markings:
        yield False, f"markings: {', '.join(opened.markings)}"
    if tags := dict.fromkeys((*opened.relations.tags, *finding.tags)):
        yield True, f"tags: {', '.join(tags)}"
    yield True, finding.claim
    for evidence in finding.evidence:
        yield from _evidence(evidence)
    yield False, "answers from which its level follows"
    for answer in judged.answers:
        yield True, _answer(answer)
    yield False, f"item {opened.id}"


def _evidence(evidence: "Evidence") -> Iterator[tuple[bool, str]]:
    again = ", can be run again: `darklantern rerun`" if evidence.recipe else ""
    yield False, f"evidence by {evidence.method}, seed {evidence.provenance.seed}{again}"
    yield True, evidence.summary
    yield True, f"model {evidence.provenance.model[:16]}, data {evidence.provenance.data[:16]}"
    if evidence.sites:
        yield True, f"sites: {', '.join(evidence.sites)}"
    for figure in evidence.figures:
        within = f" ± {figure.tolerance:g}" if figure.tolerance else ""
        yield True, f"{figure.name}: {figure.value:g}{within} {figure.unit}".rstrip()
    for artifact in evidence.artifacts:
        yield True, f"artifact {artifact.name}, {artifact.size:,} bytes, {artifact.sha256}"


def _answer(answer: "Answer") -> str:
    said = " or ".join(answer.values) if answer.status == "answered" else answer.status
    by = f"{answer.kind} by {answer.rater}{', made up as an example' if answer.example else ''}"
    return f"{answer.criterion}: {said}, {by}" + (f": {answer.text}" if answer.text else "")
