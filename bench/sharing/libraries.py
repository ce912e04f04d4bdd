"""Two libraries of one network, and a finding to share: what lines about libraries begin with."""

import hashlib
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from darklantern.assess import assess, level_follows, load
from darklantern.demo.founding import CIRCLE
from darklantern.library import Library, create
from darklantern.network.items import finding_hash
from darklantern.records.assessments import Answer, Assessment
from darklantern.records.findings import Artifact, Evidence, Finding, Provenance
from darklantern.sealing import Device, LogKey, envelope_id
from sharing.founding import CHEAP, PASSPHRASE, first_records, found_circle

_ZERO = "0" * 64


@dataclass
class Founded:
    """Both libraries, open; Aurora's keeps the logs."""

    aurora: Library
    beacon: Library

    def close(self) -> None:
        """Let go of both folders."""
        self.aurora.close()
        self.beacon.close()


def found(folder: Path, devices: int = 1) -> Founded:
    """A network with a circle of both orgs, each with so many devices."""
    now, key = int(time.time()), LogKey.generate()
    people = {org: [Device.generate() for _ in range(devices)] for org in ("Aurora", "Beacon")}
    first = first_records(people, key.public, now)
    net = envelope_id(first[0])
    aurora, beacon = (
        create(
            folder / org.lower(),
            PASSPHRASE,
            net=net,
            device=own[0],
            follows=level_follows,
            cost=CHEAP,
            log_key=key if org == "Aurora" else None,
        )
        for org, own in people.items()
    )
    for record in first:
        aurora.add(record)

    def carry() -> None:
        for giver, taker in ((aurora, beacon), (beacon, aurora), (aurora, beacon)):
            giver.bundles.export_to(folder / "carried")
            taker.bundles.import_from(folder / "carried")
        (folder / "carried").unlink()

    found_circle((aurora, beacon), [own[0] for own in people.values()], key.public, carry, now)
    carry()
    return Founded(aurora, beacon)


def sharing(folder: Path, artifact: Path) -> Founded:
    """Both libraries; Aurora's has shared a finding with this artifact."""
    made = found(folder)
    what, sha256 = finding(artifact)
    made.aurora.findings.share(what, {sha256: artifact}, circle=CIRCLE, assessment=at_v2(what))
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
