"""The watchdog's process begins here, with what it needs of its room and none of the rest.

Run as a script: to import `darklantern.watch` loads all that a watch is made of, NumPy with it, which takes longer
than anything else that a watchdog does and stays in memory as long as the training runs.
"""

import sys
from pathlib import Path
from types import ModuleType


def begin() -> None:
    """Take the room for one that only has modules, and watch."""
    room = ModuleType("darklantern.watch")
    room.__path__ = [str(Path(__file__).parents[1])]
    sys.modules[room.__name__] = room
    from darklantern.watch.runs.watchdog import main

    main()


if __name__ == "__main__":
    begin()
