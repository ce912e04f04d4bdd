"""A new epoch for two hundred devices: who is in it, a fresh seed sealed to each, the record, and the write."""

from darklantern.demo.founding import CIRCLE
from darklantern.library import Library
from sharing.libraries import found
from sharing.measuring import Line, in_turns, line, middle, own
from sharing.scratch import scratch
from sharing.sizes import MIB, Sizes

MILLISECONDS, KILOBYTES = 150, 350


def lines(sizes: Sizes) -> list[Line]:
    """`rotate_200_devices`: how long, and how large."""
    with scratch(256 * MIB) as folder:
        made = found(folder / "orgs", devices=sizes.devices // 2)
        library = made.aurora
        took = middle(in_turns({"rotate": own(lambda: library.members.rotate(CIRCLE))}, sizes.repeats)["rotate"])
        members, size = _newest(library)
        made.close()
    if members != sizes.devices:
        raise ValueError(f"expected an epoch of {sizes.devices} devices, got {members}")
    milliseconds, kilobytes = round(took.cpu * 1000, 1), round(size / 1000, 1)
    return [
        line(
            f"rotate_{sizes.devices}_devices",
            milliseconds,
            "ms of processor time",
            f"≤ {MILLISECONDS}",
            milliseconds <= MILLISECONDS,
            None,
            by_the_wall_ms=round(took.wall * 1000, 1),
        ),
        line(f"rotate_{sizes.devices}_devices · size", kilobytes, "KB", f"≤ {KILOBYTES}", kilobytes <= KILOBYTES, None),
    ]


def _newest(library: Library) -> tuple[int, int]:
    """How many devices the newest epoch is for, and how many bytes are sealed in its record."""
    (circle,) = library.view.circles
    epoch = library.view.circle(circle).epoch
    if epoch is None:
        raise ValueError("expected an epoch, got none")
    return epoch.body.count, len(epoch.body.sealed) + len(epoch.body.link or b"")
