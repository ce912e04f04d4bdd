"""Looking at what a box printed: charged by the byte, in the project's ledger, before anything is shown."""

from darklantern.box.folders import Run
from darklantern.box.ledger import opened, read
from darklantern.box.outlet.pricing import MICRO, choice
from darklantern.box.running.logs import unpadded
from darklantern.box.runs import LOG_BYTES
from darklantern.box.sealed import project_key, unseal_bytes
from darklantern.errors import BoxError


def price(count: int) -> int:
    """What so many bytes cost, in micro-bits: 8 bits each, and which of the shorter lengths it may turn out to be."""
    return 8 * count * MICRO + choice(count + 1)


def unsealed(run: Run, count: int) -> bytes:
    """The first `count` bytes that a run printed; fewer where it printed fewer, for the same price.

    Raises BoxError where the budget does not allow them, and for no bytes; nothing is opened then.
    """
    if not 0 < count <= LOG_BYTES:
        raise BoxError(f"expected 1 to {LOG_BYTES} bytes, got {count}", hint="8 bits each: ask for few")
    project = run.project
    head, balance = read(project)
    if not head.lines:
        raise BoxError(f"{project} has no ledger", hint="a run is looked at where it lies, in its project")
    with opened(project, balance.budget) as ledger:
        cost = price(count)
        ledger.reserve(run.id, f"{count} bytes of what it printed", cost)
        ledger.settle(run.id, f"{count} bytes of what it printed", cost)
        return unpadded(unseal_bytes(run.folder / "log.age", project_key(project)))[:count]
