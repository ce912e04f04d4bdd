"""What came of an import or a sync, as lines for a terminal; and that there is something to look at."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from darklantern.counted import counted

if TYPE_CHECKING:
    from darklantern.library import Imported, Library


def noticing(library: "Library") -> Callable[[], list[str]]:
    """To call after an import or a sync: what there is to look at since this, and what has ended for this device."""
    from darklantern.library.threads.notifications import summary

    before, over = {each.id for each in library.threads.notifications()}, library.ended()

    def noticed() -> list[str]:
        fresh = [each for each in library.threads.notifications() if each.id not in before]
        look = [f"{summary(fresh)}: `darklantern thread notifications` lists them"] if fresh else []
        return [*look, *(line for line in library.ended() if line not in over)]

    return noticed


def told(imported: "Imported") -> list[str]:
    """What came of an import, and all that did not."""
    entries, appended = sum(imported.entries.values()), len(imported.appended)
    return [
        f"{counted(entries, 'new entry')}, {counted(imported.pieces, 'new piece')}, {appended} appended"
        if entries or imported.pieces or appended
        else "nothing new: this library had all of it",
        *([f"{counted(len(imported.carried), 'record')} of others waiting here now: sync"] if imported.carried else []),
        *(f"does not count: {leaf.reason}" for leaf in imported.opaque),
        *(f"sealed and signed again: {old[:16]} is now {new[:16]}" for old, new in imported.remade),
        *_taken_back(imported.taken_back.values()),
        *imported.problems,
        *(f"not appended: {reason}" for _, reason in imported.refused),
        *(f"missing: piece {name}, in neither the bundle nor this library" for name in imported.missing),
        *(
            f"skipped: log {log}, which no record that counts here names, or which is frozen"
            for log in imported.skipped
        ),
    ]


def _taken_back(kinds: Collection[str]) -> list[str]:
    counts = {noun: sum(kind == each for each in kinds) for noun, kind in (("finding", "item"), ("post", "post"))}
    return [f"{counted(n, noun)} {'was' if n == 1 else 'were'} taken back" for noun, n in counts.items() if n]
