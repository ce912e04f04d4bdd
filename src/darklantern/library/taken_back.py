"""What was taken back, for people who look for it: when, and by whom.

In: a state. Out: sentences. Of what it said nothing is left to show.
"""

from collections.abc import Mapping

from darklantern.library.acts import acts_of
from darklantern.library.state import State
from darklantern.network.deleting import Tombstone
from darklantern.network.reading import read


def taken_back(state: State, beginning: str) -> dict[str, str]:
    """Id → what became of it, in a sentence, for each buried item or post whose id begins so."""
    found = dict[str, str]()
    for circle in state.working.circles.values():
        for id, entry in circle.buried.items():
            if beginning and id.startswith(beginning):
                kind = "finding" if entry.record.kind == "item" else "post"
                by = " and ".join(f"{person} of {org}" for org, person in circle.tombstones[id])
                found[id] = f"the {kind} {id[:16]} was taken back{_when(state, circle.id, id)} by {by}"
    return found


def _when(state: State, log: str, target: str) -> str:
    """When the last of those who asked for it did; nothing where that still waits for the keeper of the log."""
    asked = [
        act.time
        for act, data in zip(acts_of(state, log), state.entries.get(log, ()), strict=True)
        if act.kind == "tombstone"
        and act.refused is None
        and isinstance(body := read(data).body, Tombstone)
        and body.target == target
    ]
    return f" on {asked[-1]}" if asked else ""


def newly_taken_back(before: State, after: State) -> Mapping[str, str]:
    """Id → kind, of what counted in `before` and is buried in `after`."""
    return {
        id: entry.record.kind
        for log, old in before.working.circles.items()
        if log in after.view.circles and (buried := after.view.circle(log).buried) is not old.buried
        for id, entry in buried.items()
        if id in old.entries
    }
