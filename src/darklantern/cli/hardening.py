"""What a process that holds keys gives up: core dumps, and being read by other processes of the same user."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def keep_secrets_in_memory() -> None:
    """No core file, and on Linux no ptrace and no /proc/PID/mem for processes without root.

    Called where a library is about to be opened, and not before: a debugger is welcome elsewhere.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        failed = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if failed:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) was refused")
