"""Findings: shared, listed, opened, taken out.

In: calls. Out: ids and values. Everything that comes out was written by a peer: data, never markup.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import final

from darklantern.errors import StoreError
from darklantern.library import exporting, opening, sharing, versions
from darklantern.library.artifact_reading import ArtifactReader
from darklantern.library.artifact_sealing import Progress, give_up
from darklantern.library.desk import Desk
from darklantern.library.files import File, unheard
from darklantern.library.opening import Listed, OpenedFinding
from darklantern.library.versions import Linked
from darklantern.network.links import LinkKind
from darklantern.records.assessments import Assessment
from darklantern.records.findings import Finding


@final
class Findings:
    """The items of all circles."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def share(
        self,
        finding: Finding,
        artifacts: Mapping[str, bytes | Path],
        *,
        circle: str,
        assessment: Assessment | None,
        supersedes: str | None = None,
        links: Iterable[tuple[LinkKind, str]] = (),
        tags: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> str:
        """Seal a finding and its artifacts (SHA-256 → bytes, or a file) to a circle, by name or id. The item's id.

        `supersedes` is the item of which this is a new version, of one's own only; `links` are (kind, item) pairs;
        `tags` are words for people.

        Files are read piece by piece, whatever their size; where this is interrupted, the same call goes on, and
        `give_up` removes what it left. `progress` is told of each piece of a file.
        Raises RefusedError naming the rule that forbids it, and then nothing is written: no assessment, a level
        that does not follow or is more closed than the circle's, a stale view, an expired roster, nobody to seal to.
        """
        desk, circle = self._desk, self._desk.circle(circle)
        relations = versions.related(desk.state, supersedes, links, tags)
        carried = tuple(opening.carried_levels(desk.state, finding, desk.fetch))
        # 1. Refuse before hours of sealing, not after.
        sharing.check_finding(desk.state, finding, artifacts, circle, assessment, carried, desk.follows, desk.time())
        # 2. Files, piece by piece.
        sealed = {
            sha256: desk.seal_file(data, sha256, progress) if isinstance(data, Path) else data
            for sha256, data in artifacts.items()
        }
        # 3. Decide, by the clock as it is now, and write.
        state, item, pieces = sharing.share_finding(
            desk.state, finding, sealed, circle, assessment, carried, desk.follows, desk.time(), relations
        )
        desk.step(state, pieces)
        with suppress(StoreError):  # it is shared; and before the next file is sealed, this is asked again
            desk.forget_shared()
        return item

    def same(self, finding: Finding, circle: str | None = None) -> tuple[Listed, ...]:
        """The items that hold this very finding already: of a circle, by name or id, or of all."""
        desk = self._desk
        where = None if circle is None else desk.circle(circle)
        among = (found for found in opening.entries(desk.state, "item") if where in (None, found.circle.id))
        held = (found for found, _ in opening.holding(desk.state, among, finding, desk.fetch))
        return tuple(opening.listed(desk.state, found, desk.fetch, desk.follows) for found in held)

    def check(
        self,
        finding: Finding,
        artifacts: Mapping[str, bytes | Path],
        *,
        circle: str,
        assessment: Assessment | None,
        supersedes: str | None = None,
        links: Iterable[tuple[LinkKind, str]] = (),
        tags: Iterable[str] = (),
    ) -> None:
        """Raises RefusedError for what `share` would refuse now, and writes nothing. Files are not read for it."""
        desk, circle = self._desk, self._desk.circle(circle)
        versions.related(desk.state, supersedes, links, tags)
        carried = tuple(opening.carried_levels(desk.state, finding, desk.fetch))
        sharing.check_finding(desk.state, finding, artifacts, circle, assessment, carried, desk.follows, desk.time())

    def give_up(self, sha256: str) -> None:
        """Remove what an interrupted sealing left, by its file's SHA-256 or its journal's name. Raises StoreError."""
        self._desk.forget_shared()
        vault, device = self._desk.vault, self._desk.state.device.receiving
        give_up(sha256, blobs=vault.blobs, journals=vault.unfinished, device=device)

    def listed(self, *, older: bool = False) -> tuple[Listed, ...]:
        """The newest version of each item that counts, with its title, or with the reason why it does not open here.

        With `older`, all versions.
        """
        desk = self._desk
        items = opening.entries(desk.state, "item")
        found = tuple(opening.listed(desk.state, each, desk.fetch, desk.follows) for each in items)
        return found if older else versions.newest(found)

    def versions(self, item: str) -> tuple[Listed, ...]:
        """All versions of an item that are here, older before newer. Raises RefusedError."""
        return versions.versions(self._desk.state, item, self._desk.fetch, self._desk.follows)

    def links(self, item: str) -> tuple[Linked, ...]:
        """Links from an item and to it. Of an end that does not open here only the id is told. Raises RefusedError."""
        return versions.links(self._desk.state, item, self._desk.fetch, self._desk.follows)

    def open(self, item: str) -> OpenedFinding:
        """The finding in an item. Raises SealError, RefusedError or RecordError, which says what is wrong with it.

        The open-log says so first, and a disk that cannot take that entry refuses the opening (StoreError).
        """
        desk = self._desk
        opened = opening.opened(desk.state, self._found(item), desk.fetch, desk.follows)
        desk.note("item", item)
        return opened

    def artifact(self, item: str, sha256: str) -> bytes:
        """One artifact of an item, with its hash checked. Raises SealError, RefusedError or RecordError."""
        return b"".join(self.open_artifact(item, sha256).stream())

    def open_artifact(self, item: str, sha256: str) -> ArtifactReader:
        """One artifact of an item, to stream, to read a range of, to write to a file or to check; of any size.

        Raises SealError, RefusedError or RecordError.
        """
        desk = self._desk
        found = self._found(item)
        artifact = opening.artifact_of(desk.state, found, sha256, desk.fetch, desk.follows)
        desk.note("artifact", item, sha256)
        return desk.reader(artifact)

    def save_artifact(self, item: str, sha256: str, file: File, progress: Progress = unheard) -> None:
        """Write one artifact of an item to a new file that appears, or a stream that begins, once all is verified.

        Raises SealError, RefusedError, RecordError or StoreError.
        """
        self.open_artifact(item, sha256).write(file, progress)

    def export_age(self, path: Path, item: str, recipients: Iterable[str], *, artifact: str | None = None) -> None:
        """A finding, or one artifact of it by its SHA-256, as a new age file for recipients `age1pq1…`.

        A stock age from 1.3 on opens it. It leaves the circle with this, and nothing takes it back: its level goes
        along as a word only. The open-log has an entry. Raises SealError, RefusedError, RecordError or StoreError.
        """
        desk, keys = self._desk, exporting.parse_recipients(recipients)
        found = self._found(item)
        opened = opening.opened(desk.state, found, desk.fetch, desk.follows)
        plaintext: Iterable[bytes] = (exporting.exported(opened),)
        if artifact is not None:
            sealed = opening.artifact_of(desk.state, found, artifact, desk.fetch, desk.follows)
            plaintext = desk.reader(sealed).stream()
        desk.note("export", item, artifact)
        exporting.export(path, plaintext, keys)

    def _found(self, item: str) -> opening.Found:
        """An item to open. Raises RefusedError, and SealError that says to whom it is sealed where that is others."""
        desk, found = self._desk, opening.find(self._desk.state, "item", item)
        opening.check_given(desk.state, found, desk.now())
        return found
