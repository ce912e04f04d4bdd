"""A command that does not outlive who started it, even where that process is killed. `tied` makes it, on Linux.

In: the starter's pid and a command, as this file's arguments. Out: this very process as that command, to which the
kernel sends SIGTERM when its starter has ended (prctl(2), PR_SET_PDEATHSIG, which holds across exec).

Asked for in a process of its own, and not by `preexec_fn`, between fork and exec of the starter: what runs there in a
process with threads may wait for ever for a lock that another thread held. To the kernel the starter is the thread that
started it: it has to live as long. What the command starts in turn gets no signal.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_NOT_STARTED: Final = 126
"""the shell's status for a command that is there and cannot be run"""


def tied(command: Sequence[str]) -> list[str]:
    """`command` as one that ends with this process, where the system can; elsewhere as it is."""
    if sys.platform != "linux" or not sys.executable:
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main() -> None:
    """Tie this process to its starter, and become the command."""
    starter, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(starter):  # it ended before the kernel was asked
        raise SystemExit(_NOT_STARTED)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and so would the command
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"cannot start {command[0]!r}: {error.strerror}", file=sys.stderr)
        raise SystemExit(_NOT_STARTED) from None


if __name__ == "__main__":
    main()
