"""The filter of system calls as the kernel takes it, made by libseccomp for this machine's architecture."""

import errno
import os
import tempfile
from functools import cache

from darklantern.box.confine import calls
from darklantern.errors import BoxError

AF_UNIX = 1


@cache
def program() -> bytes:
    """The filter's BPF program, to be handed to bubblewrap.

    Calls of another architecture's table (i386, x32) kill the process. Raises BoxError where libseccomp is missing.
    """
    try:
        import pyseccomp as seccomp
    except (ImportError, OSError, RuntimeError) as error:
        raise BoxError(
            f"the filter of system calls cannot be made: {error}",
            hint="apt-get install libseccomp2 and pip install 'darklantern[box]'",
        ) from error
    allow, refuse = seccomp.ALLOW, seccomp.ERRNO(errno.EPERM)
    made = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
    made.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    for name in calls.ALLOWED:
        if seccomp.resolve_syscall(seccomp.system_arch(), name) >= 0:  # an architecture lacks some: aarch64 has no open
            made.add_rule(allow, name)
    for name in ("socket", "socketpair"):
        made.add_rule(allow, name, seccomp.Arg(0, seccomp.EQ, AF_UNIX))
        made.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), name, seccomp.Arg(0, seccomp.NE, AF_UNIX))
    made.add_rule(allow, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, calls.NEW_NAMESPACES, 0))
    for request in calls.IOCTLS:
        made.add_rule(allow, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    for option in calls.PRCTLS:
        made.add_rule(allow, "prctl", seccomp.Arg(0, seccomp.EQ, option))
    for name in ("unshare", "setns", "mount", "ptrace", "bpf", "perf_event_open", "keyctl", "flock", "memfd_create"):
        made.add_rule(refuse, name)
    for command in calls.FCNTLS:  # the kernel takes the lower half of the register alone
        made.add_rule(allow, "fcntl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, command))
    for kind in calls.MMAP_KINDS:
        made.add_rule(allow, "mmap", seccomp.Arg(3, seccomp.MASKED_EQ, calls.MMAP_KIND, kind))
    with tempfile.TemporaryFile() as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read()


def as_descriptor(data: bytes) -> int:
    """A descriptor that reads `data` from its beginning, to be inherited; the caller closes it."""
    made = os.memfd_create("darklantern", os.MFD_CLOEXEC)
    with open(made, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(made, 0, os.SEEK_SET)
    return made
