"""Bundles: a sync as one file, for a stick or any other way.

In: calls and paths. Out: a file, or a report of what came with one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import final

from darklantern.library import carrying
from darklantern.library.carrying import Exported, Holdings
from darklantern.library.desk import Desk
from darklantern.library.files import Progress, unheard
from darklantern.library.importing import Imported
from darklantern.sealing import Recipient


@final
class Bundles:
    """Out to a file, and in from one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def holdings(self) -> Holdings:
        """What this library holds: with it, others make a bundle of only what it lacks."""
        return carrying.holdings(self._desk.state, self._desk.vault.blobs)

    def export_to(
        self, path: Path, *, since: Holdings | None = None, to: Sequence[Recipient] = (), progress: Progress = unheard
    ) -> Exported:
        """Everything that this library holds and its outbox, as the file `path`.

        With the other library's `holdings`, only what that one lacks. Logs kept here get a fresh checkpoint, so that
        readers know how new their view is. Sealed pieces go along; nothing in it opens without the readers' own keys.
        Who carries it sees orgs, people, devices, times, sizes, unless it is sealed `to` the devices that take it in.
        `progress` is told of (pieces written, pieces in all).
        """
        return carrying.export(self._desk, path, since, to, progress)

    def import_from(self, path: Path, *, allow_clock_jump: bool = False, progress: Progress = unheard) -> Imported:
        """Take in what another library wrote: all that holds together, or nothing.

        Twice changes nothing. Raises LogError, SignatureError, RecordError or RefusedError for a bundle that is cut,
        altered, older, of another network or by nobody known. Two histories of one log raise ForkedLogError, and only
        the proof is kept. `progress` is told of (bytes read, bytes in all).
        """
        imported = carrying.take(self._desk, path, confirmed=allow_clock_jump, progress=progress)
        self._desk.say_dropped()
        return imported

    def verify(self, path: Path, *, allow_clock_jump: bool = False, progress: Progress = unheard) -> Imported:
        """What `import_from` would take in, judged in the same way now. Raises as it does, and writes nothing.

        Of two histories of one log no proof is kept: import it for that.
        """
        return carrying.examine(self._desk, path, confirmed=allow_clock_jump, progress=progress)
