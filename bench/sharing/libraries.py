"""Two libraries of one network, and a finding to share: what lines about libraries begin with."""

import hashlib
from datetime import date
from pathlib import Path

from darklantern.assess import assess, load
from darklantern.demo import founding
from darklantern.network.items import finding_hash
from darklantern.records.assessments import Answer, Assessment
from darklantern.records.findings import Artifact, Evidence, Finding, Provenance

_ZERO = "0" * 64


def sharing(folder: Path, artifact: Path) -> founding.Founded:
    """Both libraries; Aurora's has shared a finding with this artifact."""
    made = founding.found(folder)
    what, sha256 = finding(artifact)
    made.aurora.findings.share(what, {sha256: artifact}, circle=founding.CIRCLE, assessment=at_v2(what))
    return made


def finding(artifact: Path) -> tuple[Finding, str]:
    """A finding with one artifact, and the artifact's SHA-256."""
    with artifact.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    named = Artifact(name=artifact.name, media="application/safetensors", sha256=sha256, size=artifact.stat().st_size)
    evidence = Evidence(
        method="bench",
        summary="bytes",
        provenance=Provenance(model=_ZERO, data=_ZERO, seed=1, code="0.1.0", versions={}),
        artifacts=(named,),
    )
    made = Finding(title="bench", claim="none", author="ada", time="2026-11-21T00:00:00Z", evidence=(evidence,))
    return made, sha256


def at_v2(what: Finding) -> Assessment:
    """An assessment whose level is the demo circle's."""
    table = load()
    answers = [
        Answer(
            criterion=code,
            values=("broken" if code == "F" else criterion.values[0],),
            kind=next(kind for kind in criterion.kinds if kind != "measured"),
            rater="bench",
            protocol="rubric/1",
        )
        for code, criterion in table.criteria.items()
    ]
    return assess(finding_hash(what), answers, table, today=date(2026, 11, 21))
