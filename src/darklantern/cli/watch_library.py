"""Where a watch and a library meet: findings go in sealed, monitors come out by id. For training scripts, and commands.

    with open_own(folder, passphrase_file) as library:
        w = darklantern.watch(
            model,
            signals=[*own, monitor_by_id(library, "3f2a…")],
            on_finding=sealed_into(library, "evals", judge),
            ...,
        )

Neither room knows the other: a watch hands findings to a callable, a library holds records.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.records.assessments import Assessment
    from darklantern.records.findings import Finding
    from darklantern.watch import Filed, Probe


def sealed_into(library: "Library", circle: str, judge: "Callable[[Finding], Assessment]") -> "Callable[[Filed], str]":
    """What to do with a watch's findings: assess, seal to `circle`, in memory all the way; the item's id.

    Where the library's rules refuse it (a level more closed than the circle's, say), the watch says so in its events,
    and the finding stays in `watch.findings` for a person.
    """

    def keep(filed: "Filed") -> str:
        return library.findings.share(filed.finding, filed.artifacts, circle=circle, assessment=judge(filed.finding))

    return keep


def monitor_by_id(library: "Library", item: str, trusted: Any = None, *, shown: bool = False) -> "Probe":
    """The monitor that item `item` describes, held out unless `shown`; its artifacts are opened in memory.

    Raises RecipeError for an item that describes no probe, StoreError for one that is not there.
    """
    from darklantern.watch import monitor

    opened = library.findings.open(item)
    named = {artifact.sha256 for evidence in opened.finding.evidence for artifact in evidence.artifacts}
    artifacts = {sha256: library.findings.artifact(item, sha256) for sha256 in named}
    return monitor(opened.finding, artifacts, trusted, shown=shown)
