"""What leaves the process while something runs: connections, messages, other programs."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

EVENTS: Final = frozenset(
    {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind", "socket.getaddrinfo", "subprocess.Popen"}
    | {"os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.startfile"}
)
"""events of Python's audit hooks (PEP 578) by which code reaches out; what builds on them counts once"""


@dataclass
class Actions:
    """What was counted, by all threads of the process."""

    count: int = 0
    kinds: set[str] = field(default_factory=set)


_watching: list[Actions] = []
_hooked = threading.Lock()


@contextmanager
def counted_actions() -> Iterator[Actions]:
    """Counts the actions of the whole process in here. For code that hides nothing: what calls the system by itself,
    from a library in C, raises no event. A sandbox is what keeps such code in.
    """
    if _hooked.acquire(blocking=False):  # once for the process: a hook is there for good
        sys.addaudithook(_hook)
    actions = Actions()
    _watching.append(actions)
    try:
        yield actions
    finally:
        _watching.remove(actions)


def _hook(event: str, _: tuple[object, ...]) -> None:
    if _watching and event in EVENTS:
        for each in _watching:
            each.count += 1
            each.kinds.add(event)
