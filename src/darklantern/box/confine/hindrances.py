"""What on a machine keeps bubblewrap from making a box, and what to change."""

import os
from pathlib import Path
from typing import Final

_SETTINGS: Final = (
    ("user/max_user_namespaces", "0", "no user namespaces are allowed: `sysctl user.max_user_namespaces=15000`"),
    ("kernel/unprivileged_userns_clone", "0", "they are root's alone: `sysctl kernel.unprivileged_userns_clone=1`"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor keeps them from programs without a profile: give /usr/bin/bwrap one that allows `userns`, in "
        "/etc/apparmor.d, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
)


def hint(settings: Path = Path("/proc/sys")) -> str:
    """What to change, where a setting of the kernel is known to stand in the way."""
    found = [says for name, bad, says in _SETTINGS if _set_to(settings / name, bad)]
    if found:
        return "; ".join(found)
    if os.geteuid() == 0:
        return "a container without CAP_SYS_ADMIN makes no namespaces: run on the machine itself, or as another user"
    return "user namespaces may be kept from you by a container: run on the machine itself, or as root"


def _set_to(path: Path, bad: str) -> bool:
    try:
        return path.read_text().strip() == bad
    except OSError:  # this kernel has no such setting
        return False
