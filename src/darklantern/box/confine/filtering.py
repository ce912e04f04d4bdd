"""Run in gVisor before a program: takes the filter of system calls upon itself, then becomes the program.

    python filtering.py FILTER COMMAND…

FILTER is the BPF program in base64: the very one that bubblewrap sets on the other rungs, and that only a process can
set within gVisor's kernel. Standard library alone. What cannot be set is an error, and nothing is run.
"""

import base64
import ctypes
import os
import sys

_NO_NEW_PRIVILEGES, _SECCOMP, _BY_FILTER = 38, 22, 2  # of prctl(2)
_INSTRUCTION = 8  # bytes


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("first", ctypes.c_void_p))


def set_filter(data: bytes) -> None:
    """Take a BPF program as this process's filter, for good. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    held = ctypes.create_string_buffer(data, len(data))
    program = _Program(len(data) // _INSTRUCTION, ctypes.addressof(held))
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SECCOMP, _BY_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the filter of system calls was not taken")


if __name__ == "__main__":
    set_filter(base64.b64decode(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
