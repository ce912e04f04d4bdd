"""A finding or an artifact as an age file for keys that the user names: it opens without this program, for good.

In: what was opened, and recipients as text. Out: a new file, or an error and none. The plaintext is sealed to fresh
recipients only, never to an epoch. What leaves this way leaves the circle: its level and its markings go along as
words, and nothing holds its reader to them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from darklantern.errors import SealError, StoreError
from darklantern.files import link_named, link_unnamed
from darklantern.library.opening import OpenedFinding
from darklantern.network.links import Link
from darklantern.records.assessments import Assessment, Level
from darklantern.records.exact import Name, Sha256, Time, Value, encode
from darklantern.records.findings import Finding
from darklantern.sealing import Recipient
from darklantern.sealing.age import seal_stream


class ExportedAuthor(Value, frozen=True, kw_only=True):
    """Who signed the item, as the manifests said when it was exported."""

    device: Sha256
    person: Name
    org: Name
    name: Name


class ExportedFinding(Value, frozen=True, kw_only=True):
    """The plaintext of an exported item: this value's exact JSON and nothing else."""

    v: Literal[1] = 1
    item: Sha256
    circle: Sha256
    level: Level
    markings: tuple[str, ...]
    author: ExportedAuthor
    time: Time
    finding: Finding
    assessment: Assessment
    supersedes: Sha256 | None
    links: tuple[Link, ...]
    tags: tuple[str, ...]


def exported(opened: OpenedFinding) -> bytes:
    """The plaintext for a finding."""
    author = opened.author
    relations = opened.relations
    return encode(
        ExportedFinding(
            item=opened.id,
            circle=opened.circle,
            level=opened.level,
            markings=opened.markings,
            author=ExportedAuthor(device=author.device, person=author.person, org=author.org, name=author.name),
            time=opened.time,
            finding=opened.finding,
            assessment=opened.assessment,
            supersedes=relations.supersedes,
            links=relations.links,
            tags=relations.tags,
        )
    )


def parse_recipients(texts: Iterable[str]) -> tuple[Recipient, ...]:
    """Recipients as age writes them. Raises SealError for none, one twice, or one that is not post-quantum."""
    found = []
    for text in texts:
        if not text.startswith("age1pq1"):
            raise SealError(
                f"expected a recipient that begins with age1pq1, got {text[:12]!r}…",
                hint="`age-keygen -pq` (age 1.3 or newer) makes one; a classical key would be open to whoever "
                "records the file now and has a quantum computer later",
            )
        found.append(Recipient.parse(text))
    return tuple(found)


def export(path: Path, plaintext: Iterable[bytes], recipients: Sequence[Recipient]) -> None:
    """`plaintext` sealed as the new file `path`, which has no name before all of it is written.

    Raises SealError or StoreError, and then there is no file.
    """
    if path.exists():
        raise StoreError(f"{path} is there already", hint="choose another name; nothing is overwritten")
    sealed = seal_stream(plaintext, recipients)
    if not link_unnamed(path, sealed):
        link_named(path, sealed)  # what a crash leaves of it is sealed, and no reader takes it
