"""A device's own library: what it may read, sealed to be shared, and synced by relays and bundles.

In: a folder and a passphrase, findings, posts, bundles. Out: the same, opened or sealed, or an error
that says which rule or which damage stands in the way. It writes no plaintext to a disk but an artifact
that its user wants as a file, never seals to anyone whom its own view does not show to be a member, and
never imports half a bundle.
"""

from darklantern.library.acts import Act
from darklantern.library.artifact_reading import ArtifactReader
from darklantern.library.backup import BackedUp
from darklantern.library.carrying import Exported, Holdings
from darklantern.library.compacting import Compaction
from darklantern.library.forks import ForkFound
from darklantern.library.importing import Imported
from darklantern.library.library import Library, create
from darklantern.library.open_log import Opening, OpenLog
from darklantern.library.opening import Author, Listed, OpenedFinding
from darklantern.library.report import Report
from darklantern.library.restoring import restore
from darklantern.library.searching import Hit
from darklantern.library.threads.notifications import Notification
from darklantern.library.threads.posting import Attached
from darklantern.library.threads.values import Thread, ThreadListed, ThreadPost
from darklantern.library.verifying import Problem
from darklantern.library.versions import Linked

__all__ = [
    "Act",
    "ArtifactReader",
    "Attached",
    "Author",
    "BackedUp",
    "Compaction",
    "Exported",
    "ForkFound",
    "Hit",
    "Holdings",
    "Imported",
    "Library",
    "Linked",
    "Listed",
    "Notification",
    "OpenLog",
    "OpenedFinding",
    "Opening",
    "Problem",
    "Report",
    "Thread",
    "ThreadListed",
    "ThreadPost",
    "create",
    "restore",
]
