"""Looking at what a box printed: charged by the byte, in the project's ledger, before anything is shown."""

from darklantern.box.folders import Run
from darklantern.box.ledger import opened, read
from darklantern.box.outlet.pricing import MICRO, choice
from darklantern.box.running.logs import unpadded
from darklantern.box.runs import LOG_BYTES
from darklantern.box.sealed import project_key, unseal_bytes
from darklantern.errors import BoxError


def price(count: int, asked: int) -> int:
    """Micro-bits that `count` bytes cost where up to `asked` could have come: 8 bits each, and how many they are."""
    return 8 * count * MICRO + choice(asked + 1)


def unsealed(run: Run, count: int, last: bool = False) -> tuple[bytes, int]:
    """The first or last `count` bytes of what a run printed, fewer where it printed fewer; and what they cost.

    Raises BoxError where the budget does not allow all of them, and for no bytes; nothing is opened then.
    """
    if not 0 < count <= LOG_BYTES:
        raise BoxError(f"expected 1 to {LOG_BYTES} bytes, got {count}", hint="8 bits each: ask for few")
    project = run.project
    head, balance = read(project)
    if not head.lines:
        raise BoxError(f"{project} has no ledger", hint="a run is looked at where it lies, in its project")
    if not (run.folder / "log.age").exists():
        raise BoxError(f"{run.id} left nothing that it printed", hint="it goes on, or its supervisor was killed")
    what = f"up to {count} bytes of what it printed"
    with opened(project, balance.budget) as ledger:
        ledger.reserve(run.id, what, price(count, count))
        whole = unpadded(unseal_bytes(run.folder / "log.age", project_key(project)))
        found = whole[-count:] if last else whole[:count]
        ledger.settle(run.id, what, cost := price(len(found), count))
        return found, cost
